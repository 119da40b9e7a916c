package demo

import (
	"errors"
	"sync"
	"time"
)

// Verdict is a sink's answer to a write.
type Verdict string

// The verdicts.
const (
	Taken  Verdict = "taken"
	Stale  Verdict = "stale"  // a greater token has been seen
	Repeat Verdict = "repeat" // the message is there already
)

var errStale = errors.New("a greater token has been seen: another master reigns")

// Record is one write.
type Record struct {
	Message int
	Token   string // INTERLOK_HA_TOKEN of the writer
}

// entry is one write that a sink took, in the order of taking.
type entry struct {
	Record
	at time.Duration
}

// sink is a store as it should stand behind any master: it refuses a token
// smaller than one it has seen, and takes each message once. Safe for
// concurrent use.
type sink struct {
	now func() time.Duration

	mu      sync.Mutex // guards all below
	highest string     // token; tokens compare as text
	taken   map[int]bool
	prefix  int     // all messages up to here were taken
	journal []entry // what was taken; the report is made from it alone
	refused map[Verdict][]entry
}

func newSink(now func() time.Duration) *sink {
	return &sink{now: now, taken: map[int]bool{}, refused: map[Verdict][]entry{}}
}

// write takes a record or refuses it.
func (s *sink) write(r Record) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{r, s.now()}
	switch {
	case !s.admit(r.Token):
		s.refused[Stale] = append(s.refused[Stale], e)
		return Stale
	case s.taken[r.Message]:
		s.refused[Repeat] = append(s.refused[Repeat], e)
		return Repeat
	}
	s.taken[r.Message] = true
	for s.taken[s.prefix+1] {
		s.prefix++
	}
	s.journal = append(s.journal, e)
	return Taken
}

// admit remembers the greatest token and refuses smaller ones.
func (s *sink) admit(token string) bool {
	if token < s.highest {
		return false
	}
	s.highest = token
	return true
}

// see shows the sink a token: from now on smaller ones are refused. It reports
// whether this one is.
func (s *sink) see(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.admit(token) {
		return errStale
	}
	return nil
}

// missing tells which messages up to n were not taken.
func (s *sink) missing(n int) (list []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.prefix + 1; i <= n; i++ {
		if !s.taken[i] {
			list = append(list, i)
		}
	}
	return list
}

// upTo is the greatest number up to which all messages were taken.
func (s *sink) upTo() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prefix
}

// around is when the last write before token and the first one with it were
// taken; ok is false while there is none with it.
func (s *sink) around(token string) (last, first time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.journal {
		if e.Token == token {
			return last, e.at, true
		}
		last = e.at
	}
	return last, 0, false
}

// books is a copy of all that was written.
func (s *sink) books() (journal, stale, repeats []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]entry(nil), s.journal...), append([]entry(nil), s.refused[Stale]...), append([]entry(nil), s.refused[Repeat]...)
}
