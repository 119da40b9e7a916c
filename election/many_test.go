package election_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// The unicast copies of objections go to others each time, until all had one.
func TestUnicastInTurn(t *testing.T) {
	const slaves = 78
	w := newWorld(t)
	n := w.node(200)
	w.fake(199).reigns(7).live = true
	for i := range byte(slaves) {
		w.slave(i + 1).p.Flags |= heartbeat.FlagDrained
	}
	w.run(down + delay)
	n.clear()
	claimer := w.fake(190).claims(8)
	for range 3 {
		claimer.say(heartbeat.KindClaim)
		w.run(delay)
	}
	told := map[netip.AddrPort]bool{}
	for i, p := range n.sent {
		if p.Kind == heartbeat.KindHeartbeat && len(n.to[i]) > 1 { // to one goes a plain one
			for _, a := range n.to[i] {
				told[a] = true
			}
		}
	}
	if len(told) != slaves+2 {
		t.Errorf("three objections went to %d peers, want all %d", len(told), slaves+2)
	}
}

// The first in line waits for a twentieth of a slot at most.
func TestTurnOfTheFirst(t *testing.T) {
	for seed := range uint64(20) {
		_, n, m := following(t, func(c *election.Config, _ *election.State) { c.Seed = seed })
		m.serves().say(heartbeat.KindLeave)
		if took := n.until(claiming, down); took > delay/5/20+flight {
			t.Fatalf("claims after %v, want %v at most", took, delay/5/20)
		}
	}
}

// W₀ grows with the peers once they are many: all learn of a death at once. And
// it is more than twice as long as the group may wait to be read.
func TestShortOfMany(t *testing.T) {
	for many, least := range map[int]time.Duration{
		19: delay / 20, // as of a few
		20: delay / 8,
		70: 142 * time.Millisecond, // 2 ms for each peer
	} {
		w, n, m := following(t)
		for i := range many {
			w.slave(byte(i + 1)).p.Flags |= heartbeat.FlagDrained
		}
		w.run(down)
		n.step(election.Died{Obituary: m.obituary()})
		n.until(claiming, delay)
		if took := n.until(master, delay); took < least || took > least+2*flight {
			t.Errorf("%d peers: opens %v after its claim, want %v", many+1, took, least)
		}
	}
}
