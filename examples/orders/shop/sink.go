package shop

import (
	"strconv"
	"sync"
	"time"
)

// Verdict is a sink's answer to a write.
type Verdict string

// The verdicts.
const (
	Taken  Verdict = "taken"
	Stale  Verdict = "stale"  // a greater token has been seen
	Repeat Verdict = "repeat" // an invoice of this id is there already
)

// Write is one attempt to hand an invoice in.
type Write struct {
	ID      string
	Token   string // the writer's fencing token
	Invoice Invoice
}

// Entry is one line of a sink's books.
type Entry struct {
	Write
	Verdict Verdict
	At      time.Duration // on the clock of the sink
}

// Sink is a store as it should stand behind any master: it refuses a token
// smaller than one it has seen, and takes each id once. It also keeps books of
// all that was tried. Safe for concurrent use.
type Sink struct {
	now func() time.Duration

	mu      sync.Mutex // guards all below
	highest string     // token; tokens compare as text
	taken   map[string]bool
	prefix  int // all numbers up to here were taken
	books   []Entry
}

// NewSink is an empty sink with that clock.
func NewSink(now func() time.Duration) *Sink { return &Sink{now: now, taken: map[string]bool{}} }

// Write takes an invoice or refuses it.
func (s *Sink) Write(w Write) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := Entry{Write: w, Verdict: Taken, At: s.now()}
	switch {
	case s.admit(w.Token) != nil:
		e.Verdict = Stale
	case s.taken[w.ID]:
		e.Verdict = Repeat
	default:
		s.taken[w.ID] = true
		for s.taken[strconv.Itoa(s.prefix+1)] {
			s.prefix++
		}
	}
	s.books = append(s.books, e)
	return e.Verdict
}

func (s *Sink) admit(token string) error {
	if token < s.highest {
		return ErrStale
	}
	s.highest = token
	return nil
}

// See shows the sink a token: from now on smaller ones are refused. It reports
// whether this one is.
func (s *Sink) See(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admit(token)
}

// UpTo is the greatest number up to which all were taken.
func (s *Sink) UpTo() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prefix
}

// Around is when the last write before token and the first one with it, or a
// greater one, were taken; ok is false while there is none.
func (s *Sink) Around(token string) (last, first time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.books {
		switch {
		case e.Verdict == Stale:
		case e.Token >= token:
			return last, e.At, true
		default:
			last = e.At
		}
	}
	return last, 0, false
}

// Books is a copy of all that was tried, in order.
func (s *Sink) Books() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.books...)
}

// Tried is a copy of what was tried from the n-th write on.
func (s *Sink) Tried(n int) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.books[min(n, len(s.books)):]...)
}
