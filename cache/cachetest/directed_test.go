package cachetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
)

// lab runs a story on instances a, b, c …, of which a is the master.
func lab(t *testing.T, instances int, cfg LabConfig, story func(l *Lab, at []*Instance)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if len(cfg.Caches) == 0 {
			cfg.Caches = []cache.Spec{{Name: "sync", Eternal: true, Synchronous: true}, {Name: "async", Eternal: true}}
		}
		cfg.Debug = *debug
		l := NewLab(cfg)
		var at []*Instance
		for n := range instances {
			at = append(at, l.Start(string(rune('a'+n))))
		}
		l.Elect(at[0])
		time.Sleep(time.Second)
		story(l, at)
		l.Check()
		l.Close()
		report(t, l)
	})
}

// load runs clients that put into both caches until the returned function is
// called.
func load(l *Lab, clients int, pause time.Duration) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for n := range clients {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		wg.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Duration(1 + rng.Int64N(int64(pause))))
				for _, i := range l.Writers() {
					_, _ = i.Put(ctx, []string{"sync", "async"}[rng.IntN(2)], fmt.Sprint("k", rng.IntN(100)), 50, false)
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// TestQuiet: under load and without faults nobody falls out of step.
func TestQuiet(t *testing.T) {
	for _, pause := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(fmt.Sprint(pause), func(t *testing.T) {
			lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
				l.Fabric.SetLink(Link{Delay: 800 * time.Microsecond, Jitter: 100 * time.Microsecond})
				stop := load(l, 5, pause)
				time.Sleep(5 * time.Second)
				stop()
				if n := at[0].events[cache.EventOutOfStep]; n > 0 {
					l.Fail("slaves fell out of step %d times", n)
				}
			})
		})
	}
}

var ctx = context.Background()

// fill puts so many values of a size, one after the other.
func fill(t *testing.T, i *Instance, name string, n, size int) {
	t.Helper()
	for k := range n {
		if _, err := i.Put(ctx, name, fmt.Sprintf("%s%05d", name, k), size, false); err != nil {
			t.Fatalf("put %d: %v", k, err)
		}
		if size > 10<<10 {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestWriterDies: the master dies while it sends a snapshot; the next one sends
// another.
func TestWriterDies(t *testing.T) {
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			lab(t, 2, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
				fill(t, at[0], "async", 8000, 200) // more than the ring
				time.Sleep(time.Second)
				l.Fabric.SetLink(Link{Delay: time.Millisecond, Buffer: 8 << 10})
				c := l.Start("c")
				l.Follow(c, at[0])
				for c.Cache.Status().Counters.BytesReceived == 0 {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(after)
				if !c.Cache.Status().Following.Snapshot {
					t.Error("no snapshot is under way")
				}
				l.Kill(at[0], false)
				l.Elect(at[1])
				l.Calm(20 * time.Second)
				if n := len(l.Master().shadow["async"]); n != 8000 {
					t.Errorf("%d entries are left", n)
				}
			})
		})
	}
}

// TestSnapshotUnderLoad: a joiner falls off the ring while it gets its
// snapshot, again and again, until the load ends.
func TestSnapshotUnderLoad(t *testing.T) {
	lab(t, 2, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		fill(t, at[0], "async", 8000, 200)
		c := l.Start("c")
		l.Fabric.SetLink(Link{Delay: time.Millisecond, Buffer: 16 << 10})
		l.Follow(c, at[0])
		time.Sleep(20 * time.Millisecond)
		for k := range 100 {
			_, _ = at[0].Put(ctx, "async", fmt.Sprint("big", k%5), 60<<10, false)
			_ = at[0].Remove(ctx, "async", fmt.Sprintf("async%05d", k*7)) // moves entries about
			time.Sleep(time.Millisecond)
		}
		if at[0].Cache.Status().Counters.Cuts == 0 {
			t.Error("nobody fell off the ring")
		}
		l.Calm(20 * time.Second)
	})
}

