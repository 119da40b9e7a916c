package cache

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// inStepPair is a master and a slave that is surely in step.
func inStepPair(t *testing.T) (a, b *instance) {
	t.Helper()
	a, b = start(t, "a", synchronous), start(t, "b", synchronous)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	await(t, "in step", func() bool { return a.saw(EventInStep) == 1 })
	a.put("k", "v")
	await(t, "sure", func() bool { return b.sure() })
	return a, b
}

func (i *instance) sure() bool {
	_, _, until := i.Standing()
	return until > i.cfg.Now()
}

// An echo that came while a snapshot was built speaks of another copy than the
// one that is here.
func TestHalfASnapshotIsNotSure(t *testing.T) {
	a, b := inStepPair(t)
	b.Release()
	c := b.Cache
	conn, other := net.Pipe()
	defer func() { _ = other.Close() }()
	c.mu.Lock()
	c.stream = stream{conn: conn, from: a.Instance(), connected: true, building: newReplica(&c.cfg)}
	c.stream.building.ring.restart(100_000)
	var body [liveHeader + 16]byte
	l := live{epoch: 1, first: 100_000, now: c.now(), last: 100_000, echo: uint64(c.cfg.Now())}
	l.put(body[:])
	_, _, err := c.take(conn, framePing, body[:], false)
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	c.parted(conn)
	if b.sure() {
		t.Fatalf("sure at %v, although 100,000 records of the master are missing", b.Pos())
	}
}

func TestACopyThatDiffersIsNotSure(t *testing.T) {
	_, b := inStepPair(t)
	b.mu1(func(*replica) { b.stream.anew = true })
	if b.sure() {
		t.Fatal("sure with a copy that is known to differ")
	}
}

// A slave whose stream broke may count on having been waited for, as long as it
// was told: the master's puts must wait that long.
func TestPutsWaitForASlaveWhoseStreamBroke(t *testing.T) {
	a, b := inStepPair(t)
	b.Release()
	before := time.Now()
	a.put("l", "v")
	if _, has := b.named().Get("l"); has {
		t.Fatal("the stream was open still")
	}
	if b.sure() {
		t.Fatalf("a put returned %v after the break without a slave that is surely in step", time.Since(before))
	}
}

// Orphans that come by the thousand neither hold the lock for long nor fill the
// queue of events.
func TestManyOrphans(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(1)
	const many = 50_000
	var e encoder
	for i := range many {
		rec := orphanRecord(0, orphanID{string(rune('a'+i%26)) + time.Duration(i).String(), Reign{1, InstanceID{9}}}, &orphan{value: []byte("v"), n: uint64(i + 1)})
		e.text(DefaultName)
		at := len(e.b)
		e.b = append(e.b, make([]byte, rec.size())...)
		rec.put(e.b[at:])
	}
	a.Seal()
	if err := a.adopt(e.b); err != nil {
		t.Fatal(err)
	}
	a.promote(1)
	if n := len(a.named().Orphans()); n != many {
		t.Fatalf("%d orphans, want %d", n, many)
	}
	await(t, "the event", func() bool { return a.saw(EventOrphans) > 0 })
	for _, o := range a.named().Orphans() {
		if err := a.named().DropOrphan(t.Context(), o.Key); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(a.named().Orphans()); n != 0 || a.saw(EventOrphans) != 1 {
		t.Fatalf("%d orphans left, %d events", n, a.saw(EventOrphans))
	}
}

// What slaves bring while the log is sealed is kept up to a bound.
func TestPendingOrphansAreBounded(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(1)
	a.Seal()
	brings := func(keys ...string) {
		t.Helper()
		var e encoder
		for i, key := range keys {
			rec := orphanRecord(0, orphanID{key, Reign{1, InstanceID{9}}}, &orphan{value: []byte("v"), n: uint64(i + 1)})
			e.text(DefaultName)
			at := len(e.b)
			e.b = append(e.b, make([]byte, rec.size())...)
			rec.put(e.b[at:])
		}
		if err := a.adopt(e.b); err != nil {
			t.Fatal(err)
		}
	}
	c := a.Cache
	c.mu.Lock()
	for i := range maxOrphans - 1 {
		c.pending = append(c.pending, lost{DefaultName, orphanID{fmt.Sprint("held ", i), Reign{1, InstanceID{9}}}, orphan{n: uint64(i + 1)}})
	}
	c.mu.Unlock()
	for _, tt := range []struct {
		brings []string
		want   int
	}{
		{[]string{"x", "y"}, maxOrphans - 1},
		{[]string{"x"}, maxOrphans},
		{[]string{"y"}, maxOrphans},
	} {
		brings(tt.brings...)
		c.mu.Lock()
		n := len(c.pending)
		c.mu.Unlock()
		if n != tt.want {
			t.Errorf("after %q: %d orphans wait, want %d", tt.brings, n, tt.want)
		}
	}
}

// Whom puts do not wait for any more is told no echo, so it is sure of nothing,
// also while the record that says so is still on its way.
func TestNoEchoOutOfStep(t *testing.T) {
	a, _ := inStepPair(t)
	c := a.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.followers {
		var header [liveHeader + 16]byte
		var chunk []byte
		cur, inStep := f.cur, f.inStep
		for _, f.inStep = range []bool{true, false} {
			p, ok := f.next(header[:], &chunk, true, true) // a ping, since it holds everything
			if !ok || p == nil || p.kind != framePing {
				t.Fatalf("%+v, %v; want a ping", p, ok)
			}
			l, _, err := parseLive(p.header)
			if err != nil {
				t.Fatal(err)
			}
			if echoed := l.echo != 0; echoed != f.inStep {
				t.Errorf("echo %d with in step = %v", l.echo, f.inStep)
			}
		}
		f.cur, f.inStep = cur, inStep
	}
}

// What the members of a changed set hold counts once they hold the record of
// the change.
func TestHeldWaitsForTheSet(t *testing.T) {
	a, _ := inStepPair(t)
	c := a.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.own.ring.last
	for f := range c.followers {
		f.acked = max(f.acked, last)
	}
	if over, err := c.holdOver(last); !over || err != nil {
		t.Fatalf("all of it is held: %v, %v", over, err)
	}
	set := c.setN
	c.setN = last + 1
	if over, _ := c.holdOver(last); over {
		t.Error("the members do not know of the change")
	}
	c.setN = set
}
