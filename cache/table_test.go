package cache

import (
	"fmt"
	"testing"
	"time"
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
