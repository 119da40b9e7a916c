//go:build linux

package e2e

import (
	"math/rand/v2"
	"testing"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestFlood throws packets at a live master that has a key: random bytes, its
// own packets with flipped bits, well-formed ones signed with a wrong key or
// not at all, replays. It stays master, its memory stays flat, and its counters
// tell what came.
func TestFlood(t *testing.T) {
	t.Parallel()
	key := "failover.key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	c := lab.New(t, append([]string{key}, lab.Fast...)...)
	m := c.Start("a", c.Worker()...)
	c.Settled(soon)
	c.WaitSpans(1)
	c.Start("b", c.Worker()...)
	c.Settled(soon)
	var own heartbeat.Key
	for i := range own {
		own[i] = byte(i)
	}
	w := c.Wire(own)
	lab.Wait(t, "a packet to forge from", soon, func() bool { return len(w.Heard()) > 4 })

	wrongKey, err := heartbeat.NewCodec(c.Name, 0, heartbeat.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := heartbeat.NewCodec(c.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	otherCluster, err := heartbeat.NewCodec("other", 0, own)
	if err != nil {
		t.Fatal(err)
	}
	const seed = 20261121
	rng := rand.New(rand.NewPCG(seed, seed))
	random := func() []byte {
		b := make([]byte, rng.IntN(1200))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 { // let it come further than the first check
			copy(b, w.Last()[:min(len(b), rng.IntN(40))])
		}
		return b
	}
	flipped := func() []byte {
		b := w.Last()
		for range 1 + rng.IntN(4) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b[:len(b)-rng.IntN(2)*rng.IntN(len(b))]
	}
	forged := func(codec *heartbeat.Codec, kind heartbeat.Kind) []byte {
		heard := w.Heard()
		p := heard[rng.IntN(len(heard))].Packet
		p.Kind, p.State, p.Epoch, p.Seq = kind, heartbeat.StateMaster, 1000, 1<<40
		for i := range p.Instance {
			p.Instance[i] = byte(rng.Uint32())
		}
		b, err := codec.Seal(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := m.MustStatus()
	rss := lab.RSS(m.PID)
	n := count(20_000, 1_000_000)
	sent := 0
	for i := range n {
		var b []byte
		switch i % 6 {
		case 0:
			b = random()
		case 1:
			b = flipped()
		case 2:
			b = forged(wrongKey, heartbeat.KindHeartbeat)
		case 3:
			b = forged(unsigned, heartbeat.KindResign)
		case 4:
			b = forged(otherCluster, heartbeat.KindClaim)
		case 5:
			b = w.Last() // a replay
		}
		if w.Conn.Multicast(b) == nil {
			sent++
		}
		if i%2000 == 1999 {
			s := m.MustStatus()
			if s.Instance.State != admin.StateMaster || s.Instance.Epoch != before.Instance.Epoch {
				t.Fatalf("after %d packets it is %s, epoch %d", i, s.Instance.State, s.Instance.Epoch)
			}
		}
	}
	counted := func(s admin.Status, causes ...string) (n uint64) {
		for _, cause := range causes {
			n += s.Packets.Dropped[cause] - before.Packets.Dropped[cause]
		}
		return n
	}
	var s admin.Status
	// The kernel may drop some when this test sends faster than the node is run.
	lab.Wait(t, "the counters tell of most packets", soon, func() bool {
		s = m.MustStatus()
		return counted(s, "short", "magic", "version", "length", "cluster", "unsigned", "key", "forged", "field", "duplicate", "own") > uint64(sent)/2
	})
	for _, cause := range []string{"magic", "cluster", "unsigned", "key", "forged"} {
		if got := counted(s, cause); got < uint64(n)/100 {
			t.Errorf("counted %d as %s of %d packets", got, cause, n)
		}
	}
	t.Logf("%d packets sent: %v", sent, s.Packets.Dropped)
	if grown := lab.RSS(m.PID) - rss; grown > 32<<20 {
		t.Errorf("the node grew by %d MiB", grown>>20)
	}
	if now := c.Settled(soon); now != m || c.Promotions() != 1 {
		t.Errorf("%s is master after %d promotions", now.Name, c.Promotions())
	}
	if len(c.Spans()) != 1 || c.Spans()[0].Ended {
		t.Errorf("the command did not live through it: %+v", c.Spans())
	}
	if s := m.MustStatus(); len(s.Peers) != 1 {
		t.Errorf("%d peers, want 1: a forged one was believed", len(s.Peers))
	}
}
