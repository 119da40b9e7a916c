package cachetest

import (
	"testing"
	"time"
)

// TestSureOfAnother: a slave that was in step with the last master is not sure
// of what the present one acknowledged.
func TestSureOfAnother(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		fill(t, at[0], "sync", 10, 100)
		l.Kill(at[0], false)
		l.Fabric.Cut("b", "c")
		l.Elect(at[1])
		l.Follow(at[2], at[1])
		fill(t, at[1], "sync", 3, 100) // alone, with an event
		time.Sleep(2 * time.Millisecond)
		l.Kill(at[1], false)
		l.Elect(at[2]) // complains if it is sure
		if !at[2].reign.unsure || l.Count["surely in step"] > 1 {
			t.Error("it takes itself for sure")
		}
		l.Calm(10 * time.Second)
	})
}

// TestTwoCopiesOfOneReign: of two copies of a deposed reign the shorter one is
// kept as orphans first, and the longer one comes as orphans of a third reign.
func TestTwoCopiesOfOneReign(t *testing.T) {
	lab(t, 4, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		a, b, c := at[0], at[1], at[2]
		fill(t, a, "async", 10, 100)
		time.Sleep(time.Second)
		for _, pair := range []string{"ab", "ad", "cb", "cd"} {
			l.Fabric.Cut(pair[:1], pair[1:])
		}
		fill(t, a, "async", 10, 100)
		time.Sleep(time.Second)
		l.Fabric.Cut("a", "c")
		fill(t, a, "async", 10, 100) // longer than what c has
		l.Elect(b)
		time.Sleep(time.Second)
		l.Fabric.Cut("b", "d")
		l.Fabric.Heal("c", "b")
		l.Follow(c, b)
		time.Sleep(time.Second)
		l.Fabric.Heal("a", "d")
		l.Elect(a)
		time.Sleep(time.Second)
		if n := len(orphans(t, a, "async")); n != 10 {
			t.Errorf("%d orphans on a", n)
		}
		l.Raise(b, a.reign.of.Epoch+1)
		l.Calm(20 * time.Second)
		if m := l.Master(); m != b || l.Count["orphans expected"] == 0 {
			t.Errorf("%s won, %v", m.Name, l.Count)
		}
	})
}
