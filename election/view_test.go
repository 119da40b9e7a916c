package election_test

import (
	"testing"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func TestViewOfMaster(t *testing.T) {
	w, n, a, b := reigning(t)
	b.p.Position = 1
	b.say(heartbeat.KindHeartbeat)
	a.p.Flags = 0
	a.say(heartbeat.KindHeartbeat)
	gone := w.fake(high + 1)
	gone.say(heartbeat.KindHeartbeat)
	gone.say(heartbeat.KindLeave)
	v := n.m.View(w.now)
	if v.State != master || v.Epoch != 1 || v.Position != 0 || v.GuardLeft <= 0 || !v.Follow.Instance.IsZero() {
		t.Errorf("view %+v", v)
	}
	if len(v.Peers) != 2 {
		t.Fatalf("%d peers, want 2: who left is not one", len(v.Peers))
	}
	for _, p := range v.Peers {
		if !p.Confirmed || p.Votes != 1 || p.Age != 0 || p.Addr != address(p.ID[0]) {
			t.Errorf("peer %+v", p)
		}
		switch p.ID {
		case a.id():
			if p.Eligible || p.Position != 0 {
				t.Errorf("a witness: %+v", p)
			}
		case b.id():
			if !p.Eligible || p.Position != 1 || p.Name != b.p.Name {
				t.Errorf("the next: %+v", p)
			}
		}
	}
	v.Peers[0].Name = "x" // shares nothing
	if n.m.View(w.now).Peers[0].Name == "x" {
		t.Error("the view shares memory with the machine")
	}
	w.run(3 * down)
	a.live, b.live = false, false
	w.run(2*down + delay)
	if got := len(n.m.View(w.now).Peers); got != 0 {
		t.Errorf("%d peers after a long silence, want none", got)
	}
}

func TestViewOfSlave(t *testing.T) {
	w, n, m := following(t, quorum(2))
	o := w.fake(low)
	o.p.Quorum = 2
	o.say(heartbeat.KindHeartbeat)
	m.say(heartbeat.KindHeartbeat)
	w.run(delay / 4)
	v := n.m.View(w.now)
	if v.State != slave || v.Epoch != 0 || v.Position != 2 || v.GuardLeft != 0 || v.FollowAge != delay/4 ||
		v.Follow != (heartbeat.Sighting{Instance: m.id(), Epoch: 7, Seq: m.p.Seq}) {
		t.Errorf("view %+v", v)
	}
	n.step(election.Drain{})
	if v := n.m.View(w.now); !v.Drained || v.Position != 0 {
		t.Errorf("drained: %+v", v)
	}
	n.step(election.Resume{})
	if v := n.m.View(w.now); v.Drained || v.Position != 2 {
		t.Errorf("resumed: %+v", v)
	}
	x := w.node(high+5, quorum(2))
	if v := x.m.View(w.now); !v.Embargo || v.State != listening {
		t.Errorf("a restarted voter: %+v", v)
	}
}

func TestCanHandOver(t *testing.T) {
	var nobody heartbeat.InstanceID
	w, n, a, b := reigning(t)
	a.p.Flags |= heartbeat.FlagUnhealthy
	a.say(heartbeat.KindHeartbeat)
	stranger := w.fake(high + 1)
	stranger.deaf = true
	stranger.say(heartbeat.KindHeartbeat)
	for _, c := range []struct {
		name string
		to   heartbeat.InstanceID
		want error
	}{
		{"anyone", nobody, nil},
		{"a peer", b.id(), nil},
		{"one that may not", a.id(), election.ErrNotEligible},
		{"one that hears nobody", stranger.id(), election.ErrNoPeer},
		{"one unknown", id(1), election.ErrNoPeer},
		{"itself", n.cfg.Self, election.ErrNoPeer},
	} {
		if got := n.m.CanHandOver(w.now, c.to); got != c.want {
			t.Errorf("to %s: %v, want %v", c.name, got, c.want)
		}
	}
	n.step(election.Handover{To: b.id()})
	if got := n.m.CanHandOver(w.now, nobody); got != election.ErrBusy {
		t.Errorf("while one is under way: %v", got)
	}
	n.step(election.Handover{To: a.id()}) // the first goes on
	if n.told() != "peer.joined handover" {
		t.Errorf("events %q, want one hand-over", n.told())
	}
	_, o, _ := following(t)
	if got := o.m.CanHandOver(o.w.now, nobody); got != election.ErrNotMaster {
		t.Errorf("of a slave: %v", got)
	}
}
