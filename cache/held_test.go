package cache

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Held speaks of copies, whether puts wait for them or not.
func TestHeld(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"asynchronous": func(cfg *Config) { cfg.SocketTimeout = 200 * time.Millisecond },
		"synchronous":  synchronous,
		"blocking":     blocking,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t, "a", change), start(t, "b", change)
			a.promote(1)
			if err := a.Held(t.Context(), a.Pos().N); !errors.Is(err, ErrNoReplica) {
				t.Fatalf("with no slave: %v", err)
			}
			b.Follow(a.reign(1), a.Addr())
			await(t, "in step", func() bool { return a.saw(EventInStep) == 1 })

			done := make(chan error, 1)
			held := func() uint64 {
				t.Helper()
				n, err := a.named().Write(t.Context(), "k", []byte("v"), true)
				if err != nil {
					t.Fatal(err)
				}
				go func() { done <- a.Held(t.Context(), n) }()
				await(t, "the call to wait", func() bool {
					a.Cache.mu.Lock()
					defer a.Cache.mu.Unlock()
					return len(a.holds) == 1
				})
				return n
			}
			b.Cache.mu.Lock() // it takes nothing in
			n := held()
			b.Cache.mu.Unlock()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if at := b.Pos().N; at < n {
				t.Fatalf("record %d is held by a slave that is at %d", n, at)
			}
			b.Cache.mu.Lock()
			held()
			err := <-done
			b.Cache.mu.Unlock()
			if !errors.Is(err, ErrNoReplica) {
				t.Fatalf("of a slave that does not answer: %v", err)
			}
			await(t, "in step again", func() bool { return a.saw(EventInStep) == 2 })
			b.Cache.mu.Lock()
			held()
			a.Follow(b.reign(2), b.Addr())
			err = <-done
			b.Cache.mu.Unlock()
			if !errors.Is(err, ErrNotMaster) || !errors.Is(err, ErrOutcome) {
				t.Fatalf("deposed: %v", err)
			}
		})
	}
}

func TestWriteDoesNotWaitForRoom(t *testing.T) {
	a := start(t, "a", func(cfg *Config) { cfg.MaxInFlight = 1 })
	a.promote(1)
	n := a.named()
	for _, tt := range []struct {
		key      string
		inFlight bool
		want     error
	}{{"one", true, nil}, {"two", true, ErrFull}, {"one", true, nil}, {"two", false, nil}, {"one", false, nil}, {"two", true, nil}} {
		number, err := n.Write(t.Context(), tt.key, nil, tt.inFlight)
		if !errors.Is(err, tt.want) || (err == nil) != (number > 0) {
			t.Fatalf("%s, in flight %v: number %d, %v, want %v", tt.key, tt.inFlight, number, err, tt.want)
		}
	}
}

// What waits for an ack is a small frame: it is held back no longer than
// holdMost, also when no ack comes.
func TestALittleIsHeldBackAndALotIsNot(t *testing.T) {
	a, b := start(t, "a", nil), start(t, "b", nil)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	await(t, "in step", func() bool { return a.saw(EventInStep) == 1 })
	await(t, "all acknowledged", func() bool { return a.Flush(t.Context()) == nil })
	sent := func() (n uint64) {
		a.Cache.mu.Lock()
		defer a.Cache.mu.Unlock()
		for f := range a.followers {
			n = f.cur.n
		}
		return n
	}
	b.Cache.mu.Lock()
	defer b.Cache.mu.Unlock()
	a.put("k", "v")
	await(t, "the first", func() bool { return sent() == a.Pos().N })
	a.put("k", "v")
	await(t, "the second, late", func() bool { return sent() == a.Pos().N })
	// More than holdSize goes at once. The timer cannot be told from that here,
	// so look at what the sender sleeps for.
	a.Cache.mu.Lock()
	for f := range a.followers {
		var header [64]byte
		var chunk []byte
		for i, want := range []bool{false, true} {
			a.own.ring.append(&record{op: OpPut, key: []byte("k"), value: make([]byte, i*holdSize)})
			p, ok := f.next(header[:], &chunk, false, false)
			if !ok || (p != nil) != want {
				t.Errorf("%d bytes: sent %v, want %v", a.own.ring.total-f.cur.read, p != nil, want)
			}
			if p == nil && f.wakeAt <= a.own.ring.total {
				t.Errorf("it sleeps until %d, which is reached at %d", f.wakeAt, a.own.ring.total)
			}
		}
	}
	a.Cache.mu.Unlock()
}

// A sender that waited for an ack does not sleep through the next put: until the
// next ping, that is, which takes a quarter of a minute here.
func TestPutsAfterAnAckAreSentAtOnce(t *testing.T) {
	minute := func(cfg *Config) { synchronous(cfg); cfg.SocketTimeout = time.Minute }
	a, b := start(t, "a", minute), start(t, "b", minute)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	await(t, "in step", func() bool { return a.saw(EventInStep) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for i := range 200 {
		if err := a.named().Put(ctx, "k", nil); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
	}
}
