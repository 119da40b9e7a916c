package cache

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEvictsTheLeastRecentlyUsed(t *testing.T) {
	a := start(t, "a", func(cfg *Config) { cfg.Caches = []Spec{{Name: DefaultName, MaxEntries: 3, Eternal: true}} })
	a.promote(1)
	for _, k := range []string{"a", "b", "c"} {
		a.put(k, k)
	}
	a.named().Get("a")
	if err := a.named().PutInFlight(t.Context(), "flying", nil); err != nil {
		t.Fatal(err)
	}
	a.put("d", "d") // b goes
	a.put("c", "again")
	a.put("e", "e") // a goes
	got := fmt.Sprint(a.contents())
	if want := "map[c:again d:d e:e flying:]"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	if n := a.Status().Counters.Evictions; n != 2 {
		t.Fatalf("%d evictions", n)
	}
}

// Whatever is used again and again, in a great table too the least recently used
// goes: against a list that is put right at each use.
func TestEvictsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 300).Draw(t, "most")
		x := newTable(Spec{MaxEntries: most, Eternal: true})
		var order []string // the least recently used first
		used := func(key string) {
			order = append(slices.DeleteFunc(order, func(k string) bool { return k == key }), key)
		}
		flying := map[string]bool{}
		keys := rapid.StringMatching("[a-z]{1,2}")
		for range rapid.IntRange(1, 1000).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if e := x.get(key); e != nil {
					x.remove(e)
					order = slices.DeleteFunc(order, func(k string) bool { return k == key })
					delete(flying, key)
				}
			case 1, 2:
				if x.get(key) != nil && !flying[key] {
					used(key)
				}
			default:
				inFlight := rapid.IntRange(0, 9).Draw(t, "in flight") == 0
				x.set(x.get(key), key, nil, 1, 1, inFlight)
				if flying[key] = inFlight; inFlight {
					order = slices.DeleteFunc(order, func(k string) bool { return k == key })
				} else {
					used(key)
				}
			}
			for e := x.overfull(); e != nil; e = x.overfull() {
				if e.key() != order[0] {
					t.Fatalf("%q goes, and %q was not used for longer", e.key(), order[0])
				}
				x.remove(e)
				order = order[1:]
			}
			if x.len()-len(x.inFlight) != len(order) || len(order) > most {
				t.Fatalf("%d entries, want %d, at most %d", x.len()-len(x.inFlight), len(order), most)
			}
		}
	})
}

// Entries that were used once, long ago, do not outlive those that came later.
func TestAnOldUseIsNoUse(t *testing.T) {
	x := newTable(Spec{MaxEntries: 10_000, Eternal: true})
	put := func(n int) { x.set(x.get(fmt.Sprint(n)), fmt.Sprint(n), nil, 1, 1, false) }
	for n := range 6000 {
		put(n)
		x.get(fmt.Sprint(n))
	}
	for n := 6000; n < 11_000; n++ {
		put(n)
		for e := x.overfull(); e != nil; e = x.overfull() {
			x.remove(e)
		}
	}
	for n := range 11_000 {
		if there := x.peek(fmt.Sprint(n)) != nil; there != (n >= 1000) {
			t.Fatalf("entry %d is there: %v", n, there)
		}
	}
}

// What a slave updated is not the next to go when it is master.
func TestAPromotedSlaveKnowsWhatWasUsed(t *testing.T) {
	few := func(cfg *Config) { cfg.Caches = []Spec{{Name: DefaultName, MaxEntries: 3, Eternal: true}} }
	a, b := start(t, "a", few), start(t, "b", few)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	for _, k := range []string{"a", "b", "c", "a"} {
		a.put(k, k)
	}
	same(t, a, b)
	a.stop()
	b.promote(2)
	b.put("d", "d")
	if got := fmt.Sprint(b.contents()); got != "map[a:a c:c d:d]" {
		t.Fatal(got)
	}
}

func TestExpiry(t *testing.T) {
	now := int64(0)
	for _, tt := range []struct {
		name string
		spec Spec
		use  int64 // of the entry, in ms after it was written; 0: none
		ends int64
	}{
		{"to live", Spec{TimeToLive: time.Second}, 500, 1000},
		{"to idle", Spec{TimeToIdle: time.Second}, 0, 1000},
		{"to idle, used", Spec{TimeToIdle: time.Second}, 700, 1700},
		{"both", Spec{TimeToIdle: time.Second, TimeToLive: 1500 * time.Millisecond}, 700, 1500},
		{"eternal", Spec{TimeToIdle: time.Second, TimeToLive: time.Second, Eternal: true}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTable(tt.spec)
			x.set(nil, "k", nil, 1, now, false)
			x.set(nil, "flying", nil, 2, now, true)
			for ms := int64(0); ms < 10_000; ms += 50 {
				if ms == tt.use && ms > 0 {
					x.get("k").used = ms
				}
				ended := false
				x.sweep(ms, func(e *entry) {
					if e.key() != "k" {
						t.Fatal("an entry in flight expired")
					}
					ended = true
					x.remove(e)
				})
				if ended {
					if tt.ends == 0 || ms < tt.ends || ms > tt.ends+3*wheelTick {
						t.Fatalf("ended at %d, want %d", ms, tt.ends)
					}
					return
				}
			}
			if tt.ends != 0 {
				t.Fatal("never ended")
			}
		})
	}
}

// What is removed does not stay in memory until it would have expired.
func TestTheWheelForgets(t *testing.T) {
	for name, change := range map[string]func(x *table, i int){
		"removed": func(x *table, i int) { x.remove(x.set(nil, fmt.Sprint(i), nil, 1, 1, false)) },
		"evicted": func(x *table, i int) {
			x.set(nil, fmt.Sprint(i), nil, 1, 1, false)
			for e := x.overfull(); e != nil; e = x.overfull() {
				x.remove(e)
			}
		},
		"moved": func(x *table, i int) { x.set(x.get("k"), "k", make([]byte, 1000*(i%2)), 1, 1, false) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newTable(Spec{TimeToLive: time.Hour, MaxEntries: 10})
			for i := range 1000 {
				change(x, i)
				held, dead := 0, 0
				for _, due := range x.wheel {
					for _, e := range due {
						if held++; e.slot < 0 {
							dead++
						}
					}
				}
				if dead != x.dead || held-dead != x.len() || dead > x.len()+wheelSlack {
					t.Fatalf("after %d: %d in the wheel, %d of them removed, counted %d; %d entries", i, held, dead, x.dead, x.len())
				}
			}
			x.sweep(2*time.Hour.Milliseconds(), func(e *entry) { x.remove(e) })
			if x.dead != 0 || x.len() != 0 || len(x.wheel) != 0 {
				t.Fatalf("at the end: %d removed, %d entries, %d ticks", x.dead, x.len(), len(x.wheel))
			}
		})
	}
}

// An empty value has no place: behind a key that fills its memory begins that of
// another.
func TestEmptyValue(t *testing.T) {
	for size := range 100 {
		e := newEntry(strings.Repeat("k", size), 0)
		e.setValue(nil)
		if v := e.value(); v != nil || len(e.key()) != size {
			t.Fatalf("key of %d bytes: value %v", size, v)
		}
	}
}
