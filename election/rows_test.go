package election_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

const (
	me, low, high = 0x50, 0x20, 0x90 // the lower id goes first among claims

	listening = heartbeat.StateListening
	slave     = heartbeat.StateSlave
	claiming  = heartbeat.StateClaiming
	opening   = heartbeat.StateOpening
	master    = heartbeat.StateMaster
	draining  = heartbeat.StateDraining
	stopping  = heartbeat.StateStopping
	fault     = heartbeat.StateFault
)

// following makes a slave that follows a live master, epoch 7, which then is
// silent; the node's record is clear.
func following(t *testing.T, options ...option) (*world, *node, *fake) {
	t.Helper()
	w := newWorld(t)
	n := w.node(me, options...)
	m := w.fake(high).reigns(7)
	m.p.Quorum = n.cfg.Quorum
	m.live = true
	w.run(down + 3*delay)
	m.live = false
	n.is(slave)
	n.clear()
	return w, n, m
}

// claimer makes a node that has just sent its first claim.
func claimer(t *testing.T, options ...option) (*world, *node) {
	t.Helper()
	w := newWorld(t)
	n := w.node(me, options...)
	n.until(claiming, 10*time.Second)
	w.run(flight)
	n.clear()
	return w, n
}

// reigning makes a master with two live slaves.
func reigning(t *testing.T, options ...option) (*world, *node, *fake, *fake) {
	t.Helper()
	w := newWorld(t)
	n := w.node(me, options...)
	a, b := w.slave(low), w.slave(high)
	a.p.Quorum, b.p.Quorum = n.cfg.Quorum, n.cfg.Quorum
	a.p.Flags, b.p.Flags = heartbeat.FlagCandidate, heartbeat.FlagCandidate
	a.grants, b.grants = n.cfg.Quorum > 0, n.cfg.Quorum > 0
	w.asMaster(n)
	return w, n, a, b
}

