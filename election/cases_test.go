package election_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// masters are the nodes whose guard is open.
func (w *world) masters() (list []*node) {
	for _, n := range w.nodes {
		if !n.frozen && n.guard.Open(w.now) {
			list = append(list, n)
		}
	}
	return list
}

// one is the only master.
func (w *world) one() *node {
	w.t.Helper()
	list := w.masters()
	if len(list) != 1 {
		for _, n := range w.nodes {
			w.t.Logf("%s: %v %s", n.cfg.Name, n.state(), n.told())
		}
		w.t.Fatalf("%d masters, want 1", len(list))
	}
	return list[0]
}

// promotions counts those of all nodes.
func (w *world) promotions() (count int) {
	for _, n := range w.nodes {
		count += countEvents(n, election.EventOpened)
	}
	return count
}

// mesh starts machines at one instant.
func mesh(t *testing.T, count int, options ...option) *world {
	w := newWorld(t)
	for i := range count {
		w.node(byte(0x30+3*i), options...)
	}
	return w
}

func TestColdStart(t *testing.T) {
	for _, q := range []bool{false, true} {
		for count := 1; count <= 9; count++ {
			w := newWorld(t)
			for i := range count {
				n := byte(0x30 + 3*i)
				if q {
					w.node(n, quorum(uint8(count/2+1)))
				} else {
					w.node(n)
				}
			}
			w.run(20 * time.Second)
			m := w.one()
			if got := w.promotions(); got != 1 {
				t.Errorf("%d instances, quorum %v: %d promotions, want 1", count, q, got)
			}
			if m != w.nodes[0] {
				t.Errorf("%d instances, quorum %v: %s reigns, want the first in the line", count, q, m.cfg.Name)
			}
		}
	}
}

func TestCrash(t *testing.T) {
	for _, options := range [][]option{nil, {quorum(2)}} {
		w := mesh(t, 3, options...)
		w.run(20 * time.Second)
		old := w.one()
		old.frozen = true // for ever
		died := w.now
		for len(w.masters()) == 0 && w.now < died+time.Minute {
			w.run(flight)
		}
		took := w.now - died
		// T_down from its last heartbeat, half a slot, the window.
		if most := down + delay/10 + delay + 10*flight; took > most || took < down-delay {
			t.Errorf("quorum %v: taken over after %v, want at most %v", options != nil, took, most)
		}
		w.run(time.Minute)
		w.one()
		if got := w.promotions(); got != 2 {
			t.Errorf("%d promotions, want 2", got)
		}
	}
}

// A restarted instance is another instance: it takes nothing over, and nothing
// of it is taken for the old one.
func TestQuickRestart(t *testing.T) {
	w := mesh(t, 2)
	w.run(20 * time.Second)
	old := w.one()
	old.frozen = true
	again := w.node(0x70, func(c *election.Config, s *election.State) {
		c.Node, c.Name = old.cfg.Node, old.cfg.Name
		*s = old.disk
	})
	w.run(down - delay)
	if len(w.masters()) != 0 {
		t.Fatal("somebody reigns before the lease of the old instance ended")
	}
	w.run(20 * time.Second)
	if m := w.one(); m != w.nodes[1] {
		t.Errorf("%s reigns, want the one that was there", m.cfg.Name)
	}
	again.is(slave)
	if got := countEvents(again, election.EventClone); got != 0 {
		t.Error("the old instance was taken for a clone")
	}
}

func TestNoPreemption(t *testing.T) {
	w := mesh(t, 2)
	w.run(20 * time.Second)
	old := w.one()
	first := w.node(1, saved(election.State{MaxEpoch: 500, Reigned: 500}), func(c *election.Config, _ *election.State) { c.Position = 1 })
	w.run(time.Minute)
	if w.one() != old {
		t.Error("one that joins took over")
	}
	first.is(slave)
	if old.guard.Epoch != 501 {
		t.Errorf("reigns under epoch %d, want above the one that the joiner knew", old.guard.Epoch)
	}
	if countEvents(old, election.EventLost) != 0 {
		t.Error("the work was interrupted")
	}
}

