package shop

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrStale is what source and sink say to a token smaller than one they have seen.
var ErrStale = errors.New("a greater token has been seen: another master reigns")

// Attachment is what a new master's work says first.
type Attachment struct {
	Token, Instance string
	PID             int
	Started         time.Duration // CLOCK_BOOTTIME
}

// Source makes orders and hands them out, like a queue that wants
// acknowledgements: what was handed out and not acknowledged is handed out
// again, to the next one that attaches. Safe for concurrent use.
type Source struct {
	mu      sync.Mutex // guards all below
	highest string     // token; tokens compare as text
	made    int        // greatest number that exists
	handed  int        // greatest number that was handed out
	open    map[int]bool
	again   []int // of those, to be handed out once more, in order
	closed  bool
	changed chan struct{} // closed and renewed when there may be more to take
}

// NewSource is a source without orders.
func NewSource() *Source { return &Source{open: map[int]bool{}, changed: make(chan struct{})} }

// Make adds one order.
func (s *Source) Make() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.made++
		s.wake()
	}
}

// Close ends the making. What was made is still handed out.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

func (s *Source) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// admit remembers the greatest token and refuses smaller ones.
func (s *Source) admit(token string) error {
	if token < s.highest {
		return ErrStale
	}
	s.highest = token
	return nil
}

// Attach begins to serve a master: from now on older tokens are refused, and
// what nobody acknowledged is handed out again. It returns how much that is.
func (s *Source) Attach(token string) (again int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(token); err != nil {
		return 0, err
	}
	s.again = s.again[:0]
	for n := range s.open {
		s.again = append(s.again, n)
	}
	slices.Sort(s.again)
	s.wake()
	return len(s.again), nil
}

// Take hands out an order. It waits for one, but not for ever: ok is false
// when ctx ended first.
func (s *Source) Take(ctx context.Context, token string) (o Order, ok bool, err error) {
	for {
		s.mu.Lock()
		err := s.admit(token)
		n := 0
		switch {
		case err != nil || ctx.Err() != nil:
		case len(s.again) > 0:
			n, s.again = s.again[0], s.again[1:]
		case s.handed < s.made:
			s.handed++
			n = s.handed
			s.open[n] = true
		}
		changed := s.changed
		s.mu.Unlock()
		if err != nil || n > 0 {
			return newOrder(n), n > 0, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return o, false, nil
		}
	}
}

// Ack says that the order is done with, whoever took it.
func (s *Source) Ack(token string, number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(token); err != nil {
		return err
	}
	delete(s.open, number)
	if i, ok := slices.BinarySearch(s.again, number); ok {
		s.again = slices.Delete(s.again, i, i+1)
	}
	return nil
}

// Count tells how many orders exist and how many were handed out.
func (s *Source) Count() (made, handed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made, s.handed
}

// Open is which orders were handed out and not acknowledged, in order.
func (s *Source) Open() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]int, 0, len(s.open))
	for n := range s.open {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}
