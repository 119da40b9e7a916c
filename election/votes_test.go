package election_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func without(r election.Rules) option {
	return func(c *election.Config, _ *election.State) { c.Off = r }
}

// TestVotesThatDoNotCount: a claim of epoch 1 that needs one more vote gets
// each of these, and does not win.
func TestVotesThatDoNotCount(t *testing.T) {
	for name, vote := range map[string]func(n *node, p *heartbeat.Packet){
		"another epoch":    func(n *node, p *heartbeat.Packet) { p.Promise.Epoch = 2 },
		"an old packet":    func(n *node, p *heartbeat.Packet) { p.Promise.Seq = 1 },
		"a future packet":  func(n *node, p *heartbeat.Packet) { p.Promise.Seq = n.seq + 1 },
		"somebody else":    func(n *node, p *heartbeat.Packet) { p.Promise.Instance = id(1) },
		"no votes":         func(n *node, p *heartbeat.Packet) { p.Votes = 0 },
		"not a voter":      func(n *node, p *heartbeat.Packet) { p.Node = heartbeat.NodeID{99} },
		"the node's clone": func(n *node, p *heartbeat.Packet) { p.Node = n.cfg.Node },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			v := w.slave(high)
			v.p.Quorum, v.p.Votes = 2, 1
			n := w.node(me, quorum(2), func(c *election.Config, _ *election.State) {
				c.Voters = []heartbeat.NodeID{c.Node, v.p.Node}
			})
			n.until(claiming, 3*down)
			w.run(flight)
			v.live = false
			vote0 := func(p *heartbeat.Packet) {
				p.Promise = heartbeat.Sighting{Instance: n.cfg.Self, Epoch: 1, Seq: n.seq}
			}
			for range 2 {
				v.say(heartbeat.KindGrant, vote0, func(p *heartbeat.Packet) { vote(n, p) })
				w.run(delay * 3 / 4)
			}
			if n.state().Reigns() {
				t.Fatal("it was counted")
			}
			v.say(heartbeat.KindGrant, vote0)
			w.run(delay * 3 / 4)
			if !n.state().Reigns() && name != "another epoch" && name != "the node's clone" {
				t.Errorf("state %v: the good vote was not counted", n.state())
			}
		})
	}
}

// A promise binds for the asker's delay × retries: nobody else gets the vote,
// and the voter itself does not claim.
func TestPromiseLasts(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2))
	c, o := w.fake(low), w.fake(high)
	c.p.Quorum, o.p.Quorum, c.p.Retries = 2, 2, 9
	w.run(down - delay/10)
	c.say(heartbeat.KindHeartbeat) // goes first
	w.run(delay/10 + 20*time.Millisecond)
	n.clear()
	c.claims(5).say(heartbeat.KindClaim)
	if n.kinds() != "grant" {
		t.Fatalf("sent %q", n.kinds())
	}
	w.run(8*delay + delay/2)
	n.is(slave)
	n.clear()
	o.claims(9).say(heartbeat.KindClaim)
	if n.kinds() != "refusal" {
		t.Errorf("sent %q, want a refusal: the promise holds for 9s", n.kinds())
	}
	o.serves().say(heartbeat.KindWithdraw)
	if took := n.until(claiming, down); took < delay/2 || took > delay {
		t.Errorf("claims %v later, want when the 9s are over", took)
	}
}

// What frees a promise, and what does not.
func TestPromiseFreed(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(m, o *fake)
		free bool
	}{
		"stopping":           {func(m, _ *fake) { m.p.State, m.p.Epoch, m.p.Asks = stopping, 0, 0; m.say(heartbeat.KindHeartbeat) }, false},
		"slave":              {func(m, _ *fake) { m.serves().say(heartbeat.KindHeartbeat) }, true},
		"an old resignation": {func(m, o *fake) { o.say(heartbeat.KindHeartbeat, resignsAt(m, 6)) }, false},
		"a resignation":      {func(m, o *fake) { o.say(heartbeat.KindHeartbeat, resignsAt(m, 7)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, n, m := following(t, quorum(2), without(election.RuleObject))
			o := w.fake(low)
			o.p.Quorum = 2
			o.say(heartbeat.KindHeartbeat)
			c.say(m, o)
			n.clear()
			o.claims(9).say(heartbeat.KindClaim)
			if got := countKind(n, heartbeat.KindGrant) == 1; got != c.free {
				t.Errorf("sent %q, want the vote free: %v", n.kinds(), c.free)
			}
		})
	}
	// One's own claim, once withdrawn.
	w, n := claimer(t, quorum(2))
	c := w.fake(low)
	c.p.Quorum = 2
	c.claims(5).say(heartbeat.KindClaim)
	n.want(slave, "withdraw grant", "peer.joined state", false)
}

