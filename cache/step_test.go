package cache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func synchronous(cfg *Config) {
	cfg.Caches = []Spec{{Name: DefaultName, Eternal: true, Synchronous: true}}
	cfg.SocketTimeout = 200 * time.Millisecond
}

// alone is a put on a master that has no slave in step.
func TestPutsWithNoSlaveInStep(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		waits  bool
	}{
		{"allow", synchronous, false},
		{"block", func(cfg *Config) { synchronous(cfg); cfg.WhenAlone = AloneBlock }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := start(t, "a", tt.change)
			a.promote(1)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			err := a.named().Put(ctx, "k", nil)
			if waited := errors.Is(err, context.DeadlineExceeded); waited != tt.waits || !tt.waits && err != nil {
				t.Fatalf("put: %v", err)
			}
			await(t, "the event", func() bool { return a.saw(EventAlone) == 1 })
			if err := a.Flush(t.Context()); !errors.Is(err, ErrNoReplica) {
				t.Fatalf("flush: %v", err)
			}
		})
	}
}

// Whoever removes what is not there any more waits for the removal that took
// it: if that is lost, the entry is back.
func TestRemoveOfTheAbsent(t *testing.T) {
	block := func(cfg *Config) { synchronous(cfg); cfg.WhenAlone = AloneBlock }
	a, b := start(t, "a", block), start(t, "b", block)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	if err := a.named().Put(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	b.Cache.mu.Lock() // it takes nothing in
	for _, which := range []string{"first", "second"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := a.named().Remove(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the %s removal, which no slave knows of: %v", which, err)
		}
		if err := a.named().DropOrphan(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("orphans dropped, which no slave knows of: %v", err)
		}
		cancel()
	}
	b.Cache.mu.Unlock()
	at := a.Pos()
	for key, records := range map[string]uint64{"k": 1, "": 0, strings.Repeat("k", MaxKey+1): 0} {
		if err := a.named().Remove(t.Context(), key); err != nil {
			t.Errorf("key of %d bytes: %v", len(key), err)
		}
		if err := a.named().DropOrphan(t.Context(), key+strings.Repeat("k", 1<<16)); err != nil { // longer than a record can say
			t.Errorf("orphans of a long key: %v", err)
		}
		if wrote := a.Pos().N - at.N; wrote != records {
			t.Errorf("key of %d bytes: %d records, want %d", len(key), wrote, records)
		}
		at = a.Pos()
	}
}

// With a quorum of three of five, two slaves must hold a put.
func TestMinInStep(t *testing.T) {
	two := func(cfg *Config) { synchronous(cfg); cfg.WhenAlone, cfg.MinInStep = AloneBlock, 2 }
	a, b, c := start(t, "a", two), start(t, "b", two), start(t, "c", two)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	await(t, "b in step", func() bool { return a.saw(EventInStep) == 1 })
	done := make(chan error, 1)
	go func() { done <- a.named().Put(t.Context(), "k", nil) }()
	await(t, "the put at b", func() bool { _, ok := b.named().Get("k"); return ok })
	select {
	case err := <-done:
		t.Fatalf("returned with one copy: %v", err)
	default:
	}
	c.Follow(a.reign(1), a.Addr())
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, ok := c.named().Get("k"); !ok {
		t.Fatal("c does not hold it")
	}
}

// A slave whose stream broke is not waited for, and the waiting put returns
// only when the others know the new set.
func TestASlaveThatIsLostIsLeftOut(t *testing.T) {
	a, b, c := start(t, "a", synchronous), start(t, "b", synchronous), start(t, "c", synchronous)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	c.Follow(a.reign(1), a.Addr())
	await(t, "both in step", func() bool { return a.saw(EventInStep) == 2 })
	b.stop()
	a.put("k", "v")
	if _, ok := c.named().Get("k"); !ok {
		t.Fatal("c does not hold it")
	}
	await(t, "b out of step", func() bool { return a.saw(EventOutOfStep) == 1 })
	a.put("l", "v")
	await(t, "c to hear the new set", func() bool {
		_, sync, sure := c.Standing()
		return sync && sure > c.cfg.Now()
	})
	c.mu1(func(r *replica) {
		if len(r.inStep) != 1 || r.inStep[0] != c.Instance() {
			t.Fatalf("in step: %v", r.inStep)
		}
	})
	if _, _, sure := a.Standing(); sure != 0 {
		t.Fatal("a master is surely in step with itself")
	}
}

// A deposed master's waiting puts fail, they do not hang.
func TestADeposedMastersPutsFail(t *testing.T) {
	block := func(cfg *Config) { synchronous(cfg); cfg.WhenAlone = AloneBlock }
	a, b := start(t, "a", block), start(t, "b", block)
	a.promote(1)
	done := make(chan error, 1)
	go func() { done <- a.named().Put(t.Context(), "k", nil) }()
	await(t, "the put waits", func() bool { return a.Pos().N > 2 })
	a.Follow(b.reign(2), b.Addr())
	if err := <-done; !errors.Is(err, ErrNotMaster) {
		t.Fatal(err)
	}
}

func TestInFlightHasItsOwnBound(t *testing.T) {
	a := start(t, "a", func(cfg *Config) {
		cfg.MaxInFlight = 1
		cfg.Caches = []Spec{{Name: DefaultName, MaxEntries: 1, Eternal: true}}
	})
	a.promote(1)
	n := a.named()
	if err := n.PutInFlight(t.Context(), "one", nil); err != nil {
		t.Fatal(err)
	}
	if err := n.PutInFlight(t.Context(), "one", []byte("again")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.PutInFlight(ctx, "two", nil); !errors.Is(err, ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.PutInFlight(t.Context(), "two", nil) }()
	if err := n.Put(t.Context(), "one", []byte("done")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
