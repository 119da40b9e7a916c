package node

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// logRoom is how many bytes of lines wait for a LogWriter's writer at most: some
// thousand lines. As much again may be on its way.
const logRoom = 256 << 10

// LogWriter hands the lines of a log to another writer, and never has the
// instance wait for it: a terminal, a pipe or a log service that takes nothing
// more would hold up the heartbeats. What finds no room is dropped and counted.
// Its methods are safe for concurrent use.
type LogWriter struct {
	out     io.Writer
	missed  func(lines uint64)
	dropped atomic.Uint64

	mu    sync.Mutex // guards what follows
	lines [][]byte
	size  int
	gap   uint64        // lines that were dropped behind those
	idle  chan struct{} // closed once all is written; nil: all is
}

// NewLogWriter makes a LogWriter. missed, if not nil, is called where lines are
// missing, once out takes lines again; it may write to out itself.
func NewLogWriter(out io.Writer, missed func(lines uint64)) *LogWriter {
	return &LogWriter{out: out, missed: missed}
}

// Write takes one line, which is written as one. It never fails.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gap > 0 || w.size+len(line) > logRoom {
		w.gap++
		w.dropped.Add(1)
	} else {
		w.lines = append(w.lines, bytes.Clone(line))
		w.size += len(line)
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
		go w.drain(w.idle)
	}
	return len(line), nil
}

// drain writes until there is nothing left.
func (w *LogWriter) drain(idle chan struct{}) {
	defer close(idle)
	for {
		w.mu.Lock()
		lines, gap := w.lines, w.gap
		w.lines, w.size, w.gap = nil, 0, 0
		if len(lines) == 0 && gap == 0 {
			w.idle = nil
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		for _, line := range lines {
			if _, err := w.out.Write(line); err != nil {
				w.dropped.Add(1)
			}
		}
		if gap > 0 && w.missed != nil {
			w.missed(gap)
		}
	}
}

// Dropped is how many lines were not written.
func (w *LogWriter) Dropped() uint64 { return w.dropped.Load() }

// Flush waits until all is written, for so long at most, and reports whether it is.
func (w *LogWriter) Flush(wait time.Duration) bool {
	w.mu.Lock()
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return true
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case <-idle:
		return true
	case <-timeout.C:
		return false
	}
}
