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

// W₀ grows with the peers once they are many: all learn of a death at once.
func TestShortOfMany(t *testing.T) {
	const many = 60
	w, n, m := following(t)
	for i := range byte(many) {
		w.slave(i + 1).p.Flags |= heartbeat.FlagDrained
	}
	w.run(down)
	n.step(election.Died{Obituary: m.obituary()})
	n.until(claiming, delay)
	// Each peer has 2 ms of it: more than the W₀ of a few.
	least := (many + 1) * 2 * time.Millisecond
	if took := n.until(master, delay); took < least || took > least+2*flight {
		t.Errorf("opens %v after its claim, want %v", took, least)
	}
}
