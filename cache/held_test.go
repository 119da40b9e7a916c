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
			if err := a.Held(t.Context(), a.Pos()); !errors.Is(err, ErrNoReplica) {
				t.Fatalf("with no slave: %v", err)
			}
			b.Follow(a.reign(1), a.Addr())
			await(t, "in step", func() bool { return a.saw(EventInStep) == 1 })

			done := make(chan error, 1)
			held := func() Pos {
				t.Helper()
				at, err := a.named().Write(t.Context(), "k", []byte("v"), true)
				if err != nil {
					t.Fatal(err)
				}
				go func() { done <- a.Held(t.Context(), at) }()
				await(t, "the call to wait", func() bool {
					a.Cache.mu.Lock()
					defer a.Cache.mu.Unlock()
					return len(a.holds) == 1
				})
				return at
			}
			b.Cache.mu.Lock() // it takes nothing in
			written := held()
			b.Cache.mu.Unlock()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if at := b.Pos(); at.Less(written) {
				t.Fatalf("record %v is held by a slave that is at %v", written, at)
			}
			b.Cache.mu.Lock()
			before := time.Now()
			held()
			err := <-done
			b.Cache.mu.Unlock()
			if took := time.Since(before); took > 2*time.Second { // 3 s for who waits for nothing
				t.Errorf("a silent slave was waited for %v, with a socket timeout of 200 ms", took)
			}
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
			a.promote(3)
			lost := Pos{Epoch: 1, N: a.Pos().N + 100} // as if the log had been cut back since
			for _, at := range []Pos{written, lost} {
				if err := a.Held(t.Context(), at); !errors.Is(err, ErrNotMaster) {
					t.Fatalf("of an earlier reign, %v: %v", at, err)
				}
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
		at, err := n.Write(t.Context(), tt.key, nil, tt.inFlight)
		if !errors.Is(err, tt.want) || (err == nil) != (at == a.Pos()) {
			t.Fatalf("%s, in flight %v: at %v, %v, want %v", tt.key, tt.inFlight, at, err, tt.want)
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
		a.Cache.groups = []*group{{}} // puts wait: one frame is on its way, whatever comes meanwhile
		a.own.ring.append(&record{op: OpPut, key: []byte("k"), value: make([]byte, 2*holdSize)})
		if p, ok := f.next(header[:], &chunk, false, true); !ok || p != nil {
			t.Error("a second frame is sent while puts wait for the first")
		}
		a.Cache.groups = nil
		if p, ok := f.next(header[:], &chunk, false, false); !ok || p == nil {
			t.Error("more than holdSize is held back")
		}
		for i, want := range []bool{false, true} { // too little, and enough with the first
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
