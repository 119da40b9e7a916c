//go:build linux

package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

// acts writes what a node's actor would, from a time to a time, in milliseconds.
func acts(t *testing.T, dir string, node, from, to int) {
	t.Helper()
	s, err := stamp.Open(journalOf(dir, node))
	if err != nil {
		t.Fatal(err)
	}
	for at := from; at <= to; at += int(stamp.Beat.Milliseconds()) {
		s.At(time.Duration(at) * time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestJournal(t *testing.T) {
	for _, tt := range []struct {
		name     string
		acts     [][3]int // node, from, to
		next     int      // who took over from node 1 after 100 ms, 0 nobody
		at       int
		last     int // of node 1, before that
		together int
	}{
		{"nobody", [][3]int{{1, 0, 100}}, 0, 0, 0, 0},
		{"in order", [][3]int{{1, 0, 95}, {2, 300, 500}}, 2, 300, 95, 0},
		{"the first of two", [][3]int{{1, 0, 95}, {2, 300, 400}, {3, 250, 280}}, 3, 250, 95, 0},
		{"both for a while", [][3]int{{1, 0, 400}, {2, 300, 500}}, 2, 300, 295, 100},
		{"the old one woke once", [][3]int{{1, 0, 95}, {2, 300, 500}, {1, 400, 400}}, 2, 300, 95, 5},
		{"handed over after one more line", [][3]int{{1, 0, 100}, {2, 104, 200}}, 2, 104, 100, 0},
		{"three", [][3]int{{1, 0, 400}, {2, 300, 500}, {3, 350, 450}}, 2, 300, 295, 150},
		{"a pause ends an act", [][3]int{{1, 0, 120}, {2, 300, 500}, {1, 600, 620}}, 2, 300, 120, 0},
		{"what was before does not count", [][3]int{{1, 0, 95}, {2, 0, 50}, {2, 300, 320}}, 2, 300, 95, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := journal{dir: t.TempDir()}
			const fault = 100 * time.Millisecond
			for _, a := range tt.acts {
				acts(t, j.dir, a[0], a[1], a[2])
			}
			if err := j.read(); err != nil {
				t.Fatal(err)
			}
			who, at, ok := j.first(fault, 1)
			if ok != (tt.next != 0) || who != tt.next || at != time.Duration(tt.at)*time.Millisecond {
				t.Errorf("node %d took over at %v, want node %d at %d ms", who, at, tt.next, tt.at)
			}
			if last, _ := j.last(at, 1); ok && last != time.Duration(tt.last)*time.Millisecond {
				t.Errorf("the old one acted last at %v, want %d ms", last, tt.last)
			}
			if got := j.together(fault); got != time.Duration(tt.together)*time.Millisecond {
				t.Errorf("two acted at once for %v, want %d ms", got, tt.together)
			}
		})
	}
}

// TestJournalHalfLine reads a line only once all of it is there.
func TestJournalHalfLine(t *testing.T) {
	j := journal{dir: t.TempDir()}
	f, err := os.Create(journalOf(j.dir, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, part := range []string{"10\n2", "0", "\n"} {
		if _, err := fmt.Fprint(f, part); err != nil {
			t.Fatal(err)
		}
		if err := j.read(); err != nil {
			t.Fatal(err)
		}
		if got, want := len(j.acts[2]), 1+i/2; got != want {
			t.Errorf("after %d parts: %d lines, want %d", i+1, got, want)
		}
	}
}
