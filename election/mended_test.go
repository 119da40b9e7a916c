package election_test

import (
	"slices"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// A master that asks for a greater epoch, while one voter granted a greater one
// still to a claim that failed, goes above that one too; else its lease runs out.
func TestReEpochAboveFailedClaim(t *testing.T) {
	w, n, a, b := reigning(t, quorum(2))
	b.live, b.grants = false, false
	a.grants = false
	a.p.MaxEpoch = 40
	a.say(heartbeat.KindHeartbeat) // a reign with epoch 40 is known
	if p := n.last(heartbeat.KindHeartbeat); p.Asks != 41 {
		t.Fatalf("asks for epoch %d, want 41", p.Asks)
	}
	a.p.Promise.Epoch = 50 // what it granted to a claim that failed
	a.p.Promise.Seq = 0
	a.say(heartbeat.KindHeartbeat)
	w.run(flight)
	if p := n.last(heartbeat.KindHeartbeat); p.Asks != 51 {
		t.Fatalf("asks for epoch %d, want 51", p.Asks)
	}
	a.grants = true
	w.run(2 * delay)
	n.is(master)
	if n.guard.Epoch != 51 {
		t.Errorf("reigns on under epoch %d, want 51", n.guard.Epoch)
	}
}

// Another master with our epoch that falls silent has reigned all the same: a
// sink may have seen its token, which may be the greater one.
func TestReEpochAfterSilentTwin(t *testing.T) {
	w, n, _, _ := reigning(t)
	x := w.fake(low - 1).reigns(1)
	x.say(heartbeat.KindHeartbeat)
	w.run(2 * down)
	n.is(master)
	if n.guard.Epoch != 2 {
		t.Errorf("reigns on under epoch %d, want 2", n.guard.Epoch)
	}
}

// An operator's order without force breaks no promise and no embargo.
func TestPromoteKeepsPromise(t *testing.T) {
	w, n, _ := following(t, quorum(2))
	w.run(down)
	c := w.fake(low).claims(8)
	c.p.Quorum = 2
	c.say(heartbeat.KindClaim)
	if n.kinds() == "" || n.last(heartbeat.KindGrant).Promise.Instance != c.id() {
		t.Fatal("no promise was given")
	}
	n.step(election.Promote{})
	n.is(slave)

	w = newWorld(t)
	n = w.node(me, quorum(2), saved(election.State{Promise: 10 * down}))
	w.run(2 * down)
	n.is(slave)
	n.step(election.Promote{})
	n.is(slave)
}

// A forced promotion out of a fault is not taken back by that fault.
func TestForcedOutOfFault(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2))
	clone := w.slave(low)
	clone.p.Node, clone.p.Quorum = n.cfg.Node, 2
	n.until(fault, down)
	n.step(election.Promote{Force: true})
	n.is(claiming)
	n.until(master, 2*delay)
	w.run(2 * down)
	n.is(master)
}

// Without its quorum an instance claims most of the time: the order comes into
// the middle of a claim, and is obeyed all the same.
func TestForcedWhileClaiming(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2))
	n.until(claiming, 2*down)
	n.step(election.Promote{})
	n.is(claiming)
	n.step(election.Promote{Force: true})
	n.until(master, 2*delay)
	w.run(2 * down)
	n.is(master)
}

// A disk that fails is tried again with each heartbeat, not in a tight loop.
func TestSaveRetriedWithHeartbeat(t *testing.T) {
	w, n, _ := following(t, quorum(2))
	w.run(down)
	c := w.fake(low).claims(8)
	c.p.Quorum = 2
	n.holdSave = true
	n.clear()
	c.say(heartbeat.KindClaim)
	saves := n.saves
	for range 3 {
		n.step(election.SaveFailed{Seq: n.saveSeq})
	}
	if n.saves != saves {
		t.Errorf("%d saves at once after a failure, want none", n.saves-saves)
	}
	w.run(delay * 11 / 10)
	if n.saves != saves+1 {
		t.Fatalf("%d saves after a heartbeat, want 1", n.saves-saves)
	}
	for _, p := range n.sent {
		if p.Promise.Epoch != 0 || !p.Promise.Instance.IsZero() {
			t.Error("tells a promise that is not stored")
		}
	}
	n.clear()
	n.step(election.Saved{Seq: n.saveSeq})
	n.want(slave, "grant", "", false)
}

// A check that passes again and again does not put off the turn to claim.
func TestHealthKeepsTurn(t *testing.T) {
	w, n, _ := following(t)
	w.slave(low) // goes first, so the turn is a slot away
	w.run(down - 10*time.Millisecond)
	for range 60 {
		w.run(10 * time.Millisecond)
		n.step(election.Health{OK: true})
	}
	if n.state() == slave {
		t.Error("has not claimed 600 ms after its turn began")
	}
}

