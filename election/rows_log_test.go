package election_test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// pos is a position in the log.
func pos(epoch, n uint64) heartbeat.LogPos { return heartbeat.LogPos{Epoch: epoch, N: n} }

// inStep tells a machine that its cache is synchronous, and that it holds so
// much and was surely in step until that time.
func (n *node) inStep(log heartbeat.LogPos, until time.Duration) {
	n.step(election.LogAt{Log: log, Sync: true, SureUntil: until})
}

// suspicious makes a slave whose followed master's host refuses connections.
func suspicious(t *testing.T, options ...option) (*world, *node, *fake) {
	t.Helper()
	w, n, m := following(t, options...)
	n.step(election.Refused{Peer: m.id()})
	return w, n, m
}

func promoteWait(d time.Duration) option {
	return func(c *election.Config, _ *election.State) { c.PromoteWait = d }
}

func init() { maps.Copy(rows, logRows) }

// logRows are the rows about the cache's log and refused connections.
var logRows = map[string]func(*testing.T){
	"T64": func(t *testing.T) {
		// In step until after the death: the turn comes at once.
		w, n, m := following(t)
		n.inStep(pos(7, 5), w.now)
		w.run(delay / 4)
		n.step(election.Died{Obituary: m.obituary(), At: w.now - delay/4})
		if took := n.until(claiming, delay); took > n.m.Timers().Short+flight {
			t.Errorf("claims after %v, though it was in step", took)
		}
		w.run(flight)
		if !n.last(heartbeat.KindClaim).Flags.Has(heartbeat.FlagSure) {
			t.Error("the claim does not say that it is sure")
		}
		n.until(master, down)
		if countEvents(n, election.EventMaybeLost) != 0 {
			t.Error("a sure one says that something may be lost")
		}
		// Not in step: a lease more, and an event.
		unsure := func(options ...option) (*world, *node) {
			w, n, m := following(t, options...)
			n.inStep(pos(7, 5), w.now-1)
			n.step(election.Died{Obituary: m.obituary(), At: w.now})
			n.clear()
			return w, n
		}
		_, n = unsure()
		if took := n.until(claiming, 3*down); took < down || took > down+n.m.Timers().Short+flight {
			t.Errorf("claims after %v, want T_down", took)
		}
		n.until(master, down)
		if countEvents(n, election.EventMaybeLost) != 1 {
			t.Errorf("events %q, want one cache.maybe-lost", n.told())
		}
		// As long as it is set to; and while a sure one is there, 2·T_down more.
		_, n = unsure(promoteWait(time.Second))
		if took := n.until(claiming, 3*down); took < time.Second || took > 2*time.Second {
			t.Errorf("claims after %v, want promote.wait", took)
		}
		w, n = unsure(promoteWait(time.Second))
		s := w.slave(low)
		s.p.Flags |= heartbeat.FlagSure
		if took := n.until(claiming, 4*down); took < 2*down+time.Second {
			t.Errorf("claims after %v, though a sure one is there", took)
		}
		w, n = unsure(promoteWait(time.Second))
		s = w.slave(low)
		s.p.Flags |= heartbeat.FlagSure
		s.claims(9).say(heartbeat.KindClaim)
		s.serves().say(heartbeat.KindWithdraw)
		if took := n.until(claiming, 4*down); took > 2*delay {
			t.Errorf("claims after %v: waits for a sure one that cannot win", took)
		}
		// For ever; an order without force is no way out, one with force is.
		w, n = unsure(promoteWait(-1))
		w.run(5 * down)
		n.step(election.Promote{})
		n.is(slave)
		if countEvents(n, election.EventNoCandidate) != 1 {
			t.Errorf("events %q, want one no-candidate", n.told())
		}
		n.step(election.Promote{Force: true})
		n.until(master, 2*delay)
		// The proof may come by a claim first, and the keeper's word with its time later.
		w, n, m = following(t)
		n.inStep(pos(7, 5), w.now)
		w.run(delay / 4)
		c := w.fake(low).claims(8)
		c.say(heartbeat.KindClaim, func(p *heartbeat.Packet) { p.Obituary = m.obituary() })
		c.serves().say(heartbeat.KindWithdraw)
		n.step(election.Died{Obituary: m.obituary(), At: w.now - delay/4})
		if took := n.until(claiming, 3*down); took > delay {
			t.Errorf("claims after %v: the better time is not taken", took)
		}
		// A resignation whose log is held here is proof, a shorter copy is not.
		for _, held := range []uint64{5, 4} {
			w, n, m = following(t)
			n.inStep(pos(7, held), 0)
			m.serves().say(heartbeat.KindResign, func(p *heartbeat.Packet) {
				p.Resigned = heartbeat.Resignation{Instance: m.id(), Epoch: 7, Log: pos(7, 5)}
			})
			if took := n.until(claiming, 3*down); took >= down != (held < 5) {
				t.Errorf("holds %d of 5: claims after %v", held, took)
			}
			w.run(0)
		}
		// Who follows nobody and holds nothing is cold, but not for ever.
		w = newWorld(t)
		n = w.node(me)
		n.inStep(pos(0, 0), 0)
		if took := n.until(master, 3*down); took > down+2*delay || countEvents(n, election.EventMaybeLost) != 0 {
			t.Errorf("a cold start took %v, events %q", took, n.told())
		}
		w = newWorld(t)
		n = w.node(me, promoteWait(-1), saved(election.State{Reigned: 3, MaxEpoch: 3}))
		n.inStep(pos(0, 0), 0)
		w.run(4 * down)
		n.is(slave)
		// With a quorum the last master itself is sure.
		w, n, a, b := reigning(t, quorum(2))
		n.inStep(pos(1, 9), 0)
		a.live, b.live, a.grants, b.grants = false, false, false, false
		n.until(slave, 2*down)
		w.run(delay)
		a.live, b.live, a.grants, b.grants = true, true, true, true
		if took := n.until(master, 2*down); took > down || countEvents(n, election.EventMaybeLost) != 0 {
			t.Errorf("reigns again after %v, events %q", took, n.told())
		}
	},
	"T65": func(t *testing.T) {
		w, n, _ := following(t)
		n.step(election.LogAt{Log: pos(7, 5)})
		w.run(down)
		n.clear()
		c := w.fake(low).claims(8)
		c.p.Log = pos(7, 4)
		c.say(heartbeat.KindClaim)
		if n.kinds() != "behind" || n.last(heartbeat.KindBehind).Log != pos(7, 5) {
			t.Errorf("sent %q", n.kinds())
		}
		c.p.State = opening
		n.clear()
		c.say(heartbeat.KindHeartbeat)
		if n.kinds() != "behind" {
			t.Errorf("sent %q to one that opens", n.kinds())
		}
		c.p.State = master
		n.clear()
		c.say(heartbeat.KindHeartbeat)
		c.p.State, c.p.Log = opening, pos(7, 5)
		c.say(heartbeat.KindHeartbeat)
		if n.kinds() != "" {
			t.Errorf("sent %q to a master, or to one that holds as much", n.kinds())
		}
	},
	"T66": func(t *testing.T) {
		w, n := claimer(t)
		n.holdBarrier = true
		p := w.slave(high)
		p.p.Log = pos(1, 5)
		w.run(flight) // told in any packet
		n.until(opening, 2*delay)
		p.p.Log = pos(1, 3) // never less
		w.run(delay)
		n.step(election.BarrierDone{Epoch: 1, Log: pos(1, 4)})
		n.is(opening)
		p.p.Log = pos(1, 6)
		p.say(heartbeat.KindBehind)
		n.step(election.BarrierDone{Epoch: 1, Log: pos(1, 5)})
		n.is(opening)
		n.step(election.BarrierDone{Epoch: 1, Log: pos(1, 6)})
		n.is(master)
		// The dead master's last word is one, though it cannot be pulled from.
		_, n, m := following(t)
		m.p.Log = pos(7, 9)
		m.say(heartbeat.KindHeartbeat)
		n.step(election.LogAt{Log: pos(7, 8)})
		n.step(election.Died{Obituary: m.obituary()})
		n.until(master, delay)
		if e := lostEvent(n); e.From != pos(7, 8) || e.To != pos(7, 9) {
			t.Errorf("tells a loss from %v to %v", e.From, e.To)
		}
		// What a resignation names is one for its heir, with or without its BEHIND.
		_, n, m = following(t)
		n.holdBarrier = true
		m.p.Cache = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 7}), 9)
		n.step(election.LogAt{Log: pos(7, 8)})
		m.serves().say(heartbeat.KindResign, func(p *heartbeat.Packet) {
			p.Resigned = heartbeat.Resignation{Instance: m.id(), Epoch: 7, Heir: n.cfg.Self, Log: pos(7, 9)}
		})
		n.is(opening)
		e := n.events[len(n.events)-1]
		if e.Type != election.EventBarrier || len(e.Addrs) != 1 || e.Addrs[0] != m.p.Cache {
			t.Errorf("asks to pull from %v, want the one that resigned", e.Addrs)
		}
		n.step(election.BarrierDone{Epoch: 8})
		n.is(opening)
		n.step(election.BarrierDone{Epoch: 8, Log: pos(7, 9)})
		n.is(master)
	},
	"T67": func(t *testing.T) {
		w, n := claimer(t)
		n.holdBarrier = true
		p := w.slave(high)
		p.p.Log = pos(1, 5)
		p.p.Cache = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 9}), 9)
		n.until(opening, 2*delay)
		n.clear()
		n.step(election.BarrierDone{Epoch: 1})
		if n.told() != "" {
			t.Errorf("events %q, want a pause first", n.told())
		}
		w.run(50 * time.Millisecond)
		if n.told() != "barrier" || n.events[0].Peer != p.id() || len(n.events[0].Addrs) != 1 || n.events[0].Addrs[0] != p.p.Cache {
			t.Fatalf("events %+v, want to pull from the one that holds more", n.events)
		}
		w.run(delay)
		if countEvents(n, election.EventBarrier) != 1 {
			t.Error("asks again before the answer")
		}
		// Heard, and yields nothing for a lease: it is stuck.
		n.holdBarrier = false
		n.clear()
		n.step(election.BarrierDone{Epoch: 1})
		w.run(2 * delay)
		n.is(opening)
		n.step(election.LogAt{Log: pos(1, 4)}) // it yields something
		w.run(down - delay)
		n.is(opening)
		w.run(delay + 100*time.Millisecond)
		n.is(master)
		if e := lostEvent(n); e.From != pos(1, 4) || e.To != pos(1, 5) {
			t.Errorf("tells a loss from %v to %v", e.From, e.To)
		}
		// Or for ever.
		w = newWorld(t)
		n = w.node(me, promoteWait(-1))
		n.until(claiming, 2*down)
		p = w.slave(high)
		p.p.Log = pos(1, 5)
		w.run(4 * down)
		n.is(opening)
	},
	"T68": func(t *testing.T) {
		w, n := claimer(t)
		n.holdBarrier = true
		p := w.slave(high)
		p.p.Log = pos(1, 5)
		n.until(opening, 2*delay)
		n.step(election.BarrierDone{Epoch: 1})
		n.is(opening)
		n.step(election.LogAt{Log: pos(1, 5)}) // it came after all
		n.is(master)
		if countEvents(n, election.EventLogLost) != 0 {
			t.Error("tells a loss that was none")
		}
		// The holder leaves meanwhile.
		w, n = claimer(t)
		n.holdBarrier = true
		p = w.slave(high)
		p.p.Log = pos(1, 5)
		n.until(opening, 2*delay)
		n.step(election.BarrierDone{Epoch: 1})
		p.live = false
		n.clear()
		p.say(heartbeat.KindLeave)
		n.want(master, "heartbeat", "peer.left state cache.lost promoted", true)
		if e := lostEvent(n); e.From != pos(0, 0) || e.To != pos(1, 5) {
			t.Errorf("tells a loss from %v to %v", e.From, e.To)
		}
	},
	"T69": func(t *testing.T) {
		w, n := claimer(t)
		p := w.slave(high)
		p.p.Log = pos(1, 5)
		n.until(opening, 2*delay)
		w.run(delay)
		n.step(election.Promote{})
		n.is(opening)
		n.step(election.Promote{Force: true})
		w.run(100 * time.Millisecond)
		n.is(master)
		lostEvent(n)
	},
	"T70": func(t *testing.T) {
		_, n, a, _ := reigning(t)
		n.holdWork, n.holdSeal = true, true
		a.p.Cache = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 9}), 9)
		a.say(heartbeat.KindHeartbeat)
		n.step(election.Handover{To: a.id()})
		a.say(heartbeat.KindReady)
		n.step(election.Sealed{Acked: true}) // of nothing
		n.is(draining)
		n.clear()
		n.step(election.WorkStopped{})
		if n.told() != "seal" || n.events[0].Peer != a.id() || n.events[0].Addr != a.p.Cache || n.events[0].Epoch != 1 {
			t.Errorf("events %+v", n.events)
		}
	},
	"T71": func(t *testing.T) {
		w, n, m := suspicious(t)
		n.want(slave, "", "", false)
		if took := n.until(claiming, delay); took > n.m.Timers().Slot/2+flight {
			t.Errorf("claims after %v, want its turn at once", took)
		}
		w.run(flight)
		p := n.last(heartbeat.KindClaim)
		if !p.Flags.Has(heartbeat.FlagRefused) || p.Master.Instance != m.id() {
			t.Errorf("claims with flags %b, master %v", p.Flags, p.Master)
		}
		if took := n.until(master, delay); took < 290*time.Millisecond || took > 310*time.Millisecond {
			t.Errorf("opens after %v, want 300ms", took)
		}
		_, n, _ = suspicious(t, func(c *election.Config, _ *election.State) { c.Loopback = true })
		n.until(claiming, delay)
		if took := n.until(master, delay); took > 60*time.Millisecond {
			t.Errorf("opens after %v on loopback, want W₀", took)
		}
		// What makes it no suspicion.
		quiet := func(why string, w *world, n *node) {
			t.Helper()
			w.run(delay)
			if n.state() != slave {
				t.Errorf("%s: %v", why, n.state())
			}
		}
		w, n, m = following(t)
		m.p.Flags |= heartbeat.FlagCommand
		m.say(heartbeat.KindHeartbeat)
		n.step(election.Refused{Peer: m.id()})
		quiet("it runs a command", w, n)
		w, n, m = following(t)
		n.step(election.Stream{Peer: m.id(), Open: true})
		n.step(election.Refused{Peer: m.id()})
		quiet("the stream is open", w, n)
		w, n, m = following(t, quorum(2))
		n.step(election.Refused{Peer: m.id()})
		quiet("with a quorum", w, n)
		// Unless that is trusted: the vote is free.
		w, n, m = following(t, quorum(2), func(c *election.Config, _ *election.State) { c.TrustRefusal = true })
		m.live = true
		w.run(2 * delay)
		m.live = false
		c := w.fake(low)
		c.p.Quorum = 2
		c.say(heartbeat.KindHeartbeat)
		n.clear()
		n.step(election.Refused{Peer: m.id()})
		c.claims(9).say(heartbeat.KindClaim)
		n.last(heartbeat.KindGrant)
	},
	"T72": func(t *testing.T) {
		w, n, m := suspicious(t)
		n.until(claiming, delay)
		w.run(flight)
		n.clear()
		m.say(heartbeat.KindHeartbeat)
		n.want(slave, "withdraw", "state", false)
		w.run(2 * delay)
		n.is(slave)
		// Before the claim, a relay does.
		w, n, m = suspicious(t)
		r := w.fake(low)
		r.say(heartbeat.KindHeartbeat, sees(m, m.p.Seq+1))
		w.run(delay)
		n.is(slave)
		// Or the stream.
		w, n, m = suspicious(t)
		n.step(election.Stream{Peer: m.id(), Open: true})
		w.run(delay)
		n.is(slave)
		if !n.last(heartbeat.KindHeartbeat).Flags.Has(heartbeat.FlagConnected) {
			t.Error("does not say that its stream is open")
		}
		w.run(2 * delay)
		n.step(election.Stream{Peer: m.id()})
		n.clear()
		w.run(delay)
		if n.last(heartbeat.KindHeartbeat).Flags.Has(heartbeat.FlagConnected) {
			t.Error("says that its stream is open, which broke")
		}
	},
	"T73": func(t *testing.T) {
		refused := func(master *fake, seq uint64) func(*heartbeat.Packet) {
			return func(p *heartbeat.Packet) {
				p.Flags |= heartbeat.FlagRefused
				p.Master = heartbeat.Sighting{Instance: master.id(), Epoch: 7, Seq: seq}
			}
		}
		w, n, m := following(t)
		c := w.fake(low).claims(8)
		c.say(heartbeat.KindClaim, refused(m, m.p.Seq))
		n.want(slave, "", "peer.joined", false) // nothing to tell
		c.say(heartbeat.KindClaim, refused(m, m.p.Seq-1))
		n.want(slave, "heartbeat", "peer.joined", false)
		n.step(election.Stream{Peer: m.id(), Open: true})
		n.clear()
		c.say(heartbeat.KindClaim, refused(m, m.p.Seq))
		c.say(heartbeat.KindClaim, refused(m, m.p.Seq)) // each time
		n.want(slave, "heartbeat heartbeat", "", false)
		w.run(0)
		// One that suspects it too backs off.
		w, n, m = suspicious(t)
		c = w.fake(low).claims(8)
		c.say(heartbeat.KindClaim, refused(m, m.p.Seq-1))
		w.run(2 * delay)
		n.is(slave)
		if strings := n.kinds(); strings != "heartbeat heartbeat" {
			t.Errorf("sent %q", strings)
		}
		// A master.
		_, n, a, _ := reigning(t)
		a.claims(8)
		for range 2 {
			a.say(heartbeat.KindClaim, func(p *heartbeat.Packet) { p.Flags |= heartbeat.FlagRefused })
		}
		n.want(master, "heartbeat heartbeat", "", true)
	},
	"T74": func(t *testing.T) {
		w, n, m := suspicious(t)
		o := w.slave(low)
		open := func(p *heartbeat.Packet) {
			p.Flags |= heartbeat.FlagConnected
			p.Master = heartbeat.Sighting{Instance: m.id(), Epoch: 7, Seq: m.p.Seq}
		}
		o.say(heartbeat.KindHeartbeat)
		before := n.seq
		n.until(claiming, delay)
		w.run(flight)
		n.clear()
		now := n.seq
		n.seq = before // a packet that was sent before the claim was heard
		o.say(heartbeat.KindHeartbeat, open)
		n.is(claiming)
		n.seq = now
		o.say(heartbeat.KindHeartbeat, open)
		n.want(slave, "withdraw", "state", false)
		n.step(election.Refused{Peer: m.id()})
		w.run(delay)
		n.is(slave) // one was wrong
	},
	"T75": func(t *testing.T) {
		_, n, m := following(t)
		m.say(heartbeat.KindHeartbeat)
		n.want(slave, "", "", false)
		m.p.Cache = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 9}), 9)
		m.say(heartbeat.KindHeartbeat)
		m.say(heartbeat.KindHeartbeat)
		n.want(slave, "", "master", false)
		if e := n.events[0]; e.Addr != m.p.Cache || e.Epoch != 7 || e.Peer != m.id() {
			t.Errorf("tells %+v", e)
		}
		m.reigns(9).say(heartbeat.KindHeartbeat)
		if e := n.events[len(n.events)-1]; len(n.events) != 2 || e.Epoch != 9 || e.Addr != m.p.Cache {
			t.Errorf("tells %+v", n.events)
		}
	},
	"T76": func(t *testing.T) {
		w, n, _, _ := reigning(t)
		was := n.m.View(w.now).Epoch
		n.step(election.Reigned{Epoch: was + 41})
		n.is(master)
		if now := n.m.View(w.now).Epoch; now <= was+41 || !strings.Contains(n.told(), "epoch") {
			t.Errorf("reigns under epoch %d after %q, want one above %d", now, n.told(), was+41)
		}
	},
	"T77": func(t *testing.T) {
		w, n, _, _ := reigning(t)
		w.run(delay / 2)
		n.clear()
		at := netip.MustParseAddrPort("10.9.9.9:99")
		n.step(election.CacheAt{Addr: at})
		n.want(master, "heartbeat", "", true)
		if p := n.last(heartbeat.KindHeartbeat); p.Cache != at {
			t.Errorf("tells that the cache is at %v, want %v", p.Cache, at)
		}
	},
}

// lostEvent is the one cache.lost that was told.
func lostEvent(n *node) election.Event {
	n.w.t.Helper()
	for _, e := range n.events {
		if e.Type == election.EventLogLost {
			return e
		}
	}
	n.w.t.Fatalf("events %q, want cache.lost", n.told())
	return election.Event{}
}
