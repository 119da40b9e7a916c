package demo

import (
	"context"
	"sync"
)

// source makes numbered messages, 1, 2, 3 and so on, and hands each out once,
// like a queue that forgets what was taken. Safe for concurrent use.
type source struct {
	mu      sync.Mutex // guards all below
	made    int        // greatest number that exists
	handed  int        // greatest number that was handed out
	closed  bool
	changed chan struct{} // closed and renewed when more exist
}

func newSource() *source { return &source{changed: make(chan struct{})} }

// make adds one message.
func (s *source) make() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.made++
		s.wake()
	}
}

// close ends the making. What was made is still handed out.
func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

func (s *source) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// take hands out the next message, waiting for it; ok is false when there will
// be none, or ctx has ended.
func (s *source) take(ctx context.Context) (n int, ok bool) {
	for {
		s.mu.Lock()
		switch {
		case ctx.Err() != nil: // nobody is there to take it
		case s.handed < s.made:
			s.handed++
			n, ok = s.handed, true
		}
		end, changed := ok || s.closed || ctx.Err() != nil, s.changed
		s.mu.Unlock()
		if end {
			return n, ok
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// count tells how many messages exist and how many were handed out.
func (s *source) count() (made, handed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made, s.handed
}