// A partition without a quorum gives two masters; after the heal one is left,
// soon, and its token is the greatest that there was.
func TestPartitionAndHeal(t *testing.T) {
	w := mesh(t, 2)
	w.run(20 * time.Second)
	first := w.one()
	w.cut = func(from, to netip.AddrPort) bool { return true }
	w.run(20 * time.Second)
	if got := len(w.masters()); got != 2 {
		t.Fatalf("%d masters on two sides", got)
	}
	second := w.nodes[1]
	w.cut = nil
	healed := w.now
	for len(w.masters()) > 1 {
		w.run(flight)
	}
	if took := w.now - healed; took > delay*105/100+3*flight {
		t.Errorf("two masters for %v after the heal", took)
	}
	if w.one() != second {
		t.Error("the lower token reigns")
	}
	w.run(20 * time.Second)
	if first.state() != slave || w.one().guard.Epoch != 2 {
		t.Errorf("%v, epoch %d", first.state(), w.one().guard.Epoch)
	}
}

// A heal between equal epochs: the winner goes above the other's token.
func TestHealOfEqualEpochs(t *testing.T) {
	w := mesh(t, 2)
	w.cut = func(from, to netip.AddrPort) bool { return true }
	w.run(20 * time.Second)
	w.cut = nil
	w.run(20 * time.Second)
	m := w.one()
	if m != w.nodes[1] || m.guard.Epoch == 1 || countEvents(m, election.EventEpoch) != 1 {
		t.Errorf("%s reigns under epoch %d, want the higher instance above 1, raised once", m.cfg.Name, m.guard.Epoch)
	}
}

// With a quorum the side without a majority has no master.
func TestPartitionWithQuorum(t *testing.T) {
	w := mesh(t, 3, quorum(2))
	w.run(20 * time.Second)
	old := w.one()
	w.cut = func(from, to netip.AddrPort) bool { return from == old.addr || to == old.addr }
	for range 30_000 {
		w.run(flight)
		if len(w.masters()) > 1 {
			t.Fatal("two masters")
		}
	}
	if w.one() == old {
		t.Error("the side without a majority reigns")
	}
	w.cut = nil
	w.run(20 * time.Second)
	old.is(slave)
	if got := w.promotions(); got != 2 {
		t.Errorf("%d promotions, want 2", got)
	}
}

// One that is not among the voters mirrors only: it is no heir and no master,
// even when it is first in the line and a majority of the voters hears it.
func TestMirrorsOnly(t *testing.T) {
	w := newWorld(t)
	voters := []heartbeat.NodeID{config(0x40).Node, config(0x50).Node, config(0x60).Node}
	among := func(c *election.Config, _ *election.State) { c.Voters = voters }
	mirror := w.node(0x30, quorum(2), among, func(c *election.Config, _ *election.State) { c.Position = 1 })
	w.run(20 * time.Second)
	if v := mirror.m.View(w.now); v.State != slave || v.Position != 0 {
		t.Errorf("alone: %v, position %d, want a slave in no line", v.State, v.Position)
	}
	a, b, c := w.node(0x40, quorum(2), among), w.node(0x50, quorum(2), among), w.node(0x60, quorum(2), among, witness)
	w.run(20 * time.Second)
	if m := w.one(); m != a && m != b {
		t.Fatalf("%s reigns, want a voter", m.cfg.Name)
	}
	m := w.one()
	if err := m.m.CanHandOver(w.now, mirror.cfg.Self); !errors.Is(err, election.ErrNotEligible) {
		t.Errorf("a hand-over to the mirror: %v", err)
	}
	m.step(election.Handover{To: mirror.cfg.Self})
	w.run(5 * time.Second)
	m.is(master)
	a.frozen, b.frozen = true, true
	w.run(20 * time.Second)
	mirror.step(election.Promote{})
	w.run(20 * time.Second)
	mirror.is(slave)
	b.frozen = false
	w.run(20 * time.Second)
	c.is(slave)
	b.is(master)
}

