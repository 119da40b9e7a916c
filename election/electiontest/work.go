package electiontest

import (
	"time"

	"github.com/interlok-ha/interlok-ha/election"
)

// opened: a node begins to work.
func (c *checker) opened(n *node, epoch uint64) {
	s := c.s
	s.rep.Promotions++
	s.logf("%s opens, epoch %d", n.spec.Name, epoch)
	c.checkWaited(n)
	for _, o := range s.nodes {
		if o == n || !o.acts() {
			continue
		}
		if c.quorum() && !n.claim.forced && !warped(n, o) {
			s.violate("S1", "%s opens while %s works", n.spec.Name, o.spec.Name)
		}
		if !n.claim.forced && c.objected(o, n) {
			s.violate("S5", "%s opens though %s works and could object", n.spec.Name, o.spec.Name)
		}
		if !c.disturbed() {
			s.rep.False++
		}
	}
	if c.quiet && c.settled > 0 && s.now-c.settled > 2*c.down() && !n.claim.heir && !n.claim.forced {
		s.violate("S5", "%s takes over in a calm time", n.spec.Name)
	}
	if c.crash > 0 {
		s.rep.TakeOvers = append(s.rep.TakeOvers, s.now-c.crash)
	}
	if c.planned && n.claim.heir {
		s.rep.HandOvers = append(s.rep.HandOvers, s.now-c.workEnd)
	}
	c.crash, c.after, c.heirBy, c.planned = 0, 0, 0, false
	n.claim.at = 0 // a claim that was won does not count against the next
	n.opened = true
	c.logOpened(n, epoch)
	c.newEpoch(n, epoch)
}

// checkWaited: nobody opens without having listened, and without having waited
// for objections, but on a resignation, a proof of death or an order (S4).
func (c *checker) checkWaited(n *node) {
	s, k := c.s, n.claim
	wait := n.delay()
	switch {
	case k.forced:
		return
	case k.heir:
		if k.resigned.Heir != n.id || !c.resigned[k.resigned] {
			s.violate("S4", "%s opens as an heir whom nobody named", n.spec.Name)
		}
		return
	case k.dead:
		if !c.proved[k.deadID] {
			s.violate("S4", "%s opens on the death of one that lives", n.spec.Name)
		}
		if c.quorum() {
			return
		}
		wait /= 20
	case k.refused:
		wait = min(wait, max(wait/20, 300*time.Millisecond))
		if s.sc.Loopback {
			wait = n.delay() / 20
		}
	default:
		if lived := s.now - n.startAt; lived < n.down()*99/100 && n.warped == 0 {
			s.violate("S4", "%s opens %v after its start", n.spec.Name, lived)
		}
	}
	if waited := s.now - k.at; waited < wait*99/100 && n.warped == 0 {
		s.violate("S4", "%s opens %v after its claim", n.spec.Name, waited)
	}
}

// objected reports whether o, at work, heard n's claim and was heard in turn:
// n must have known.
func (c *checker) objected(o, n *node) bool {
	s := c.s
	k := len(s.nodes)
	// Claims are repeated each third of a window, objections come at once or
	// with the next heartbeat out of turn.
	since := s.now - n.delay()/2 - 2*c.delta()
	for _, w := range []time.Duration{c.whole[o.i*k+n.i], c.whole[n.i*k+o.i]} {
		if w < 0 || w > since {
			return false
		}
	}
	could := func(x *node) bool { return !x.frozen && !x.sendBad && x.thawedAt <= since && x.warped == 0 }
	return s.net.Loss == 0 && n.claim.at > 0 && could(o) && could(n) && o.up && o.state.Reigns() && o.openedAt < since
}

// warped reports whether the clock of one of the two stood still: then nothing
// is promised (C1 of PROTOCOL.md §7).
func warped(nodes ...*node) bool {
	for _, n := range nodes {
		if n.stopped || n.s.now < n.warped {
			return true
		}
	}
	return false
}

// newEpoch: a node works under a token that it had not before.
func (c *checker) newEpoch(n *node, epoch uint64) {
	s := c.s
	if c.tokens[n.id] >= epoch {
		s.violate("S6", "the token of %s goes back from epoch %d to %d", n.spec.Name, c.tokens[n.id], epoch)
	}
	c.tokens[n.id] = epoch
	if c.quorum() && !n.claim.forced {
		who, twice := c.epochs[epoch]
		twice = twice && who != n.id
		switch {
		case !twice && epoch >= c.topEpoch:
		case c.lossy || c.warps:
			s.rep.Repeats++ // two may have reigned at once
		case twice:
			s.violate("S2", "epoch %d reigns twice, the second time by %s", epoch, n.spec.Name)
		default:
			s.violate("S2", "epoch %d of %s after epoch %d", epoch, n.spec.Name, c.topEpoch)
		}
		c.epochs[epoch] = n.id
	}
	c.topEpoch = max(c.topEpoch, epoch)
}