// rows has one test for each row of the state table, PROTOCOL.md §3.
var rows = map[string]func(*testing.T){
	"T1": func(t *testing.T) {
		w, n, m := following(t)
		w.run(delay / 3)
		n.clear()
		before := n.m.View(w.now).FollowAge
		m.p.Seq-- // the same number again
		m.say(heartbeat.KindHeartbeat)
		m.p.Seq -= 2 // an older one
		m.say(heartbeat.KindResign, func(p *heartbeat.Packet) { p.State = slave })
		own := m.p // from itself
		own.Instance, own.Kind, own.Seq = n.cfg.Self, heartbeat.KindClaim, 1_000
		n.step(election.Received{Packet: &own, From: n.addr})
		n.want(slave, "", "", false)
		v := n.m.View(w.now)
		if v.Follow.Instance != m.id() || v.FollowAge != before {
			t.Errorf("an old packet told something: %+v", v)
		}
		n.step(election.Died{Obituary: m.obituary()})
		n.clear()
		m.p.Seq = 1_000_000
		m.say(heartbeat.KindHeartbeat) // of a dead one
		n.want(slave, "", "", false)
	},
	"T2": func(t *testing.T) {
		w, n, _ := following(t)
		n.frozen = true
		w.run(down - delay/2) // the master's lease is nearly over, or so it looks
		n.frozen = false
		n.step(election.Wake{})
		n.want(slave, "heartbeat", "stalled peer.silent", false)
		if f := n.last(heartbeat.KindHeartbeat).Flags; !f.Has(heartbeat.FlagStalled) {
			t.Error("the packet does not say that it stalled")
		}
		if took := n.until(claiming, 3*down); took < down {
			t.Errorf("claims %v after the stall, want not before %v", took, down)
		}
	},
	"T3": func(t *testing.T) {
		w, n := claimer(t)
		n.frozen = true
		w.run(2 * delay) // longer than the window
		n.frozen = false
		n.step(election.Wake{})
		n.want(slave, "withdraw heartbeat", "stalled state", false)
		if took := n.until(claiming, 3*down); took < down {
			t.Errorf("claims again after %v, want not before %v", took, down)
		}
	},
	"T4": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me)
		n.holdBarrier = true
		n.until(opening, 10*time.Second)
		n.clear()
		n.frozen = true
		w.run(delay/3 + delay + 20*time.Millisecond)
		n.frozen = false
		n.step(election.Wake{})
		n.want(slave, "heartbeat heartbeat", "state stalled", false)
	},
	"T5": func(t *testing.T) {
		w, n, a, b := reigning(t)
		a.live, b.live = false, false
		n.holdWork = true
		n.frozen = true
		w.run(down * 4 / 5)
		n.frozen = false
		n.step(election.Wake{})
		if n.sent[0].State.Reigns() || n.sent[0].Epoch != 0 {
			t.Error("speaks as master after its lease")
		}
		n.want(stopping, "heartbeat", "stalled demoted state peer.silent peer.silent", false)
		if n.m.Timers().Lease != down*4/5 {
			t.Error("the lease is not 0.8·T_down")
		}
	},
	"T6": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me)
		w.run(down - flight)
		n.is(listening)
		n.clear()
		w.run(flight)
		n.want(slave, "", "state", false)
	},
	"T7": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me)
		w.run(delay / 2)
		n.clear()
		m := w.fake(high).reigns(7)
		m.say(heartbeat.KindHeartbeat)
		n.want(slave, "", "peer.joined master state", false)
		if v := n.m.View(w.now); v.Follow.Instance != m.id() || v.Follow.Epoch != 7 {
			t.Errorf("follows %+v", v.Follow)
		}
		if n.disk.Reigned != 7 || n.disk.MaxEpoch != 7 {
			t.Errorf("saved %+v, want epoch 7", n.disk)
		}
	},
	"T8": func(t *testing.T) {
		w, n, m := following(t)
		less, equal, more := w.fake(low).reigns(6), w.fake(low+1).reigns(7), w.fake(low+2).reigns(8)
		less.say(heartbeat.KindHeartbeat)
		equal.say(heartbeat.KindHeartbeat) // the same epoch, a lower instance
		n.want(slave, "", "peer.joined peer.joined", false)
		if got := n.m.View(w.now).Follow.Instance; got != m.id() {
			t.Errorf("left its master for a lower token of %v", got)
		}
		n.clear()
		more.say(heartbeat.KindHeartbeat)
		n.want(slave, "", "peer.joined master", false)
		if got := n.m.View(w.now).Follow.Instance; got != more.id() {
			t.Errorf("follows %v, want the greater token", got)
		}
		w.run(down - flight) // nothing more is heard of it
		less.say(heartbeat.KindHeartbeat)
		if got := n.m.View(w.now).Follow.Instance; got != more.id() {
			t.Errorf("left a live master for %v", got)
		}
		w.run(2 * flight)
		less.say(heartbeat.KindHeartbeat)
		if got := n.m.View(w.now).Follow.Instance; got != less.id() {
			t.Errorf("follows %v, want whoever reigns once the other is silent", got)
		}
	},
	"T9": func(t *testing.T) {
		w, n, m := following(t)
		r := w.fake(low)
		w.run(down - delay)
		r.say(heartbeat.KindHeartbeat, sees(m, m.p.Seq+1)) // news
		if age := n.m.View(w.now).FollowAge; age != 0 {
			t.Errorf("the relay did not refresh the master: %v", age)
		}
		w.run(delay)
		r.say(heartbeat.KindHeartbeat, sees(m, m.p.Seq+1)) // no news
		if age := n.m.View(w.now).FollowAge; age != delay {
			t.Errorf("an old relay refreshed the master: %v", age)
		}
		w.run(down - delay) // silent now
		if !n.m.View(w.now).Follow.Instance.IsZero() {
			t.Error("still follows")
		}
		x := w.fake(high + 1).reigns(9)
		n.clear()
		r.say(heartbeat.KindHeartbeat, sees(x, 3))
		n.want(slave, "", "peer.joined master", false)
		if got := n.m.View(w.now).Follow.Instance; got != x.id() {
			t.Errorf("follows %v, want the relayed one", got)
		}
	},
	"T10": func(t *testing.T) {
		w, n, m := following(t)
		m.p.State, m.p.Epoch, m.p.Asks = stopping, 0, 0
		m.say(heartbeat.KindHeartbeat)
		if n.m.View(w.now).Follow.Instance != m.id() {
			t.Fatal("hurried while the work was still being stopped")
		}
		n.clear()
		m.serves().say(heartbeat.KindHeartbeat)
		n.want(slave, "", "master", false)
		if took := n.until(claiming, down); took > delay/2 {
			t.Errorf("claims after %v, want its turn at once", took)
		}
	},
	"T11": func(t *testing.T) {
		_, n, m := following(t)
		n.holdBarrier = true
		m.serves().say(heartbeat.KindResign, resigns(m, n.cfg.Self))
		n.want(opening, "claim heartbeat", "master state state barrier", false)
		p := n.last(heartbeat.KindClaim)
		if p.Resigned.Instance != m.id() || p.Resigned.Heir != n.cfg.Self || p.Epoch != 8 {
			t.Errorf("claims %+v, want the resignation in it", p)
		}
	},
	"T12": func(t *testing.T) {
		_, n, m := following(t)
		m.serves().say(heartbeat.KindResign, resigns(m, id(low)))
		n.want(slave, "", "master", false)
		took := n.until(claiming, 2*down)
		if backoff := 3 * delay; took < backoff || took > backoff+delay/2 {
			t.Errorf("claims after %v, want W+2D = %v", took, backoff)
		}
	},
	"T13": func(t *testing.T) {
		_, n, m := following(t)
		m.serves().say(heartbeat.KindLeave)
		n.want(slave, "", "master peer.left", false)
		if took := n.until(claiming, down); took > delay/2 {
			t.Errorf("claims after %v, want its turn at once", took)
		}
	},
	"T14": func(t *testing.T) {
		w, n, m := following(t)
		n.step(election.Died{Obituary: heartbeat.Obituary{Instance: m.id(), Secret: [32]byte{9}}})
		n.want(slave, "", "", false) // no proof
		n.step(election.Died{Obituary: m.obituary()})
		n.want(slave, "", "peer.left master", false)
		n.clear()
		took := n.until(claiming, delay)
		if most := n.m.Timers().Short; took > most+flight {
			t.Errorf("claims after %v, want at most %v", took, most)
		}
		w.run(flight)
		if p := n.last(heartbeat.KindClaim); !p.Flags.Has(heartbeat.FlagGone) || p.Obituary != m.obituary() {
			t.Error("the claim does not carry the proof")
		}
		if took := n.until(master, delay); took > n.m.Timers().Short+flight {
			t.Errorf("opens %v after its claim, want W₀ = %v", took, n.m.Timers().Short)
		}
	},
	"T15": func(t *testing.T) {
		w, n, _ := following(t)
		w.slave(low)
		w.run(delay)
		n.holdSave = true
		n.clear()
		since := n.m.View(w.now).FollowAge
		took := since + n.until(claiming, 3*down)
		// One peer goes first: one slot, and up to half a slot by chance.
		if slot := delay / 5; took < down+slot || took > down+slot*3/2+2*flight {
			t.Errorf("claims after %v, want %v and one slot", took, down)
		}
		if n.disk.MaxEpoch != 8 {
			t.Errorf("saved epoch %d, want 8", n.disk.MaxEpoch)
		}
		w.run(delay / 4)
		for _, p := range n.sent {
			if p.Kind == heartbeat.KindClaim || p.Epoch > 0 {
				t.Error("tells a claim that is not stored")
			}
		}
	},
	"T16": func(t *testing.T) {
		w, n, _ := following(t, witness)
		w.run(4 * down)
		n.is(slave)
		if got := countEvents(n, election.EventNoCandidate); got != 1 {
			t.Errorf("%d times no-candidate, want 1", got)
		}
	},
	"T17": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me)
		m, o := w.slave(high).reigns(7), w.slave(low)
		w.run(2 * down)
		m.live, o.live = false, false // both in one instant
		n.clear()
		w.run(4 * down)
		n.is(slave)
		if got := countEvents(n, election.EventIsolated); got != 1 {
			t.Errorf("%d times isolated, want 1", got)
		}
		if p := n.last(heartbeat.KindHeartbeat); !p.Flags.Has(heartbeat.FlagIsolated) {
			t.Error("does not say that it is isolated")
		}
		o.live = true
		n.until(master, 2*down)
	},
	"T18": func(t *testing.T) {
		w, n, m := following(t)
		w.run(delay / 2)
		n.clear()
		c := w.fake(low).claims(8)
		c.say(heartbeat.KindClaim)
		n.want(slave, "heartbeat", "peer.joined", false)
		if p := n.last(heartbeat.KindHeartbeat); p.Master.Instance != m.id() || p.Master.Seq != m.p.Seq {
			t.Errorf("the objection names %+v", p.Master)
		}
		c.serves().say(heartbeat.KindWithdraw)
		// An overdue master is objected with, but may be dead.
		w, n, _ = following(t)
		w.run(down - delay/2)
		n.clear()
		w.fake(high + 1).claims(8).say(heartbeat.KindClaim)
		n.last(heartbeat.KindHeartbeat)
		if took := n.until(claiming, 2*down); took < 3*delay {
			t.Errorf("claims after %v, want W+2D", took)
		}
	},
	"T19": func(t *testing.T) {
		w, n, _ := following(t)
		w.run(down) // the master is silent
		n.clear()
		c := w.fake(low).claims(8)
		c.say(heartbeat.KindClaim)
		n.want(slave, "", "peer.joined", false)
		took := n.until(claiming, 2*down)
		if backoff := 3 * delay; took < backoff || took > backoff+delay/2 {
			t.Errorf("claims after %v, want W+2D = %v", took, backoff)
		}
		// A heartbeat may overtake the claim; giving up ends the back-off.
		w, n, _ = following(t)
		w.run(down)
		c = w.fake(low).claims(8)
		c.say(heartbeat.KindHeartbeat)
		w.run(2 * delay)
		n.is(slave)
		c.serves().say(heartbeat.KindWithdraw)
		if took := n.until(claiming, 2*down); took > delay/2 {
			t.Errorf("claims %v after the other gave up, want its own turn", took)
		}
		// With a quorum nobody waits for a claimer that may not hear anybody.
		w, n, _ = following(t, quorum(2))
		w.run(down)
		c = w.fake(low).claims(8)
		c.p.Quorum, c.deaf = 2, true
		c.say(heartbeat.KindClaim)
		if took := n.until(claiming, 2*down); took > delay {
			t.Errorf("waits %v for a claimer that hears nobody", took)
		}
	},
	"T20": func(t *testing.T) {
		w, n, _ := following(t)
		w.run(down)
		c := w.fake(low)
		c.claims(8).say(heartbeat.KindClaim)
		w.run(delay)
		c.serves().say(heartbeat.KindWithdraw) // ends the back-off
		c.claims(9).say(heartbeat.KindClaim)
		if took := n.until(claiming, down); took > delay/2 {
			t.Errorf("waits %v after a second claim of the same one, want its own turn", took)
		}
	},
	"T21": func(t *testing.T) {
		w, n, _ := following(t, quorum(2))
		n.holdSave = true
		w.run(down)
		c := w.fake(low).claims(8)
		c.p.Quorum = 2
		n.clear()
		c.say(heartbeat.KindClaim)
		n.want(slave, "", "peer.joined", false) // not told before it is stored
		if n.disk.Granted != 8 || n.disk.GrantedTo != c.id() || n.disk.Promise != down {
			t.Errorf("saved %+v", n.disk)
		}
		n.step(election.Saved{Seq: n.saveSeq})
		n.want(slave, "grant", "peer.joined", false)
		if p := n.last(heartbeat.KindGrant); p.Promise != (heartbeat.Sighting{Instance: c.id(), Epoch: 8, Seq: c.p.Seq}) {
			t.Errorf("promise %+v", p.Promise)
		}
		// Every condition in turn: the vote is refused.
		n.holdSave = false
		other := w.fake(low + 1).claims(9)
		other.p.Quorum = 2
		n.clear()
		other.say(heartbeat.KindClaim) // the vote is given away
		n.want(slave, "refusal", "peer.joined", false)
	},
	"T22": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2))
		m := w.slave(high).reigns(7)
		m.p.Quorum = 2
		w.run(down)
		w.run(2 * delay) // the embargo is over
		n.clear()
		w.run(delay)
		if got := n.last(heartbeat.KindGrant); got.Promise.Instance != m.id() || got.Promise.Seq != m.p.Seq {
			t.Errorf("promise %+v", got.Promise)
		}
		// A failed claim took a greater epoch meanwhile: a reign is renewed all the same.
		m.live = false
		c := w.fake(low)
		c.p.Quorum = 2
		w.run(down)
		c.claims(9).say(heartbeat.KindClaim)
		if n.disk.Granted != 9 {
			t.Fatalf("granted %d", n.disk.Granted)
		}
		c.serves().say(heartbeat.KindWithdraw)
		n.clear()
		m.say(heartbeat.KindHeartbeat)
		n.want(slave, "grant", "peer.joined master", false)
		if got := n.last(heartbeat.KindGrant); got.Promise != (heartbeat.Sighting{Instance: m.id(), Epoch: 9, Seq: m.p.Seq}) {
			t.Errorf("promise %+v", got.Promise)
		}
	},
	"T23": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2), witness)
		c := w.slave(low).claims(5)
		c.p.Quorum = 2
		w.run(2 * delay)
		n.clear()
		c.say(heartbeat.KindClaim)
		n.want(listening, "", "", false) // embargo: not a word
		c.live = false
		w.run(down)
		c.say(heartbeat.KindHeartbeat) // granted
		if n.disk.Granted != 5 {
			t.Fatalf("granted %d, want 5", n.disk.Granted)
		}
		w.run(2 * down) // the promise is over
		c.serves().say(heartbeat.KindHeartbeat)
		d := w.fake(low + 1)
		d.p.Quorum = 2
		d.say(heartbeat.KindHeartbeat)
		n.clear()
		d.claims(5).say(heartbeat.KindClaim)
		n.want(slave, "refusal", "", false)
		if p := n.last(heartbeat.KindRefusal); p.Promise.Epoch != 5 || !p.Promise.Instance.IsZero() {
			t.Errorf("the refusal tells %+v", p.Promise)
		}
		n.clear()
		d.claims(6).say(heartbeat.KindClaim)
		n.want(slave, "grant", "", false)
		// A claimer that does not hear us gets nothing.
		w.run(2 * down)
		d.serves().say(heartbeat.KindHeartbeat)
		e := w.fake(low + 2).claims(9)
		e.p.Quorum, e.deaf = 2, true
		n.clear()
		e.say(heartbeat.KindClaim)
		n.want(slave, "refusal", "peer.joined", false)
	},
	"T24": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2), witness)
		m := w.slave(high).reigns(7)
		m.p.Quorum = 2
		w.run(2 * down)
		c := w.fake(low)
		c.p.Quorum = 2
		c.say(heartbeat.KindHeartbeat)
		m.live = false
		m.p.State, m.p.Epoch, m.p.Asks = stopping, 0, 0
		m.say(heartbeat.KindHeartbeat)
		n.clear()
		c.claims(8).say(heartbeat.KindClaim)
		if n.kinds() != "refusal" && n.kinds() != "heartbeat refusal" {
			t.Fatalf("sent %q: the vote was freed while the work still ran", n.kinds())
		}
		m.serves().say(heartbeat.KindHeartbeat)
		n.clear()
		c.claims(9).say(heartbeat.KindClaim)
		n.want(slave, "grant", "", false)
	},
	"T25": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me)
		n.holdSave, n.holdBarrier = true, true
		n.until(claiming, 2*down)
		w.run(2 * delay) // longer than a window
		n.is(claiming)
		n.clear()
		n.step(election.Saved{Seq: n.saveSeq})
		n.want(claiming, "claim", "", false)
		if p := n.last(heartbeat.KindClaim); p.Epoch != 1 || p.Asks != 1 || p.State != claiming {
			t.Errorf("claims %+v", p)
		}
		if took := n.until(opening, down); took < delay {
			t.Errorf("opens %v after the claim was told, want a window", took)
		}
	},
	"T26": func(t *testing.T) {
		w, n := claimer(t)
		w.run(delay - 10*time.Millisecond)
		n.is(claiming)
		claims := 0
		for _, p := range n.sent {
			if p.Kind == heartbeat.KindClaim {
				claims++
			}
		}
		if claims != 2 { // and the one before: three in a window
			t.Errorf("%d more claims in the window, want 2", claims)
		}
	},
	"T27": func(t *testing.T) {
		w, n := claimer(t)
		m := w.fake(low).reigns(1) // whatever its token
		m.say(heartbeat.KindHeartbeat)
		n.want(slave, "withdraw", "peer.joined state master", false)
		if p := n.sent[0]; p.Epoch != 0 || p.Asks != 0 {
			t.Errorf("the withdrawal still asks: %+v", p)
		}
		if got := n.m.View(w.now).Follow.Instance; got != m.id() {
			t.Errorf("follows %v", got)
		}
		// A master that hears nobody, where others hear us, is passed over.
		w = newWorld(t)
		n = w.node(me)
		w.slave(high)
		n.until(claiming, 2*down)
		m = w.fake(low).reigns(1)
		m.deaf = true
		m.say(heartbeat.KindHeartbeat)
		n.is(claiming)
	},
	"T28": func(t *testing.T) {
		w, n := claimer(t)
		m, r := w.fake(low).reigns(3), w.fake(high)
		r.say(heartbeat.KindHeartbeat, sees(m, 1))
		n.want(slave, "withdraw", "peer.joined state master", false)
		// An heir goes on: its predecessor said itself that its reign is over.
		_, n, m = following(t, quorum(2))
		n.w.run(2 * delay) // the embargo is over
		m.serves().say(heartbeat.KindResign, resigns(m, n.cfg.Self))
		n.is(claiming)
		r = n.w.fake(low)
		x := n.w.fake(low + 1).reigns(9)
		r.say(heartbeat.KindHeartbeat, sees(x, 1))
		n.is(claiming)
	},
	"T29": func(t *testing.T) {
		w, n := claimer(t)
		c := w.fake(low).claims(1)
		c.say(heartbeat.KindClaim)
		n.want(slave, "withdraw", "peer.joined state", false)
		took := n.until(claiming, 2*down)
		if backoff := 3 * delay; took < backoff || took > backoff+delay/2 {
			t.Errorf("claims again after %v, want W+2D = %v", took, backoff)
		}
		// Forced claims go first, whatever their order.
		w, n = claimer(t)
		c = w.fake(high).claims(1)
		c.p.Flags |= heartbeat.FlagForced
		c.say(heartbeat.KindClaim)
		n.is(slave)
		// With a quorum one that hears nobody cannot win: go on.
		w, n = claimer(t, quorum(2))
		c = w.fake(low).claims(1)
		c.p.Quorum, c.deaf = 2, true
		c.say(heartbeat.KindClaim)
		n.is(claiming)
	},
	"T30": func(t *testing.T) {
		w, n := claimer(t)
		n.holdBarrier = true
		w.run(delay / 2)
		n.clear()
		c := w.fake(high).claims(5)
		c.say(heartbeat.KindClaim)
		n.want(claiming, "claim", "peer.joined", false)
		if p := n.last(heartbeat.KindClaim); p.Epoch != 6 {
			t.Errorf("claims epoch %d, want 6", p.Epoch)
		}
		c.claims(7).say(heartbeat.KindClaim) // only once
		if took := n.until(opening, 2*delay); took < delay-flight || took > delay+flight {
			t.Errorf("opens after %v, want a whole window", took)
		}
		if p := n.last(heartbeat.KindHeartbeat); p.Epoch != 6 {
			t.Errorf("reigns under %d, want 6", p.Epoch)
		}
	},
	"T31": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, saved(election.State{MaxEpoch: 9}))
		n.until(claiming, 2*down)
		w.run(delay / 2)
		n.clear()
		c := w.fake(high).claims(5)
		c.say(heartbeat.KindClaim)
		n.want(claiming, "claim", "peer.joined", false)
		if p := n.last(heartbeat.KindClaim); p.Epoch != 10 {
			t.Errorf("claims epoch %d, want 10", p.Epoch)
		}
	},
	"T32": func(t *testing.T) {
		w, n := claimer(t, quorum(2))
		v := w.fake(high)
		v.p.Quorum = 2
		refuse := func(epoch uint64) {
			v.say(heartbeat.KindRefusal, func(p *heartbeat.Packet) { p.Promise.Epoch = epoch })
		}
		refuse(20)
		n.want(claiming, "claim", "peer.joined", false)
		if p := n.last(heartbeat.KindClaim); p.Epoch != 21 || p.Asks != 21 {
			t.Errorf("claims epoch %d, want 21", p.Epoch)
		}
		n.clear()
		refuse(20) // of the claim before
		n.want(claiming, "", "", false)
	},
	"T33": func(t *testing.T) {
		w, n := claimer(t)
		n.holdBarrier = true
		w.run(delay - 2*flight)
		n.is(claiming)
		n.clear()
		w.run(3 * flight)
		n.want(opening, "claim heartbeat", "state barrier", false)
		if p := n.last(heartbeat.KindHeartbeat); p.State != opening || p.Epoch != 1 {
			t.Errorf("tells %v of epoch %d", p.State, p.Epoch)
		}
		n.clear()
		w.run(delay/3 + 50*time.Millisecond) // told again, sooner than each delay
		n.want(opening, "heartbeat", "", false)
	},
	"T34": func(t *testing.T) {
		w, n := claimer(t, quorum(2))
		n.holdBarrier = true
		w.run(delay + delay/10)
		n.is(claiming) // the window is over, but there is no majority
		v := w.voter(high, 2)
		w.run(flight)
		n.clear()
		w.run(delay / 3)
		n.want(opening, "claim heartbeat", "state barrier", false)
		v.live = false
		// Proved dead: a majority is enough, nobody waits.
		w, n, m := following(t, quorum(2))
		w.voter(low, 2).p.Flags = 0
		w.run(2 * delay)
		n.holdBarrier = true
		n.step(election.Died{Obituary: m.obituary()})
		n.until(claiming, delay)
		if took := n.until(opening, delay); took > 3*flight {
			t.Errorf("opens after %v, want a round trip", took)
		}
	},
	"T35": func(t *testing.T) {
		w, n := claimer(t, quorum(2))
		w.run(down - 10*time.Millisecond)
		n.is(claiming)
		n.clear()
		w.run(10 * time.Millisecond)
		if n.state() != slave || n.last(heartbeat.KindWithdraw).Asks != 0 {
			t.Fatalf("state %v, want slave", n.state())
		}
		first := n.until(claiming, 4*down)
		if first < 3*delay || first > 3*delay+2*delay+delay {
			t.Errorf("claims again after %v, want W+2D and up to 2D", first)
		}
	},
	"T36": func(t *testing.T) {
		w, n := claimer(t)
		n.holdBarrier = true
		w.run(delay - 2*flight)
		n.step(election.SendFailed{Seq: n.seq})
		w.run(4 * flight)
		n.is(claiming)
		if took := n.until(opening, 2*delay); took < delay-5*flight {
			t.Errorf("opens %v after a failed send, want a whole window", took)
		}
	},
	"T37": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2))
		n.holdSave = true
		n.until(claiming, 2*down)
		n.clear()
		n.step(election.SaveFailed{Seq: n.saveSeq})
		n.want(slave, "", "save.failed state", false)
		if took := n.until(claiming, 3*down); took < down {
			t.Errorf("claims again after %v, want not before %v", took, down)
		}
		// Without a quorum the claim goes on in memory.
		w = newWorld(t)
		n = w.node(me)
		n.holdSave = true
		n.until(claiming, 2*down)
		n.clear()
		n.step(election.SaveFailed{Seq: n.saveSeq})
		n.want(claiming, "claim", "save.failed", false)
	},
	"T38": func(t *testing.T) {
		for name, c := range map[string]struct {
			in            election.Input
			kinds, events string
		}{
			"maintenance": {election.SetMaintenance{For: time.Minute}, "withdraw heartbeat", "maintenance state"},
			"drain":       {election.Drain{}, "withdraw", "state"},
			"health":      {election.Health{OK: false}, "withdraw", "state"},
			"stop":        {election.Stop{}, "withdraw leave leave leave", "state stopped"},
		} {
			t.Run(name, func(t *testing.T) {
				w, n := claimer(t)
				n.step(c.in)
				n.want(slave, c.kinds, c.events, false)
				w.run(30 * time.Second)
				n.is(slave)
			})
		}
	},
	"T39": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me)
		n.holdBarrier = true
		n.until(opening, 2*down)
		w.run(20 * time.Millisecond)
		n.clear()
		n.step(election.BarrierDone{Epoch: 2}) // of another reign
		n.want(opening, "", "", false)
		n.step(election.BarrierDone{Epoch: 1})
		n.want(master, "heartbeat", "state promoted", true)
		if n.guard.Epoch != 1 || n.guard.Until != w.now+down*4/5 {
			t.Errorf("guard %+v, want epoch 1 until the heartbeat's sending and 0.8·T_down", n.guard)
		}
	},
	"T40": func(t *testing.T) {
		for name, c := range map[string]struct {
			in     election.Input
			kinds  string
			events string
		}{
			"drain":  {election.Drain{}, "heartbeat", "state"},
			"health": {election.Health{OK: false}, "heartbeat", "state"},
			"stop":   {election.Stop{}, "heartbeat leave leave leave", "state stopped"},
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				n := w.node(me)
				n.holdBarrier = true
				n.until(opening, 2*down)
				w.run(20 * time.Millisecond)
				n.clear()
				n.step(c.in)
				n.want(slave, c.kinds, c.events, false)
				n.step(election.BarrierDone{Epoch: 1})
				n.is(slave)
			})
		}
	},
	"T41": func(t *testing.T) {
		w, n, a, _ := reigning(t)
		w.run(delay / 2)
		n.clear()
		a.live = false
		a.claims(99).say(heartbeat.KindClaim)
		n.want(master, "heartbeat", "", true)
		a.say(heartbeat.KindClaim) // not oftener than each D/10
		n.want(master, "heartbeat", "", true)
		w.run(delay / 10)
		n.clear()
		a.say(heartbeat.KindClaim)
		if len(n.sent) == 0 {
			t.Error("the second claim got no objection")
		}
	},
	"T42": func(t *testing.T) {
		w, n, _, _ := reigning(t)
		n.holdWork = true
		x := w.fake(high + 1).reigns(5)
		x.say(heartbeat.KindHeartbeat)
		n.want(stopping, "", "peer.joined conflict demoted state master", false)
		if got := n.m.View(w.now).Follow.Instance; got != x.id() {
			t.Errorf("follows %v", got)
		}
		// Equal epochs: the greater instance.
		w, n, _, _ = reigning(t)
		n.holdWork = true
		w.fake(high + 1).reigns(1).say(heartbeat.KindHeartbeat)
		n.is(stopping)
	},
	"T43": func(t *testing.T) {
		w, n, _, _ := reigning(t)
		w.run(delay / 2)
		n.clear()
		w.fake(low - 1).reigns(1).say(heartbeat.KindHeartbeat)
		n.want(master, "heartbeat", "peer.joined conflict", true)
	},
	"T44": func(t *testing.T) {
		w, n, a, _ := reigning(t)
		n.holdWork = true
		x := w.fake(high + 1).reigns(9) // a greater token
		x.live = true
		w.cut = func(from, to netip.AddrPort) bool { return to == x.addr }
		x.too = []heartbeat.Heard{{Instance: a.id().Prefix(), Seq: 1}} // but it hears another
		took := n.until(stopping, 2*down)
		if mute := 2 * delay; took < mute-flight || took > mute+delay+flight {
			t.Errorf("yields after %v, want T_mute = %v", took, mute)
		}
		if got := countEvents(n, election.EventMute); got != 1 {
			t.Errorf("%d times mute, want 1", got)
		}
	},
	"T45": func(t *testing.T) {
		w, n, _, _ := reigning(t)
		x := w.fake(high + 1).reigns(9) // a greater token, even
		x.live, x.deaf = true, true
		w.run(2 * down)
		n.is(master)
		if got := countEvents(n, election.EventDeafPeer); got == 0 {
			t.Error("nobody is told of the deaf peer")
		}
	},
	"T46": func(t *testing.T) {
		w, n, _, _ := reigning(t)
		x := w.fake(low - 1).reigns(1) // equal epochs, a lower instance
		x.say(heartbeat.KindHeartbeat)
		w.run(10 * delay / 100)
		n.clear()
		x.serves().say(heartbeat.KindHeartbeat)
		n.want(master, "heartbeat", "epoch", true)
		if n.guard.Epoch < 2 {
			t.Errorf("reigns on under epoch %d, want more than 1", n.guard.Epoch)
		}
		// A slave tells of a reign with a greater epoch.
		w, n, a, _ := reigning(t)
		a.p.MaxEpoch = 40
		a.say(heartbeat.KindHeartbeat)
		n.want(master, "heartbeat", "epoch", true)
		if n.guard.Epoch != 41 {
			t.Errorf("reigns on under epoch %d, want 41", n.guard.Epoch)
		}
		// A failed claim does not make it: nothing restarts for that.
		n.clear()
		a.live = false
		a.claims(60).say(heartbeat.KindClaim)
		a.serves().say(heartbeat.KindWithdraw)
		w.run(3 * delay)
		if countEvents(n, election.EventEpoch) != 0 || n.guard.Epoch != 41 {
			t.Errorf("epoch %d after a failed claim, want 41", n.guard.Epoch)
		}
		// With a quorum the votes are asked for first.
		w, n, a, b := reigning(t, quorum(2))
		b.grants, b.live = false, false
		a.grants = false
		a.p.MaxEpoch = 40
		a.say(heartbeat.KindHeartbeat)
		if n.guard.Epoch != 1 {
			t.Errorf("epoch %d without votes for it", n.guard.Epoch)
		}
		if p := n.last(heartbeat.KindHeartbeat); p.Epoch != 1 || p.Asks != 41 {
			t.Errorf("asks %+v", p.Asks)
		}
		a.grants = true
		w.run(2 * delay)
		if n.state() != master || n.guard.Epoch != 41 {
			t.Errorf("state %v, epoch %d, want master of 41", n.state(), n.guard.Epoch)
		}
	},
	"T47": func(t *testing.T) {
		w, n, a, b := reigning(t)
		n.holdWork = true
		a.live, b.live = false, false
		n.until(stopping, 2*down)
		if n.told() != "peer.silent peer.silent isolated demoted state" {
			t.Errorf("events %q", n.told())
		}
		w.run(0)
		// Not after goodbyes, refusals, one loss only, or where it is told to go on.
		for name, c := range map[string]func(w *world, n *node, a, b *fake){
			"goodbye": func(w *world, n *node, a, b *fake) { a.say(heartbeat.KindLeave) },
			"refused": func(w *world, n *node, a, b *fake) {
				w.run(down * 3 / 5)
				n.step(election.Refused{Peer: a.id()})
			},
			"dead": func(w *world, n *node, a, b *fake) {
				n.step(election.Died{Obituary: a.obituary()})
			},
			"one after the other": func(w *world, n *node, a, b *fake) {
				b.live = true
				w.run(down + delay + down/2)
				b.live = false
			},
		} {
			w, n, a, b := reigning(t)
			a.live, b.live = false, false
			c(w, n, a, b)
			w.run(3 * down)
			if n.state() != master {
				t.Errorf("%s: state %v, want master", name, n.state())
			}
		}
		w, n, a, b = reigning(t, func(c *election.Config, _ *election.State) { c.Isolation = election.IsolationContinue })
		a.live, b.live = false, false
		w.run(3 * down)
		n.is(master)
	},
	"T48": func(t *testing.T) {
		w, n, _, _ := reigning(t, quorum(2))
		n.holdWork = true
		clone := w.voter(low+1, 2)
		clone.p.Node = n.cfg.Node
		n.until(stopping, 2*down)
		if n.told() != "peer.joined clone fault demoted state" {
			t.Errorf("events %q", n.told())
		}
		n.step(election.WorkStopped{})
		n.is(fault)
	},
	"T49": func(t *testing.T) {
		_, n, _, b := reigning(t)
		b.p.Position = 1 // goes before the lower id
		b.say(heartbeat.KindHeartbeat)
		n.clear()
		n.step(election.Handover{Reason: "test"})
		n.want(master, "prepare", "handover", true)
		if p := n.last(heartbeat.KindPrepare); p.Resigned.Heir != b.id() {
			t.Errorf("asks %v, want the one that should claim", p.Resigned.Heir)
		}
		// To one that is named; and to nobody.
		_, n, _, b = reigning(t)
		n.step(election.Handover{To: b.id()})
		if p := n.last(heartbeat.KindPrepare); p.Resigned.Heir != b.id() {
			t.Errorf("asks %v, want the named one", p.Resigned.Heir)
		}
		w, n, a, b := reigning(t)
		a.p.Flags, b.p.Flags = 0, heartbeat.FlagCandidate|heartbeat.FlagDrained
		w.run(delay)
		n.clear()
		n.step(election.Handover{})
		n.want(master, "", "handover handover.failed", true)
		if err := n.m.CanHandOver(w.now, heartbeat.InstanceID{}); err != election.ErrNoHeir {
			t.Errorf("CanHandOver: %v", err)
		}
	},
	"T50": func(t *testing.T) {
		_, n, m := following(t)
		prepare := func(p *heartbeat.Packet) { p.Resigned = heartbeat.Resignation{Heir: id(me)} }
		m.say(heartbeat.KindPrepare, prepare)
		n.want(slave, "ready", "", false)
		n.clear()
		m.say(heartbeat.KindPrepare, func(p *heartbeat.Packet) { p.Resigned.Heir = id(low) })
		n.step(election.Drain{})
		n.want(slave, "heartbeat", "", false) // tells it at once
		n.clear()
		m.say(heartbeat.KindPrepare, prepare)
		n.want(slave, "", "", false)
	},
	"T51": func(t *testing.T) {
		_, n, a, b := reigning(t)
		n.holdWork = true
		n.step(election.Handover{To: a.id()})
		n.clear()
		b.say(heartbeat.KindReady) // was not asked
		n.want(master, "", "", true)
		a.say(heartbeat.KindReady)
		n.want(draining, "", "state stop-work", true)
		a.say(heartbeat.KindReady) // twice
		n.want(draining, "", "state stop-work", true)
	},
	"T52": func(t *testing.T) {
		w, n, _, b := reigning(t)
		n.holdWork = true
		n.step(election.Handover{})
		n.clear()
		w.run(200 * time.Millisecond)
		if p := n.last(heartbeat.KindPrepare); p.Resigned.Heir != b.id() {
			t.Errorf("asks %v, want the next", p.Resigned.Heir)
		}
		n.clear()
		w.run(200 * time.Millisecond)
		if n.state() != master || countEvents(n, election.EventHandoverFails) != 1 {
			t.Errorf("state %v, events %q, want master on", n.state(), n.told())
		}
		// One that must go goes without an heir.
		w, n, _, _ = reigning(t)
		n.holdWork = true
		n.step(election.Drain{})
		w.run(500 * time.Millisecond)
		n.is(draining)
		n.clear()
		n.step(election.WorkStopped{})
		if p := n.last(heartbeat.KindResign); !p.Resigned.Heir.IsZero() {
			t.Errorf("names %v, who never agreed", p.Resigned.Heir)
		}
	},
	"T53": func(t *testing.T) {
		w, n, a, _ := reigning(t)
		n.holdWork = true
		n.step(election.LogAt{Log: heartbeat.LogPos{Epoch: 1, N: 9}})
		n.step(election.Handover{To: a.id()})
		a.say(heartbeat.KindReady)
		w.run(2 * delay)
		n.clear()
		n.holdSeal = true
		n.step(election.WorkStopped{})
		n.want(draining, "", "seal", true) // the heir may lack the end of the log
		w.run(delay / 2)
		n.clear()
		n.step(election.Sealed{Log: heartbeat.LogPos{Epoch: 1, N: 11}, Acked: true})
		n.want(slave, "resign", "sealed state", false)
		want := heartbeat.Resignation{Instance: n.cfg.Self, Epoch: 1, Heir: a.id(), Log: heartbeat.LogPos{Epoch: 1, N: 11}}
		if p := n.last(heartbeat.KindResign); p.Resigned != want || p.State != slave || p.Asks != 0 {
			t.Errorf("resigns with %+v", p)
		}
		w.run(delay/5 + flight)
		times := 0
		for _, p := range n.sent {
			if p.Kind == heartbeat.KindResign {
				times++
			}
		}
		if times != 3 {
			t.Errorf("told %d times, want 3", times)
		}
		n.clear()
		w.run(2 * delay)
		if p := n.last(heartbeat.KindHeartbeat); p.Resigned != want {
			t.Error("the next heartbeats do not repeat it")
		}
		// The heir's right ends when that of the others begins: it was busy meanwhile.
		_, h, hm := following(t)
		h.step(election.Drain{})
		hm.serves().say(heartbeat.KindResign, resigns(hm, h.cfg.Self))
		h.w.run(3*delay + delay/10)
		h.clear()
		h.step(election.Resume{})
		h.until(claiming, delay)
		h.w.run(flight)
		if p := h.last(heartbeat.KindClaim); !p.Resigned.Heir.IsZero() || h.state() == master {
			t.Error("claims as an heir, too late")
		}
		// Without the log the master waits W, no longer.
		_, n, a, _ = reigning(t)
		n.holdWork, n.holdSeal = true, true
		n.step(election.Handover{To: a.id()})
		a.say(heartbeat.KindReady)
		n.step(election.WorkStopped{})
		n.step(election.WorkStopped{}) // twice
		if took := n.until(slave, 2*delay); took > delay+flight || took < delay {
			t.Errorf("resigns after %v, want W", took)
		}
		if n.told() == "" || n.events[len(n.events)-2].Detail == "" {
			t.Errorf("does not tell that the heir may lack something: %q", n.told())
		}
		n.step(election.Sealed{Acked: true}) // too late
		n.is(slave)
		// An heir that has left is none.
		_, n, a, _ = reigning(t)
		n.holdWork, n.holdSeal = true, true
		n.step(election.Handover{To: a.id()})
		a.say(heartbeat.KindReady)
		n.step(election.WorkStopped{})
		n.clear()
		a.say(heartbeat.KindLeave)
		if p := n.last(heartbeat.KindResign); !p.Resigned.Heir.IsZero() {
			t.Errorf("names %v, who has left", p.Resigned.Heir)
		}
	},
	"T54": func(t *testing.T) {
		w, n, a, _ := reigning(t)
		n.holdWork = true
		n.step(election.Stop{})
		a.say(heartbeat.KindReady)
		n.is(draining)
		n.step(election.Stop{}) // again: nothing more
		n.clear()
		n.step(election.WorkStopped{})
		n.want(slave, "resign leave leave leave", "seal sealed state stopped", false)
		if p := n.last(heartbeat.KindLeave); p.Resigned.Heir != a.id() {
			t.Error("the goodbye does not repeat the resignation")
		}
		n.clear()
		w.run(3 * down)
		n.want(slave, "", "", false)
	},
	"T55": func(t *testing.T) {
		w, n, a, b := reigning(t, quorum(2))
		n.holdWork = true
		a.live, b.live, a.grants, b.grants = false, false, false, false
		n.until(stopping, 2*down)
		n.clear()
		w.run(2 * delay)
		if p := n.last(heartbeat.KindHeartbeat); p.State != stopping || p.Promise.Instance != n.cfg.Self {
			t.Errorf("while the work ends: %v, promise to %v, want its own vote kept", p.State, p.Promise.Instance)
		}
		n.clear()
		n.step(election.WorkStopped{})
		n.want(slave, "heartbeat", "state", false)
		if p := n.last(heartbeat.KindHeartbeat); p.Asks != 0 || !p.Promise.Instance.IsZero() {
			t.Errorf("the vote is not free: %+v", p.Promise)
		}
	},
	"T56": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2))
		clone := w.voter(low, 2)
		clone.p.Node = n.cfg.Node
		n.until(fault, down)
		if n.told() != "peer.joined clone fault state" {
			t.Errorf("events %q", n.told())
		}
		c := w.fake(high).claims(3)
		c.p.Quorum = 2
		w.run(2 * down)
		n.clear()
		c.say(heartbeat.KindClaim)
		if strings := n.kinds(); strings != "" {
			t.Errorf("sent %q: a faulty instance votes", strings)
		}
		// In the middle of a claim.
		w, n = claimer(t, quorum(2))
		clone = w.voter(low, 2)
		clone.p.Node, clone.grants = n.cfg.Node, false
		n.until(fault, down)
		n.last(heartbeat.KindWithdraw)
		// Four votes where a quorum of 2 allows three.
		w = newWorld(t)
		n = w.node(me, quorum(2))
		for i := range byte(3) {
			w.voter(low+i, 2).grants = false
		}
		n.until(fault, down)
		v := n.m.View(w.now)
		if v.Fault == "" {
			t.Error("the view does not say why")
		}
	},
	"T57": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2))
		clone := w.slave(low)
		clone.p.Node, clone.p.Quorum = n.cfg.Node, 2
		n.until(fault, down)
		w.run(2 * down)
		clone.live = false
		n.clear()
		n.until(slave, 2*down)
		if took := n.until(claiming, 3*down); took < down {
			t.Errorf("claims %v after the fault, want to listen first", took)
		}
	},
	"T58": func(t *testing.T) {
		w := newWorld(t)
		n := w.node(me, quorum(2)) // alone: no majority
		w.run(delay / 2)
		n.clear()
		n.step(election.Promote{Force: true})
		n.want(claiming, "claim", "state", false)
		if p := n.last(heartbeat.KindClaim); !p.Flags.Has(heartbeat.FlagForced) {
			t.Error("the claim does not say that it is forced")
		}
		n.until(master, 2*delay)
		w.run(2 * down)
		n.is(master)
		if p := n.last(heartbeat.KindHeartbeat); !p.Flags.Has(heartbeat.FlagForced) {
			t.Error("the reign does not say that it is forced")
		}
		// In the middle of a claim that waits for votes.
		_, n = claimer(t, quorum(2))
		n.step(election.Promote{})
		n.want(claiming, "", "", false)
		n.step(election.Promote{Force: true})
		n.want(claiming, "withdraw claim", "state state", false)
		n.step(election.Promote{Force: true})
		n.want(claiming, "withdraw claim", "state state", false)
		// Without force it is a claim like any other, only sooner.
		w = newWorld(t)
		n = w.node(me)
		w.run(delay / 2)
		n.step(election.Promote{})
		n.is(listening)
		n.until(slave, down)
		n.clear()
		n.step(election.Promote{})
		n.want(claiming, "claim", "state", false)
		if n.last(heartbeat.KindClaim).Flags.Has(heartbeat.FlagForced) {
			t.Error("the claim says that it is forced")
		}
	},
	"T59": func(t *testing.T) {
		_, n, _ := following(t)
		n.step(election.Promote{})
		n.want(slave, "", "", false)
		n.step(election.Promote{Force: true})
		n.want(slave, "request", "", false)
		if p := n.last(heartbeat.KindRequest); p.Resigned.Heir != n.cfg.Self || !p.Flags.Has(heartbeat.FlagForced) {
			t.Errorf("asks %+v", p)
		}
	},
	"T60": func(t *testing.T) {
		ask := func(flags heartbeat.Flags) func(*heartbeat.Packet) {
			return func(p *heartbeat.Packet) {
				p.Flags |= flags
				p.Resigned = heartbeat.Resignation{Heir: id(low)}
			}
		}
		_, n, a, _ := reigning(t)
		a.say(heartbeat.KindRequest, ask(0)) // without a key: anyone could
		n.want(master, "", "", true)
		a.say(heartbeat.KindRequest, ask(heartbeat.FlagForced))
		n.want(master, "prepare", "handover", true)
		_, n, a, _ = reigning(t, signed)
		a.say(heartbeat.KindRequest, ask(0))
		n.want(master, "prepare", "handover", true)
		// A slave passes an operator's wish on.
		_, n, _ = following(t, signed)
		n.step(election.Request{To: id(low)})
		n.want(slave, "request", "", false)
		if p := n.last(heartbeat.KindRequest); p.Resigned.Heir != id(low) || p.Flags.Has(heartbeat.FlagForced) {
			t.Errorf("asks %+v", p)
		}
		_, n, _ = following(t)
		n.step(election.Request{To: id(low)})
		n.want(slave, "", "", false)
	},
	"T61": func(t *testing.T) {
		w, n, _ := following(t)
		o := w.fake(low)
		o.p.Maintenance = heartbeat.Maintenance{Version: 3, Left: 10 * down}
		o.say(heartbeat.KindHeartbeat)
		n.want(slave, "", "peer.joined maintenance", false)
		w.run(9 * down)
		n.is(slave)
		o.p.Maintenance = heartbeat.Maintenance{Version: 2, Left: 90 * down} // older
		o.say(heartbeat.KindHeartbeat)
		w.run(down)
		n.clear()
		w.run(2 * down)
		n.until(master, 2*down)
		// Set here: told to the others at once.
		n.clear()
		n.step(election.SetMaintenance{For: time.Minute})
		n.want(master, "heartbeat", "maintenance", true)
		if p := n.last(heartbeat.KindHeartbeat); p.Maintenance.Version != 4 || p.Maintenance.Left != time.Minute {
			t.Errorf("tells %+v", p.Maintenance)
		}
		n.clear()
		n.step(election.SetMaintenance{})
		n.want(master, "heartbeat", "maintenance", true)
		if n.m.View(w.now).Maintenance != 0 {
			t.Error("maintenance did not end")
		}
	},
	"T62": func(t *testing.T) {
		_, n, _ := following(t)
		n.step(election.Stop{})
		n.want(slave, "leave leave leave", "stopped", false)
		w := newWorld(t)
		n = w.node(me)
		w.run(flight)
		n.clear()
		n.step(election.Stop{})
		n.want(listening, "leave leave leave", "stopped", false)
	},
	"T63": func(t *testing.T) {
		w, n, m := following(t, signed)
		n.step(election.Stop{})
		n.clear()
		for _, in := range []election.Input{
			election.Stop{}, election.Wake{}, election.Promote{Force: true}, election.SetMaintenance{For: time.Minute},
			election.Request{}, election.Handover{}, election.Saved{Seq: 9}, election.Health{},
		} {
			n.step(in)
		}
		m.say(heartbeat.KindHeartbeat)
		w.run(3 * down)
		n.want(slave, "", "", false)
	},
}

// resigns makes a packet say that m resigned in favour of heir.
func resigns(m *fake, heir heartbeat.InstanceID) func(*heartbeat.Packet) {
	return func(p *heartbeat.Packet) {
		p.Resigned = heartbeat.Resignation{Instance: m.id(), Epoch: p.MaxEpoch, Heir: heir}
	}
}

func countEvents(n *node, t election.EventType) (count int) {
	for _, e := range n.events {
		if e.Type == t {
			count++
		}
	}
	return count
}

// TestRows runs the test of each row.
func TestRows(t *testing.T) {
	for name, test := range rows {
		t.Run(name, test)
	}
}