func resignsAt(m *fake, epoch uint64) func(*heartbeat.Packet) {
	return func(p *heartbeat.Packet) {
		p.Resigned = heartbeat.Resignation{Instance: m.id(), Epoch: epoch}
	}
}

// An old resignation of the followed master ends no later reign of it.
func TestOldResignation(t *testing.T) {
	w, n, m := following(t)
	w.fake(low).say(heartbeat.KindHeartbeat, resignsAt(m, 6))
	if n.m.View(w.now).Follow.Instance != m.id() {
		t.Error("it ended a reign that began later")
	}
}

// A voter is loyal to a master that it knows of through others only.
func TestLoyalThroughRelay(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2))
	m, r, c := w.fake(high).reigns(7), w.slave(low), w.fake(low+1)
	r.p.Quorum, c.p.Quorum = 2, 2
	for i := range uint64(8) {
		w.run(delay)
		r.say(heartbeat.KindHeartbeat, sees(m, i+1))
	}
	c.say(heartbeat.KindHeartbeat)
	n.clear()
	c.claims(9).say(heartbeat.KindClaim)
	if p := n.last(heartbeat.KindRefusal); p.Master.Instance != m.id() {
		t.Error("the refusal does not name the master")
	}
	if n.disk.Granted != 0 {
		t.Error("granted against a live master")
	}
}

// An heir needs its own vote, which it may have promised, or not have yet.
func TestHeirNeedsItsVote(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2), saved(election.State{Promise: 3 * down}))
	m := w.slave(high).reigns(7)
	m.p.Quorum = 2
	w.run(2 * down) // the embargo lasts on
	m.live = false
	n.clear()
	m.serves().say(heartbeat.KindResign, resigns(m, n.cfg.Self))
	n.want(slave, "", "master", false)

	w = newWorld(t)
	n = w.node(me, quorum(2), saved(election.State{Unsure: true}))
	w.run(4 * down)
	n.is(slave) // unsure: no claim either
}

// The votes of one that is proved dead are gone at once.
func TestVotesOfTheDead(t *testing.T) {
	w, n, a, b := reigning(t, quorum(2))
	b.live, b.grants = false, false
	w.run(2 * down)
	n.is(master)
	n.clear()
	n.step(election.Died{Obituary: a.obituary()})
	n.is(slave)
	for _, p := range n.sent {
		if p.State.Reigns() {
			t.Error("speaks as master without votes")
		}
	}
}

// A claim after a proved death comes again soon, for a packet may be lost, and
// rarely once votes stay away: the network may be what is sick.
func TestUnansweredClaimBecomesRare(t *testing.T) {
	w, n, m := following(t, quorum(2))
	n.step(election.Died{Obituary: m.obituary()})
	n.until(claiming, delay)
	n.clear()
	from := w.now
	claims := func() (count int) {
		for _, p := range n.sent {
			if p.Kind == heartbeat.KindClaim {
				count++
			}
		}
		return count
	}
	w.run(delay / 20)
	if got := claims(); got < 3 {
		t.Errorf("%d claims in the first %v", got, w.now-from)
	}
	n.until(slave, 2*down)
	if took := w.now - from; took < down-delay {
		t.Errorf("withdrawn after %v", took)
	}
	if got := claims(); got > 40 {
		t.Errorf("%d claims in %v that nobody answered", got, w.now-from)
	}
}

// With votes gone silent the master stops when its guard runs out, not with
// the next heartbeat.
func TestStopsInTime(t *testing.T) {
	w, n, a, b := reigning(t, quorum(2))
	a.live, b.live, a.grants, b.grants = false, false, false, false
	w.run(delay)
	until := n.guard.Until
	n.until(slave, 2*down)
	if late := w.now - until; late < 0 || late > flight {
		t.Errorf("stops %v after its guard", late)
	}
}