// TestBigValues: values of any size that is allowed go by every way: live, in a
// snapshot, and as orphans.
func TestBigValues(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		for k, size := range []int{cache.MaxValue, 250 << 10, cache.MaxValue, 200 << 10, 30, cache.MaxValue - 1, 260 << 10} {
			if _, err := at[0].Put(ctx, "async", fmt.Sprint("all", k), size, k%2 == 0); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := at[0].Put(ctx, "async", "k", cache.MaxValue+1, false); !errors.Is(err, cache.ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		l.faults = nil // the lab expects no such error
		l.Calm(20 * time.Second)
		l.Fabric.Cut("a", "b")
		l.Fabric.Cut("a", "c")
		for k := range 12 {
			_, _ = at[0].Put(ctx, "async", fmt.Sprint("alone", k), cache.MaxValue-k*100_000, false)
		}
		l.Elect(at[1])
		l.Calm(20 * time.Second)
		if n := len(orphans(t, at[2], "async")); n != 12 {
			t.Errorf("%d orphans, want 12", n)
		}
		l.Start("d") // gets a snapshot of all that
		l.Calm(20 * time.Second)
	})
}

func orphans(t *testing.T, i *Instance, name string) []cache.Entry {
	t.Helper()
	named, err := i.Cache.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return named.Orphans()
}

// TestLongerLog: a deposed master's log is longer than the new one's, which
// wins all the same; what only the old one had is kept.
func TestLongerLog(t *testing.T) {
	for _, ringful := range []bool{false, true} {
		t.Run(fmt.Sprint("more than the ring: ", ringful), func(t *testing.T) {
			lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
				fill(t, at[0], "async", 50, 100)
				l.Calm(10 * time.Second)
				l.Fabric.Cut("a", "b")
				l.Fabric.Cut("a", "c")
				time.Sleep(time.Second)
				size := 100
				if ringful {
					size = 50 << 10
				}
				fill(t, at[0], "async", 40, size) // over what is there
				fill(t, at[0], "sync", 10, 100)
				l.Elect(at[1])
				fill(t, at[1], "async", 5, 100)
				l.Calm(10 * time.Second)
				for _, i := range at {
					if n, m := len(orphans(t, i, "async")), len(orphans(t, i, "sync")); n != 40 || m != 10 {
						t.Errorf("%s has %d and %d orphans, want 40 and 10", i.Name, n, m)
					}
				}
				if at[0].Cache.Pos().Epoch != 2 || at[0].events[cache.EventOrphans] == 0 {
					t.Errorf("the old master is at %v and told %v", at[0].Cache.Pos(), at[0].events)
				}
				// Dropped on one, gone from all.
				named, _ := at[1].Cache.Named("async")
				if err := named.DropOrphan(ctx, "async00003"); err != nil {
					t.Fatal(err)
				}
				l.dropped["async/async00003"] = true
				l.Calm(10 * time.Second)
				if n := len(orphans(t, at[0], "async")); n != 39 {
					t.Errorf("%d orphans after one was dropped", n)
				}
				// Also on one that was away meanwhile, and comes back by a snapshot.
				snapshots := at[1].Cache.Status().Counters.Snapshots
				l.Fabric.Cut("a", "b")
				l.Fabric.Cut("a", "c")
				if err := named.DropOrphan(ctx, "async00004"); err != nil {
					t.Fatal(err)
				}
				l.dropped["async/async00004"] = true
				time.Sleep(10 * time.Second)        // its stream is given up
				fill(t, at[1], "async", 40, 50<<10) // more than the ring
				l.Calm(10 * time.Second)
				if at[1].Cache.Status().Counters.Snapshots == snapshots {
					t.Error("it needed no snapshot")
				}
				for _, i := range at {
					if n := len(orphans(t, i, "async")); n != 38 {
						t.Errorf("%s has %d orphans after two were dropped", i.Name, n)
					}
				}
			})
		})
	}
}

