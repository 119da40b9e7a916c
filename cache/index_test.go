package cache

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestIndex compares the index with a map over random additions and removals.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, want := new(index), map[string]*entry{}
		// Few keys, and parts forced to be few: so that probes run into each other.
		key := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 2000).Draw(t, "key")) })
		for range rapid.IntRange(1, 4000).Draw(t, "steps") {
			k := key.Draw(t, "k")
			if got := x.get(k); got != want[k] {
				t.Fatalf("get %s: %v, want %v", k, got, want[k])
			}
			if e := want[k]; e != nil {
				x.remove(e)
				delete(want, k)
			} else {
				e := newEntry(k, 0)
				x.add(e)
				want[k] = e
			}
		}
		for k, e := range want {
			if x.get(k) != e {
				t.Fatalf("%s is lost", k)
			}
		}
		used := 0
		for i := range x.parts {
			used += x.parts[i].used
		}
		if used != len(want) {
			t.Fatalf("%d places used, want %d", used, len(want))
		}
	})
}

// TestIndexRunsOver has one part only, so that every probe meets others.
func TestIndexRunsOver(t *testing.T) {
	var p part
	x := new(index)
	var all []*entry
	for i := 0; len(all) < 300; i++ {
		e := newEntry(fmt.Sprint(i), 0)
		if part, _ := x.of(hashOf(e.key())); part == &x.parts[7] {
			x.add(e)
			all = append(all, e)
		}
	}
	p = x.parts[7]
	if p.used != 300 {
		t.Fatalf("%d in the part", p.used)
	}
	for i, e := range all {
		x.remove(e)
		for j, o := range all {
			if got := x.get(o.key()); (j > i) != (got == o) {
				t.Fatalf("after %d removals entry %d is %v", i+1, j, got)
			}
		}
	}
}
