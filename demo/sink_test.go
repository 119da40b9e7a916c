package demo

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// ticks is a clock that goes on by a millisecond with each look.
func ticks() func() time.Duration {
	var t time.Duration
	return func() time.Duration {
		t += time.Millisecond
		return t
	}
}

// Tokens as an instance makes them: 20 digits of the epoch, then the instance.
const (
	token1  = "00000000000000000001-ff000000000000000000000000000000"
	token9  = "00000000000000000009-10000000000000000000000000000000"
	token10 = "00000000000000000010-00000000000000000000000000000000"
	token1b = "00000000000000000001-ff000000000000000000000000000001"
)

func TestSinkVerdicts(t *testing.T) {
	s := newSink(ticks())
	for i, w := range []struct {
		message int
		token   string
		want    Verdict
	}{
		{2, token1, Taken},
		{1, token1, Taken},
		{2, token1, Repeat},
		{3, token1b, Taken}, // the same epoch, a greater instance
		{4, token1, Stale},
		{1, token1, Stale}, // stale before repeat: an old master learns that it is one
		{4, token9, Taken},
		{5, token10, Taken}, // 10 is more than 9, as text too
		{6, token9, Stale},
		{4, token10, Repeat},
		{6, token10, Taken},
	} {
		if got := s.write(Record{w.message, w.token}); got != w.want {
			t.Errorf("write %d of message %d: got %q, want %q", i, w.message, got, w.want)
		}
	}
	journal, stale, repeats := s.books()
	var taken []int
	for _, e := range journal {
		taken = append(taken, e.Message)
	}
	if want := []int{2, 1, 3, 4, 5, 6}; !slices.Equal(taken, want) {
		t.Errorf("journal: got %v, want %v", taken, want)
	}
	if len(stale) != 3 || len(repeats) != 2 {
		t.Errorf("refused: got %d stale and %d repeats, want 3 and 2", len(stale), len(repeats))
	}
	if got := s.upTo(); got != 6 {
		t.Errorf("taken up to %d, want 6", got)
	}
}

func TestSinkMissing(t *testing.T) {
	s := newSink(ticks())
	for _, n := range []int{1, 2, 5} {
		s.write(Record{n, token1})
	}
	if got, want := s.missing(6), []int{3, 4, 6}; !slices.Equal(got, want) {
		t.Errorf("missing: got %v, want %v", got, want)
	}
	if got := s.upTo(); got != 2 {
		t.Errorf("taken up to %d, want 2", got)
	}
}

// A token counts from the moment it was shown, before anything is written with it.
func TestSinkSees(t *testing.T) {
	s := newSink(ticks())
	if err := s.see(token9); err != nil {
		t.Fatal(err)
	}
	if err := s.see(token1); !errors.Is(err, errStale) {
		t.Errorf("an older token: got %v, want %v", err, errStale)
	}
	if got := s.write(Record{1, token1}); got != Stale {
		t.Errorf("write under the older token: got %q, want %q", got, Stale)
	}
	if got := s.write(Record{1, token9}); got != Taken {
		t.Errorf("write under the seen token: got %q, want %q", got, Taken)
	}
}

func TestSinkAround(t *testing.T) {
	s := newSink(ticks())
	if _, _, ok := s.around(token9); ok {
		t.Error("a first write where there is none")
	}
	s.write(Record{1, token1}) // at 1 ms
	s.write(Record{2, token1})
	s.write(Record{3, token9})
	s.write(Record{4, token9})
	if last, first, ok := s.around(token9); last != 2*time.Millisecond || first != 3*time.Millisecond || !ok {
		t.Errorf("got %v, %v, %v; want 2ms, 3ms, true", last, first, ok)
	}
}

func anyone() error { return nil }

func TestSourceHandsOutOnce(t *testing.T) {
	s := newSource()
	const total, takers = 200, 4
	got := make(chan int, total)
	for range takers {
		go func() {
			for {
				n, err := s.take(t.Context(), anyone)
				if n == 0 || err != nil {
					got <- 0
					return
				}
				got <- n
			}
		}()
	}
	for range total {
		s.make()
	}
	s.close()
	s.make() // too late
	seen := map[int]int{}
	for ended := 0; ended < takers; {
		if n := <-got; n > 0 {
			seen[n]++
		} else {
			ended++
		}
	}
	for n := 1; n <= total; n++ {
		if seen[n] != 1 {
			t.Errorf("message %d was handed out %d times", n, seen[n])
		}
	}
	if made, handed := s.count(); made != total || handed != total || len(seen) != total {
		t.Errorf("made %d, handed %d, seen %d; want %d each", made, handed, len(seen), total)
	}
}

func TestSourceRefuses(t *testing.T) {
	s := newSource()
	s.make()
	if n, err := s.take(t.Context(), func() error { return errStale }); n != 0 || !errors.Is(err, errStale) {
		t.Errorf("got message %d, %v; want 0, %v", n, err, errStale)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := s.take(gone, anyone); n != 0 || err != nil {
		t.Errorf("after hanging up: got message %d, %v; want 0, nil", n, err)
	}
	if n, err := s.take(t.Context(), anyone); n != 1 || err != nil {
		t.Errorf("got message %d, %v; want 1: a refusal must use none up", n, err)
	}
}

// Who waits when the right to take is lost gets nothing.
func TestSourceAsksWhenHandingOut(t *testing.T) {
	s, k := newSource(), newSink(ticks())
	result := make(chan error)
	waiting, hungUp := context.WithCancel(t.Context())
	defer hungUp()
	go func() {
		_, err := s.take(waiting, func() error { return k.see(token1) })
		result <- err
	}()
	if err := k.see(token9); err != nil {
		t.Fatal(err)
	}
	s.make()
	if err := <-result; !errors.Is(err, errStale) {
		t.Errorf("got %v, want %v", err, errStale)
	}
	if _, handed := s.count(); handed != 0 {
		t.Errorf("%d handed out, want 0", handed)
	}
}