// TestOrphansToSealed: orphans that come to a master while it tries to hand
// over, in vain, are kept.
func TestOrphansToSealed(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		l.Fabric.Cut("a", "b")
		l.Fabric.Cut("a", "c")
		time.Sleep(time.Second)
		fill(t, at[0], "async", 10, 100)
		l.Elect(at[1])
		time.Sleep(time.Second)
		l.Fabric.HealAll()
		at[1].Cache.Seal()
		l.Follow(at[0], at[1])
		time.Sleep(time.Second)
		if err := at[1].Cache.Promote(at[1].reign.of); err != nil {
			t.Fatal(err)
		}
		l.Calm(10 * time.Second)
		if n := len(orphans(t, at[2], "async")); n != 10 {
			t.Errorf("%d orphans, want 10", n)
		}
	})
}

// TestOrphansOutliveMaster: the master to which orphans were handed dies before
// anyone else has them.
func TestOrphansOutliveMaster(t *testing.T) {
	for after := time.Duration(0); after < 6*time.Millisecond; after += 500 * time.Microsecond {
		lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
			l.Fabric.SetLink(Link{Delay: 500 * time.Microsecond})
			l.Fabric.Cut("a", "b")
			l.Fabric.Cut("a", "c")
			time.Sleep(time.Second)
			fill(t, at[0], "async", 10, 100)
			l.Elect(at[1])
			time.Sleep(time.Second)
			l.Fabric.HealAll()
			l.Follow(at[0], at[1])
			time.Sleep(after)
			l.Kill(at[1], false)
			l.Elect(at[2])
			l.Calm(10 * time.Second)
			if n := len(orphans(t, at[2], "async")); n != 10 {
				t.Errorf("killed after %v: %d orphans, want 10", after, n)
			}
		})
	}
}

// TestEqualEpochs: two masters of one epoch meet.
func TestEqualEpochs(t *testing.T) {
	lab(t, 4, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		l.Kill(at[0], false)
		for _, x := range at[1:2] {
			for _, y := range at[2:] {
				l.Fabric.Cut(x.Name, y.Name)
			}
		}
		l.Elect(at[1])
		l.Elect(at[2])
		if at[1].reign.of.Epoch != at[2].reign.of.Epoch {
			t.Fatalf("epochs %v and %v", at[1].reign, at[2].reign)
		}
		fill(t, at[1], "async", 10, 100)
		fill(t, at[2], "async", 15, 100)
		l.Calm(10 * time.Second)
		if m := l.Master(); m.reign.of.Epoch != 3 || len(orphans(t, m, "async"))+len(m.shadow["async"]) != 25 {
			t.Errorf("%v, %d entries, %d orphans", m.reign, len(m.shadow["async"]), len(orphans(t, m, "async")))
		}
	})
}

// TestRaise: greater epochs under load disturb nobody.
func TestRaise(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		stop := load(l, 5, 5*time.Millisecond)
		for range 200 { // more than the history that is kept
			time.Sleep(10 * time.Millisecond)
			l.Raise(at[0], l.promisedTo(at[0]).Epoch+1)
			for _, i := range at[1:] {
				l.Follow(i, at[0])
			}
		}
		stop()
		l.Calm(10 * time.Second)
		if n := at[0].events[cache.EventBroken] + at[0].events[cache.EventOutOfStep]; n > 0 {
			t.Errorf("%d streams broke or fell out of step", n)
		}
	})
}

// TestManyReigns: a slave that was away for more reigns than anyone remembers.
func TestManyReigns(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		fill(t, at[0], "async", 20, 100)
		l.Fabric.Cut("a", "c")
		l.Fabric.Cut("b", "c")
		for range 200 {
			l.Raise(at[0], l.promisedTo(at[0]).Epoch+1)
			l.Follow(at[1], at[0])
			fill(t, at[0], "async", 1, 100)
		}
		l.Calm(10 * time.Second)
	})
}