// guardMoved: at most one guard is open with a quorum (S1), one that ran out
// does not open again (S7), and nothing works without one (S6).
func (c *checker) guardMoved(n *node, old, g election.Guard) {
	s := c.s
	local := n.local()
	if n.opened && n.working && (!g.Open(local) || g.Epoch != n.epoch) {
		s.violate("S6", "%s begins to work under epoch %d, its guard says %d until %v", n.spec.Name, n.epoch, g.Epoch, g.Until-local)
	}
	if n.opened {
		n.openedAt = s.now
	}
	n.opened = false
	if !g.Open(local) {
		return
	}
	if old.Until > 0 && old.Until <= local {
		s.violate("S7", "%s extends a guard that ran out %v ago", n.spec.Name, local-old.Until)
	}
	if !c.quorum() || n.claim.forced {
		return
	}
	for _, o := range s.nodes {
		if o != n && o.up && o.guard.Open(o.local()) && !o.claim.forced && !warped(n, o) {
			s.violate("S1", "the guards of %s and %s are open", n.spec.Name, o.spec.Name)
		}
	}
}

// workEnded: in a calm time only a planned change or a death ends a reign (S5).
func (c *checker) workEnded(n *node) {
	c.workEnd = c.s.now
	c.planned = n.drains && n.up
	c.s.logf("%s: its work has ended", n.spec.Name)
	if !c.quiet {
		return
	}
	if n.up && !c.planned && c.settled > 0 && c.s.now-c.settled > 2*c.down() && !c.twoAct() {
		c.s.violate("S5", "%s is deposed in a calm time", n.spec.Name)
	}
	c.settled = 0
	c.calmAt = c.s.now
}

func (c *checker) twoAct() bool {
	n := 0
	for _, x := range c.s.nodes {
		if x.acts() {
			n++
		}
	}
	return n > 1
}

// crashed: from now on, if all was well, it may take so long and no longer (L2).
func (c *checker) crashed(n *node) {
	clean := c.clean()
	c.stir()
	if !n.working || c.disturbed() {
		return
	}
	c.crash = c.s.now
	// A question to the heir alone is news to the others when the heir relays it.
	asked := c.s.now-c.asked < c.down()
	if clean && !asked && c.candidates(n) {
		d := n.delay()
		bound := n.down() + d/100 + d + 3*c.delta() + c.s.sc.Barrier + 2*c.s.diskTime() + c.patience()
		c.after = n.beatAt + bound + bound/200
	}
}

// candidates reports whether others can take over at once.
func (c *checker) candidates(dead *node) bool {
	votes := 0
	can := false
	for _, n := range c.s.nodes {
		if n != dead && n.up {
			votes += n.spec.Votes
			can = can || !n.spec.Witness && !n.held
		}
	}
	return can && votes >= c.s.sc.Quorum
}

func (c *checker) starts(*node) { c.stir() }

func (c *checker) paused(n *node) {
	delete(c.stopAt, n.i)
	c.stir()
}

func (c *checker) thawed(n *node) {
	n.thawedAt = c.s.now
	c.linksMoved()
	if !c.quorum() || !n.acts() {
		return
	}
	for _, o := range c.s.nodes {
		if o != n && o.acts() && !warped(n, o) {
			c.s.violate("S1", "%s works on while %s works", n.spec.Name, o.spec.Name)
		}
	}
}

func (c *checker) stopping(n *node) {
	c.stopAt[n.i] = c.s.now
	if !n.working {
		c.stir()
	}
}

// left: a node has said goodbye; that must not take long (L4).
func (c *checker) left(n *node) {
	at, ok := c.stopAt[n.i]
	if !ok {
		return
	}
	delete(c.stopAt, n.i)
	most := c.s.sc.WorkEnd + time.Second + 200*time.Millisecond*time.Duration(len(c.s.nodes)+1) + c.stop()
	if took := c.s.now - at; took > most {
		c.s.violate("L4", "%s took %v to leave", n.spec.Name, took)
	}
}