// Two instances and a witness, and a pair of which one has two votes.
func TestSmallQuorums(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(0x30, quorum(2)), w.node(0x40, quorum(2))
	third := w.node(0x50, quorum(2), witness)
	w.run(20 * time.Second)
	if w.one() != a {
		t.Fatal("the first does not reign")
	}
	a.frozen = true
	w.run(20 * time.Second)
	if w.one() != b {
		t.Error("the witness's vote does not count")
	}
	third.frozen = true
	w.run(20 * time.Second)
	if len(w.masters()) != 0 {
		t.Error("reigns without a majority")
	}

	two := func(c *election.Config, _ *election.State) { c.Votes = 2 }
	w = newWorld(t)
	a, b = w.node(0x30, quorum(2), two), w.node(0x40, quorum(2))
	w.run(20 * time.Second)
	b.frozen = true
	w.run(20 * time.Second)
	if w.one() != a {
		t.Error("the preferred one does not reign alone")
	}
	b.frozen, a.frozen = false, true
	w.run(30 * time.Second)
	if len(w.masters()) != 0 {
		t.Error("the other one reigns with one vote of three")
	}
}

// One-way links: what cannot be heard directly is heard through a third.
func TestOneWayLink(t *testing.T) {
	w := mesh(t, 3)
	w.run(20 * time.Second)
	m := w.one()
	deaf := w.nodes[1]
	w.cut = func(from, to netip.AddrPort) bool { return from == m.addr && to == deaf.addr }
	w.run(time.Minute)
	if w.one() != m || w.promotions() != 1 {
		t.Error("a slave took over that a third one could tell of the master")
	}
	deaf.is(slave)
}

// A planned hand-over among machines: the heir opens within a round trip of
// the resignation, and nobody else claims.
func TestHandover(t *testing.T) {
	for _, options := range [][]option{nil, {quorum(2)}} {
		w := mesh(t, 3, options...)
		w.run(20 * time.Second)
		old, heir := w.one(), w.nodes[2]
		old.step(election.Handover{To: heir.cfg.Self})
		w.run(10 * flight)
		if w.one() != heir {
			t.Errorf("quorum %v: %s reigns, want the one that was named", options != nil, w.one().cfg.Name)
		}
		w.run(20 * time.Second)
		if w.one() != heir || w.promotions() != 2 || heir.guard.Epoch != 2 {
			t.Errorf("%d promotions, epoch %d", w.promotions(), heir.guard.Epoch)
		}
		old.is(slave)
		// A rolling stop down to one.
		heir.step(election.Stop{})
		w.run(20 * flight)
		m := w.one()
		if m == heir {
			t.Error("still reigns after its goodbye")
		}
	}
}

// An instance that lost its memory votes only once a majority of the others
// told what they know.
func TestUnsure(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2), saved(election.State{Unsure: true}))
	a := w.slave(low)
	a.p.Quorum, a.p.MaxEpoch = 2, 70
	w.run(3 * down)
	c := w.fake(high)
	c.p.Quorum = 2
	c.claims(80)
	n.clear()
	c.say(heartbeat.KindClaim)
	if n.kinds() != "refusal" {
		t.Errorf("sent %q while unsure", n.kinds())
	}
	c.live = true
	w.run(2 * delay) // now two others are confirmed
	if n.disk.Unsure || n.disk.Granted < 70 {
		t.Errorf("saved %+v", n.disk)
	}
	n.clear()
	c.claims(80).say(heartbeat.KindClaim) // perhaps it granted that one, to another
	c.claims(81).say(heartbeat.KindClaim)
	if n.kinds() != "refusal grant" {
		t.Errorf("sent %q", n.kinds())
	}
}

// Orders of an operator that change what may happen here.
func TestOrders(t *testing.T) {
	w, n, a, b := reigning(t)
	n.step(election.Handover{NoClaimFor: time.Minute, Reason: "its work fails"})
	a.live, b.live = false, false
	w.run(delay)
	n.is(slave)
	n.step(election.Refused{Peer: a.id()})
	w.run(50 * time.Second)
	n.is(slave)
	n.step(election.Resume{}) // ends the pause too
	a.live = true
	n.until(master, 20*time.Second)

	// Drained survives a restart.
	n.step(election.Drain{})
	w.run(2 * delay)
	n.is(slave)
	if !n.disk.Drained {
		t.Error("drained is not saved")
	}
	x := w.node(me+1, saved(n.disk))
	w.run(4 * down)
	x.is(slave)

	// A master that is unhealthy resigns; a second word changes nothing.
	_, n, a, _ = reigning(t)
	n.step(election.Handover{})
	n.step(election.Health{OK: false})
	n.step(election.Health{OK: false})
	a.say(heartbeat.KindReady)
	n.is(slave)
	n.step(election.Health{OK: true})
	if n.last(heartbeat.KindResign).Resigned.Heir != a.id() {
		t.Error("the heir is not the one that agreed")
	}
	n.step(election.WorkStopped{}) // nothing stops
	n.is(slave)
}

