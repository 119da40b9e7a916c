package election_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// crowd has the packets of many instances arrive, each naming us if echo.
func crowd(n *node, from, to int, echo bool) {
	for i := from; i < to; i++ {
		f := &fake{w: n.w, addr: address(byte(i)), deaf: !echo}
		f.p = heartbeat.Packet{State: slave, Flags: heartbeat.FlagCandidate, Name: "x", Delay: delay, Retries: retries, Seq: uint64(i)}
		binary.BigEndian.PutUint32(f.p.Instance[:], uint32(i+1))
		binary.BigEndian.PutUint32(f.p.Node[:], uint32(i+1))
		f.say(heartbeat.KindHeartbeat)
	}
}

// TestPeerBounds: PROTOCOL.md §4.1.
func TestPeerBounds(t *testing.T) {
	w := newWorld(t)
	n := w.node(me)
	w.run(delay)
	crowd(n, 0, 1000, false)
	if got := len(n.m.View(w.now).Peers); got != 64 {
		t.Errorf("%d unconfirmed peers, want 64", got)
	}
	crowd(n, 2000, 2256, true)
	v := n.m.View(w.now)
	confirmed := 0
	for _, p := range v.Peers {
		if p.Confirmed {
			confirmed++
		}
	}
	if len(v.Peers) != 256 || confirmed != 256 {
		t.Errorf("%d peers, %d confirmed, want 256: who hears us goes before strangers", len(v.Peers), confirmed)
	}
	crowd(n, 3000, 3100, true)
	crowd(n, 5000, 5100, false)
	for _, p := range n.m.View(w.now).Peers {
		if i := binary.BigEndian.Uint32(p.ID[:]); i < 2000 || i > 2256 {
			t.Fatalf("peer %d drove out one that hears us", i)
		}
	}
	w.run(11 * down)
	if got := len(n.m.View(w.now).Peers); got != 0 {
		t.Errorf("%d peers after a long silence", got)
	}
	crowd(n, 0, 1, true)
	if got := len(n.m.View(w.now).Peers); got != 1 {
		t.Errorf("%d peers after the table was forgotten, want 1", got)
	}
}

// TestHeardRotation: all peers are named in turn, the master in every packet.
func TestHeardRotation(t *testing.T) {
	for _, count := range []int{5, 40, 41, 100, 250} {
		w := newWorld(t)
		n := w.node(me)
		m := w.slave(high).reigns(3)
		w.run(delay / 2)
		names := func() {
			for i := range count - 1 {
				f := fake{w: w, deaf: false, addr: address(byte(i))}
				f.p = heartbeat.Packet{State: slave, Name: "x", Delay: delay, Retries: retries, Seq: uint64(w.now)}
				binary.BigEndian.PutUint32(f.p.Instance[:], uint32(i+1))
				f.say(heartbeat.KindHeartbeat)
			}
		}
		names()
		n.clear()
		named := map[[8]byte]int{}
		packets := 0
		for packets*39 < count+39 {
			w.run(delay)
			names()
			for _, p := range n.sent[packets:] {
				packets++
				if len(p.Heard) > heartbeat.MaxHeard {
					t.Fatalf("%d entries", len(p.Heard))
				}
				for _, h := range p.Heard {
					named[h.Instance]++
				}
			}
		}
		if len(named) != count {
			t.Errorf("%d packets name %d of %d peers", packets, len(named), count)
		}
		if named[m.id().Prefix()] != packets {
			t.Errorf("%d of %d packets name the master", named[m.id().Prefix()], packets)
		}
	}
}

// TestEchoProves: a peer is confirmed only while it names a packet that we
// sent, and lately.
func TestEchoProves(t *testing.T) {
	w := newWorld(t)
	n := w.node(me)
	w.run(delay / 2)
	n.clear()
	for len(n.sent) == 0 {
		w.run(flight)
	}
	f := w.fake(low)
	names := func(seq uint32) bool {
		f.say(heartbeat.KindHeartbeat, func(p *heartbeat.Packet) {
			p.Heard = []heartbeat.Heard{{Instance: id(7).Prefix(), Seq: 1}, {Instance: n.cfg.Self.Prefix(), Seq: seq}}
		})
		for _, p := range n.m.View(w.now).Peers {
			if p.ID == f.id() {
				return p.Confirmed
			}
		}
		return false
	}
	if names(uint32(n.seq) + 1) {
		t.Error("confirmed by a packet that was never sent")
	}
	if names(0) {
		t.Error("confirmed by packet 0")
	}
	old := uint32(n.seq)
	if !names(old) {
		t.Error("not confirmed")
	}
	w.run(down - delay - delay/2)
	if !names(old) {
		t.Error("not confirmed by a packet sent within T_down")
	}
	w.run(delay)
	if !names(old - 1) {
		t.Error("an older packet took the proof back")
	}
	w.run(2 * delay)
	if names(old) {
		t.Error("confirmed by a packet that left longer ago than T_down")
	}
	if !names(uint32(n.seq)) {
		t.Error("not confirmed by a new packet")
	}
}