// TestOldMasterWakes: a master that stood still believes that it still is one.
// It acknowledges nothing that others would have to hold.
func TestOldMasterWakes(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1, Change: func(c *cache.Config) { c.WhenAlone = cache.AloneBlock }}, func(l *Lab, at []*Instance) {
		fill(t, at[0], "sync", 10, 100)
		l.Stall(at[0])
		time.Sleep(2 * time.Second)
		l.Elect(at[1])
		fill(t, at[1], "sync", 5, 100)
		l.Wake(at[0])
		late, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if _, err := at[0].Put(late, "sync", "late", 100, false); err == nil {
			t.Error("the old master acknowledged a put")
		}
		l.Calm(10 * time.Second)
		if n := len(orphans(t, at[2], "sync")); n != 1 {
			t.Errorf("%d orphans, want the late one", n)
		}
	})
}

// TestCorrupted: a flipped bit is found, and the stream begins anew.
func TestCorrupted(t *testing.T) {
	for seed := range uint64(20) {
		lab(t, 2, LabConfig{Seed: seed}, func(l *Lab, at []*Instance) {
			stop := load(l, 2, 10*time.Millisecond)
			for range 10 {
				l.Fabric.Corrupt("a", "b")
				time.Sleep(50 * time.Millisecond)
				l.Fabric.Corrupt("b", "a")
				time.Sleep(50 * time.Millisecond)
			}
			stop()
			if at[1].events[cache.EventBroken]+at[0].events[cache.EventBroken] == 0 {
				t.Error("no stream broke")
			}
			l.Calm(10 * time.Second)
		})
	}
}

// TestSilentSlave: a slave that says nothing holds a synchronous put up for the
// socket timeout, once.
func TestSilentSlave(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(l *Lab, b *Instance)
	}{
		{"stalled", func(l *Lab, b *Instance) { l.Stall(b) }},
		{"cut off", func(l *Lab, b *Instance) { l.Fabric.Cut("a", "b") }},
		{"deaf", func(l *Lab, b *Instance) { l.Fabric.CutOneWay("a", "b") }},
		{"mute", func(l *Lab, b *Instance) { l.Fabric.CutOneWay("b", "a") }},
		{"without power", func(l *Lab, b *Instance) { l.Kill(b, true) }},
		{"killed", func(l *Lab, b *Instance) { l.Kill(b, false) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
				c.fault(l, at[1])
				var longest time.Duration
				for k := range 200 {
					start := time.Now()
					if _, err := at[0].Put(ctx, "sync", fmt.Sprint("k", k), 100, false); err != nil {
						t.Fatal(err)
					}
					longest = max(longest, time.Since(start))
				}
				if longest > 270*time.Millisecond {
					t.Errorf("a put took %v", longest)
				}
				if n := at[0].events[cache.EventOutOfStep]; n != 1 {
					t.Errorf("told %d times that a slave is out of step", n)
				}
				l.Calm(10 * time.Second)
			})
		})
	}
}

// TestStoppedSlave: a slave stands still while far more than the ring is
// written. The master's memory stays bounded, and the slave is complete again
// by itself.
func TestStoppedSlave(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		l.Stall(at[1])
		for k := range 400 {
			if _, err := at[0].Put(ctx, "async", fmt.Sprint("k", k%20), 50<<10, false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if n := at[0].Cache.Status().RingBytes; n > 1<<20+1<<19 {
				t.Fatalf("the ring has %d bytes", n)
			}
		}
		l.Check()
		if p, q := at[0].Cache.Pos(), at[2].Cache.Pos(); p != q {
			t.Errorf("the other slave is at %v, the master at %v", q, p)
		}
		l.Wake(at[1])
		l.Calm(10 * time.Second)
	})
}

// TestFarBehind: who is promoted has to fetch a snapshot at the barrier.
func TestFarBehind(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		fill(t, at[0], "sync", 10, 100)
		l.Fabric.Cut("a", "c")
		time.Sleep(time.Second)
		fill(t, at[0], "sync", 60, 50<<10)
		l.Kill(at[0], false)
		l.Elect(at[2])
		l.Calm(10 * time.Second)
		if n := len(l.Master().shadow["sync"]); n != 60 || l.Master() != at[2] {
			t.Errorf("%d entries on %s", n, l.Master().Name)
		}
	})
}