// An order that another instance passes on is repeated; the master tells once
// that it comes to nothing, and that it begins after all.
func TestRefusedOnce(t *testing.T) {
	w, n, a, b := reigning(t, signed)
	n.holdWork = true
	none := func(p *heartbeat.Packet) { p.Resigned = heartbeat.Resignation{Heir: id(0x77)} }
	pass := func() {
		for range 20 {
			a.say(heartbeat.KindRequest, none)
			w.run(50 * time.Millisecond)
		}
	}
	count := func(want int) {
		t.Helper()
		begun, failed := countEvents(n, election.EventHandover), countEvents(n, election.EventHandoverFails)
		if begun != want || failed != want {
			t.Errorf("told of %d hand-overs and %d that failed, want %d", begun, failed, want)
		}
	}
	n.clear()
	pass()
	count(1)
	b.say(heartbeat.KindRequest, none) // another one's
	n.step(election.Handover{To: id(0x77)})
	count(3)
	w.run(200 * time.Millisecond)
	pass() // and the first one's next
	count(4)
	n.clear()
	// Whoever was unable is asked when it is able.
	c := w.slave(0x77)
	c.p.Flags = heartbeat.FlagCandidate
	c.say(heartbeat.KindHeartbeat)
	a.say(heartbeat.KindRequest, none)
	c.say(heartbeat.KindReady)
	n.is(draining)
	if countEvents(n, election.EventHandover) != 1 {
		t.Errorf("told %q", n.told())
	}
}

// A forced claim asks a master that shows up after all.
func TestForcedMeetsMaster(t *testing.T) {
	w := newWorld(t)
	n := w.node(me)
	w.run(delay)
	n.step(election.Promote{Force: true})
	n.clear()
	m := w.fake(high).reigns(4)
	m.say(heartbeat.KindHeartbeat)
	n.want(slave, "withdraw request", "peer.joined state master", false)
	if p := n.last(heartbeat.KindRequest); p.Resigned.Heir != n.cfg.Self {
		t.Errorf("asks for %v", p.Resigned.Heir)
	}
	// Two forced claims do not yield to each other: both were ordered.
	w = newWorld(t)
	n = w.node(me)
	w.run(delay)
	n.step(election.Promote{Force: true})
	c := w.fake(low).claims(9)
	c.p.Flags |= heartbeat.FlagForced
	c.say(heartbeat.KindClaim)
	n.is(claiming)
}

// A master whose barrier takes longer than its lease does not open.
func TestSlowBarrier(t *testing.T) {
	w := newWorld(t)
	n := w.node(me)
	n.holdBarrier = true
	n.until(opening, 2*down)
	for range 40 {
		n.step(election.SendFailed{Seq: n.seq})
		w.run(delay / 10)
		n.step(election.SendFailed{Seq: n.seq})
		if n.state() != opening {
			break
		}
	}
	n.is(slave)
	n.step(election.BarrierDone{Epoch: 1})
	n.is(slave)
}

// A new master's first heartbeats come quickly: a rival's claim may meet the loss of one.
func TestFirstHeartbeats(t *testing.T) {
	w := newWorld(t)
	n := w.node(me)
	n.until(master, 3*down)
	n.clear()
	w.run(delay)
	if got := len(n.sent); got < 3 {
		t.Errorf("%d heartbeats in the first window, want 3", got)
	}
	w.run(delay)
	n.clear()
	w.run(10 * delay)
	if got := len(n.sent); got > 11 {
		t.Errorf("%d heartbeats in ten delays, later", got)
	}
}