func TestSettingsDiffer(t *testing.T) {
	w := newWorld(t)
	n := w.node(me)
	w.run(flight)
	n.clear()
	f := w.fake(low)
	f.p.Retries = 9
	f.say(heartbeat.KindHeartbeat)
	f.say(heartbeat.KindHeartbeat)
	n.want(listening, "", "peer.joined settings.differ", false)
	// The longer lease decides how long a silent master is waited for.
	f.reigns(3).say(heartbeat.KindHeartbeat)
	w.run(8 * delay)
	if n.m.View(w.now).Follow.Instance != f.id() {
		t.Error("the master is given up before its own lease is over")
	}
	f.say(heartbeat.KindHeartbeat)
	if took := n.until(claiming, 20*delay); took < 9*delay || took > 9*delay+delay/2 {
		t.Errorf("claims after %v, want the master's own 9s", took)
	}
	// And nobody claims beside a peer that goes by another quorum.
	w = newWorld(t)
	n = w.node(me, quorum(2))
	f = w.slave(low)
	f.p.Quorum = 3
	w.run(4 * down)
	if countKind(n, heartbeat.KindClaim) != 0 {
		t.Error("claims beside a peer with another quorum")
	}
}

func TestEpochJump(t *testing.T) {
	w, n, m := following(t)
	m.reigns(1007).say(heartbeat.KindHeartbeat)
	n.want(slave, "", "master", false)
	n.clear()
	m.reigns(2008).say(heartbeat.KindHeartbeat)
	n.want(slave, "", "epoch.jump master", false)
	if e := n.events[0]; e.Epoch != 2008 || e.Peer != m.id() {
		t.Errorf("event %+v", e)
	}
	// A new start knows no epoch, so it cannot jump.
	x := w.node(low)
	m.reigns(9000).say(heartbeat.KindHeartbeat)
	if countEvents(x, election.EventEpochJump) != 0 {
		t.Error("alarm at the first epoch heard")
	}
	// An epoch of 2^63 or more is no packet at all.
	m.p.Epoch = 1 << 63
	p := m.p
	p.Kind = heartbeat.KindHeartbeat
	if _, err := w.codec.Seal(nil, &p); err == nil {
		t.Error("epoch 2^63 can be sent")
	}
}

// The followed master's silence is told with its epoch.
func TestSilentMaster(t *testing.T) {
	w, n, m := following(t)
	other := w.slave(7)
	w.run(2 * delay)
	n.clear()
	m.live, other.live = false, false
	w.run(down * 3 / 4)
	want := map[heartbeat.InstanceID]uint64{m.id(): m.p.Epoch, other.id(): 0}
	for _, e := range n.events {
		if e.Type == election.EventSilent {
			if epoch, ok := want[e.Peer]; !ok || e.Epoch != epoch {
				t.Errorf("event %+v, want epoch %d", e, epoch)
			}
			delete(want, e.Peer)
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing told of %v", want)
	}
}

func TestSilentPeers(t *testing.T) {
	w, n, a, _ := reigning(t)
	a.p.Cache = address(77)
	a.say(heartbeat.KindHeartbeat)
	a.live = false
	w.run(down)
	if countEvents(n, election.EventSilent) != 1 {
		t.Fatalf("events %q, want one peer.silent", n.told())
	}
	if e := n.events[0]; e.Peer != a.id() || e.Addr != address(77) || e.Name != a.p.Name {
		t.Errorf("event %+v", e)
	}
	n.clear()
	a.say(heartbeat.KindHeartbeat)
	n.want(master, "", "peer.joined", true)
	n.step(election.Refused{Peer: a.id()}) // it is not silent
	n.step(election.Refused{Peer: id(1)})  // nobody knows it
	a.say(heartbeat.KindLeave)
	a.say(heartbeat.KindLeave)
	n.want(master, "", "peer.joined peer.left", true)
	w.run(time.Second)
}