// TestLostAtBarrier: the only one that has more dies while it is asked.
func TestLostAtBarrier(t *testing.T) {
	lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		fill(t, at[0], "sync", 10, 100)
		l.Fabric.Cut("a", "c")
		time.Sleep(time.Second)
		fill(t, at[0], "sync", 60, 50<<10)
		l.Kill(at[0], false)
		l.Fabric.SetLink(Link{Delay: time.Millisecond, Buffer: 16 << 10})
		time.AfterFunc(30*time.Millisecond, func() { l.Fabric.Kill("b") })
		late, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		if _, err := at[2].Cache.Barrier(late, 2, []netip.AddrPort{at[1].Addr}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if at[2].events[cache.EventLost] != 1 {
			t.Errorf("events %v, want one of %v", at[2].events, cache.EventLost)
		}
		if l.where(at[2]).n > 20 {
			t.Errorf("it is at %v", l.where(at[2]))
		}
		l.Kill(at[1], false)
		if !l.Crown(at[2], 2) {
			t.Error("it cannot be promoted")
		}
		l.Calm(10 * time.Second)
	})
}

// TestOtherCaches: instances that are configured with other caches hold, and
// serve, all the same.
func TestOtherCaches(t *testing.T) {
	lab(t, 1, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
		l.cfg.Change = func(c *cache.Config) {
			c.Caches = []cache.Spec{{Name: "own", Eternal: true}, {Name: "async", Eternal: true}}
		}
		b := l.Start("b")
		l.Follow(b, at[0])
		time.Sleep(time.Second)
		fill(t, at[0], "sync", 10, 100)
		fill(t, at[0], "async", 10, 100)
		time.Sleep(time.Second)
		l.Calm(10 * time.Second)
		l.Kill(at[0], false)
		l.Elect(b)
		fill(t, b, "own", 3, 100)
		fill(t, b, "sync", 12, 100)
		c := l.Start("c")
		l.Follow(c, b)
		l.Calm(10 * time.Second)
		if n := len(b.shadow["own"]) + len(b.shadow["sync"]); n != 15 {
			t.Errorf("%d entries", n)
		}
	})
}

// TestAutoFollow: with gossip alone the slaves find the master, and the next
// one, and after a partition the greater one.
func TestAutoFollow(t *testing.T) {
	cfg := LabConfig{Seed: 1, Change: func(c *cache.Config) {
		c.AutoFollow = true
		c.Peers = []string{"10.0.0.1:7800", "10.0.0.2:7800", "10.0.0.3:7800"}
	}}
	synctest.Test(t, func(t *testing.T) {
		cfg.Caches = []cache.Spec{{Name: "sync", Eternal: true, Synchronous: true}, {Name: "async", Eternal: true}}
		cfg.Debug = *debug
		l := NewLab(cfg)
		a, b, c := l.Start("a"), l.Start("b"), l.Start("c")
		complete := func(what string, of ...*Instance) {
			t.Helper()
			for range 600 {
				time.Sleep(100 * time.Millisecond)
				l.Check()
				same := true
				for _, i := range of {
					same = same && i.at == of[0].at
				}
				if same {
					return
				}
			}
			t.Errorf("%s: not complete within a minute", what)
		}
		l.Crown(a, 1)
		fill(t, a, "async", 10, 100)
		complete("at first", a, b, c)
		l.Kill(a, false)
		time.Sleep(time.Second)
		l.Crown(b, 2)
		fill(t, b, "async", 20, 100)
		complete("after a failover", b, c)
		l.Fabric.Cut("b", "c")
		time.Sleep(20 * time.Second)
		l.Crown(c, 3)
		fill(t, c, "async", 5, 100)
		fill(t, b, "async", 7, 100)
		time.Sleep(20 * time.Second)
		l.Fabric.HealAll()
		l.setReign(b, nil, false) // gossip tells it
		complete("after a partition", c, b)
		if n := len(orphans(t, c, "async")); n != 7 {
			t.Errorf("%d orphans, want 7", n)
		}
		l.Close()
		report(t, l)
	})
}