// While another master is heard nobody raises an epoch.
func TestNoReEpochInConflict(t *testing.T) {
	w, n, _, _ := reigning(t)
	x := w.slave(low - 1).reigns(1)
	x.p.MaxEpoch = 40
	w.run(2 * delay)
	n.is(master)
	if n.guard.Epoch != 1 {
		t.Errorf("epoch %d while another master is heard", n.guard.Epoch)
	}
	x.serves()
	w.run(2 * delay)
	if n.guard.Epoch != 41 {
		t.Errorf("epoch %d afterwards, want 41", n.guard.Epoch)
	}
}

// Equal epochs count as crossed and as refused.
func TestEqualEpochs(t *testing.T) {
	w, n := claimer(t)
	w.fake(high).claims(1).say(heartbeat.KindClaim)
	if p := n.last(heartbeat.KindClaim); p.Epoch != 2 {
		t.Errorf("crossed: claims epoch %d, want 2", p.Epoch)
	}
	w, n = claimer(t, quorum(2))
	v := w.fake(high)
	v.p.Quorum = 2
	v.say(heartbeat.KindRefusal, func(p *heartbeat.Packet) { p.Promise.Epoch = 1 })
	if p := n.last(heartbeat.KindClaim); p.Epoch != 2 {
		t.Errorf("refused: claims epoch %d, want 2", p.Epoch)
	}
}

// A master that hears nobody is passed over only by one that somebody hears.
func TestDeafOnlyIfHeard(t *testing.T) {
	w, n, a, b := reigning(t)
	a.deaf, b.deaf = true, true
	w.run(2 * down)
	x := w.slave(high + 1).reigns(9)
	x.deaf = true
	w.run(4 * delay)
	if n.state().Reigns() || countEvents(n, election.EventDeafPeer) > 0 {
		t.Errorf("state %v, events %q", n.state(), n.told())
	}
}

// Two late packets of a process that was restarted are no clone.
func TestLatePacketsAreNoClone(t *testing.T) {
	w := newWorld(t)
	n := w.node(me, quorum(2))
	w.run(3 * delay)
	old := w.fake(low)
	old.p.Node, old.p.Quorum = n.cfg.Node, 2
	old.say(heartbeat.KindHeartbeat)
	w.run(2*delay + flight)
	old.say(heartbeat.KindHeartbeat)
	w.run(2 * delay)
	if countEvents(n, election.EventClone) != 0 || n.state() == fault {
		t.Error("two late packets are taken for a live instance")
	}
}

// What an operator ordered overrules.
func TestOrdersOverrule(t *testing.T) {
	// In maintenance one that must go goes, and names nobody.
	_, n, _, _ := reigning(t)
	n.step(election.SetMaintenance{For: time.Hour})
	n.step(election.Drain{})
	n.is(slave)
	if p := n.last(heartbeat.KindResign); !p.Resigned.Heir.IsZero() {
		t.Error("names an heir in maintenance")
	}
	// An order that must be obeyed joins one under way.
	w, n, _, _ := reigning(t)
	n.step(election.Handover{})
	n.step(election.Drain{})
	w.run(delay)
	n.is(slave)
	// A forced reign is not ended by isolation.
	w = newWorld(t)
	n = w.node(me)
	a, b := w.slave(low), w.slave(high)
	w.run(delay)
	n.step(election.Promote{Force: true})
	w.asMaster(n)
	a.live, b.live = false, false
	w.run(3 * down)
	n.is(master)
	// The same version of maintenance stays as it is.
	_, n, m := following(t)
	o := n.w.fake(low)
	o.p.Maintenance = heartbeat.Maintenance{Version: 3, Left: time.Minute}
	o.say(heartbeat.KindHeartbeat)
	m.p.Maintenance = heartbeat.Maintenance{Version: 3, Left: time.Hour}
	m.say(heartbeat.KindHeartbeat)
	if got := n.m.View(n.w.now).Maintenance; got > time.Minute {
		t.Errorf("maintenance for %v", got)
	}
}

func countKind(n *node, kind heartbeat.Kind) (count int) {
	for _, p := range n.sent {
		if p.Kind == kind {
			count++
		}
	}
	return count
}

