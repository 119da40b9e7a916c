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

// take hands out the next message, waiting for it; 0 says that there will be
// none, or that ctx has ended. allowed is asked in the moment of handing out, so
// that whoever was refused before a call of count gets nothing beyond it; its
// error is take's.
func (s *source) take(ctx context.Context, allowed func() error) (n int, err error) {
	for {
		s.mu.Lock()
		switch {
		case ctx.Err() != nil: // nobody is there to take it
		case s.handed < s.made:
			if err = allowed(); err == nil {
				s.handed++
				n = s.handed
			}
		}
		end, changed := n > 0 || err != nil || s.closed || ctx.Err() != nil, s.changed
		s.mu.Unlock()
		if end {
			return n, err
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