// A master that comes back after a silence is told of again.
func TestMasterComesBack(t *testing.T) {
	w, n, m := following(t, witness)
	w.run(2 * down)
	if n.events[len(n.events)-1].Type != election.EventMaster || !n.events[len(n.events)-1].Peer.IsZero() {
		t.Fatalf("events %q, want: no master", n.told())
	}
	n.clear()
	m.say(heartbeat.KindHeartbeat)
	n.want(slave, "", "peer.joined master", false)
	if n.events[1].Peer != m.id() {
		t.Error("does not name the master")
	}
}

// At the greatest epoch there is, packets stay valid; with a quorum nobody is
// elected any more.
func TestGreatestEpoch(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, saved(election.State{MaxEpoch: heartbeat.MaxEpoch, Reigned: heartbeat.MaxEpoch}))
	n.until(master, 2*down)
	w.run(3 * delay) // world fails on a packet that cannot be sent
	x := w.fake(low).reigns(heartbeat.MaxEpoch)
	x.say(heartbeat.KindHeartbeat)
	x.serves().say(heartbeat.KindHeartbeat)
	w.run(3 * delay)
	n.is(master)
	if n.guard.Epoch != heartbeat.MaxEpoch {
		t.Errorf("epoch %d", n.guard.Epoch)
	}

	w = newWorld(t)
	n = w.node(me, quorum(2), saved(election.State{MaxEpoch: heartbeat.MaxEpoch, Granted: heartbeat.MaxEpoch}))
	o := w.node(low, quorum(2), saved(election.State{MaxEpoch: heartbeat.MaxEpoch, Granted: heartbeat.MaxEpoch}))
	w.run(20 * down)
	if n.state().Reigns() || o.state().Reigns() {
		t.Error("the greatest epoch was granted twice")
	}
}

// The heard list of a packet to one peer does not use up a turn of the rotation.
func TestRotationCountsBroadcastsOnly(t *testing.T) {
	w := newWorld(t)
	n := w.node(200, quorum(2), witness)
	m := w.fake(199).reigns(7)
	m.p.Quorum = 2
	for i := range byte(78) {
		f := w.slave(i + 1)
		f.p.Quorum, f.p.Votes, f.p.Node = 2, 0, heartbeat.NodeID{i + 1}
		f.next = w.now + 2*delay
	}
	w.run(down + delay + delay/2)
	named := map[[8]byte]bool{}
	for range 8 {
		n.clear()
		for len(n.sent) == 0 {
			w.run(flight)
		}
		m.say(heartbeat.KindHeartbeat) // answered by a grant, each time
		n.last(heartbeat.KindGrant)
		for _, p := range n.sent {
			if p.Kind == heartbeat.KindHeartbeat {
				for _, h := range p.Heard {
					named[h.Instance] = true
				}
			}
		}
	}
	if len(named) < 79 {
		t.Errorf("eight heartbeats name %d peers, want all 79", len(named))
	}
}

// With many peers an objection goes by unicast to as many as a heard list names,
// the claimer among them; claims and a master's packets go to all.
func TestUnicastToSome(t *testing.T) {
	const slaves = 78
	w := newWorld(t)
	n := w.node(200)
	m := w.fake(199).reigns(7)
	m.live = true
	for i := range byte(slaves) {
		w.slave(i + 1).p.Flags |= heartbeat.FlagDrained
	}
	w.run(down + delay)
	n.clear()
	claimer := w.fake(190).claims(8)
	claimer.say(heartbeat.KindClaim)
	if n.kinds() != "heartbeat" || len(n.to[0]) != heartbeat.MaxHeard || !slices.Contains(n.to[0], claimer.addr) {
		t.Errorf("to a claim beside a live master: %q, by unicast to %v", n.kinds(), n.to)
	}
	claimer.serves().say(heartbeat.KindLeave)
	m.live = false
	n.clear()
	n.until(master, 4*down)
	w.run(delay)
	for i, p := range n.sent {
		if (p.Kind == heartbeat.KindClaim || p.State.Reigns()) && len(n.to[i]) < slaves {
			t.Errorf("%v of a %v goes to %d by unicast, want all %d", p.Kind, p.State, len(n.to[i]), slaves)
		}
	}
}

// Who heard a master until it died has listened enough. Who was frozen, and is
// told on waking that the master of old is dead, has not: another may reign.
func TestProvedDeadWhileListening(t *testing.T) {
	t.Run("young", func(t *testing.T) {
		w := newWorld(t)
		m := w.fake(high).reigns(7)
		m.live = true
		w.run(3 * delay)
		n := w.node(me)
		w.run(2 * delay)
		m.live = false
		n.step(election.Died{Obituary: m.obituary()})
		if took := n.until(claiming, down); took > n.m.Timers().Short+flight {
			t.Errorf("claims after %v, want at most %v", took, n.m.Timers().Short)
		}
	})
	t.Run("thawed", func(t *testing.T) {
		w, n, m := following(t)
		w.slave(low).p.Flags |= heartbeat.FlagDrained // it hears others, so it is not isolated
		n.frozen = true
		w.run(2 * down)
		n.frozen = false
		n.step(election.Died{Obituary: m.obituary()})
		if took := n.until(claiming, 2*down); took < down-delay {
			t.Errorf("claims %v after it was frozen, want %v of listening", took, down)
		}
	})
}