// A master that handed over to one that then dies is the last to claim.
func TestResignedWaitsLongest(t *testing.T) {
	_, n, a, b := reigning(t)
	b.p.Flags = 0 // is there, and may not reign
	n.step(election.Handover{To: a.id()})
	a.say(heartbeat.KindReady)
	n.is(slave)
	a.live = false
	took := n.until(claiming, 4*down)
	if least := 3*delay + down; took < least || took > least+delay/2 {
		t.Errorf("claims after %v, want %v", took, least)
	}
}

// Nobody brings a proved death back to life by what the dead said last.
func TestDeadAreNotRelayed(t *testing.T) {
	w, n, m := following(t)
	n.step(election.Died{Obituary: m.obituary()})
	w.fake(low).say(heartbeat.KindHeartbeat, sees(m, m.p.Seq+3))
	if !n.m.View(w.now).Follow.Instance.IsZero() {
		t.Error("follows the dead")
	}
}

// A recording of an earlier master never names us: it does not depose a master.
func TestRecordingDeposesNobody(t *testing.T) {
	w, n, a, _ := reigning(t)
	x := w.fake(low - 1).reigns(1) // before ours
	x.live = true
	w.cut = func(from, to netip.AddrPort) bool { return to == x.addr }
	x.too = []heartbeat.Heard{{Instance: a.id().Prefix(), Seq: 1}}
	w.run(4 * down)
	n.is(master)
	if countEvents(n, election.EventDeafPeer) == 0 {
		t.Error("nobody is told")
	}
}

// Who looks for a majority is told of forcing it only where it is not there.
func TestVotesToldOf(t *testing.T) {
	alone := newWorld(t)
	n := alone.node(me, quorum(2))
	alone.run(down + 2*delay)
	if got, want := n.m.View(alone.now).NoMajority, "1 vote is heard, 2 votes are needed; if the others are gone for good: promote --force"; got != want {
		t.Errorf("alone: %q, want %q", got, want)
	}

	w := newWorld(t)
	n = w.node(me, quorum(2))
	w.voter(low, 2).p.Flags |= heartbeat.FlagDrained
	w.voter(high, 2).p.Flags |= heartbeat.FlagDrained
	w.run(delay)
	n.step(election.Drain{})
	w.run(5 * down)
	if got := n.m.View(w.now).NoMajority; got != "" {
		t.Errorf("all are drained: %q, want nothing about votes", got)
	}
	var told string
	for _, e := range n.events {
		if e.Type == election.EventNoCandidate {
			told = e.Detail
		}
	}
	if want := "all instances are drained: resume one"; told != want {
		t.Errorf("told %q, want %q", told, want)
	}

	many := newWorld(t)
	n = many.node(me, quorum(1))
	many.voter(low, 1)
	many.run(down + 2*delay)
	v := n.m.View(many.now)
	if want := "too many votes: 2 where a quorum of 1 allows 1; the latest is " + string('a'+rune(low%26)) +
		". Give failover.quorum=2 to all, or fewer failover.votes or failover.voters"; v.Fault != want {
		t.Errorf("fault %q, want %q", v.Fault, want)
	}
	if v.NoMajority != "" {
		t.Errorf("too many votes, and %q", v.NoMajority)
	}
}

// A pause is told apart from a check that fails.
func TestPauseToldOf(t *testing.T) {
	w, n, _, _ := reigning(t)
	n.step(election.Handover{NoClaimFor: down, Reason: "the command fails too often"})
	n.until(slave, down)
	w.run(2 * delay)
	if v := n.m.View(w.now); !v.Unhealthy || v.Pause != "the command fails too often" {
		t.Errorf("view: unhealthy %v, pause %q", v.Unhealthy, v.Pause)
	}
	if f := n.last(heartbeat.KindHeartbeat).Flags; !f.Has(heartbeat.FlagUnhealthy | heartbeat.FlagPaused) {
		t.Errorf("flags %b: others do not see the pause", f)
	}
	n.step(election.Resume{})
	n.step(election.Health{OK: false})
	w.run(2 * delay)
	if v := n.m.View(w.now); !v.Unhealthy || v.Pause != "" {
		t.Errorf("a failing check: unhealthy %v, pause %q", v.Unhealthy, v.Pause)
	}
	if f := n.last(heartbeat.KindHeartbeat).Flags; !f.Has(heartbeat.FlagUnhealthy) || f.Has(heartbeat.FlagPaused) {
		t.Errorf("flags %b of a failing check", f)
	}
}
