package electiontest

import (
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// claimSeen is what the packets of a node tell of its present claim.
type claimSeen struct {
	at     time.Duration // its first packet
	active bool
	last   time.Duration // start of the claim before
	heir   bool
	dead   bool
	forced bool
	epoch  uint64
	master heartbeat.Sighting // whom it followed before
}

// checker holds the run against the invariants of PROTOCOL.md §7. It looks at
// the nodes from outside, never into a machine.
type checker struct {
	s        *sim
	quiet    bool          // between calm and chaos
	calmAt   time.Duration // since when
	settled  time.Duration // when one master was first reached in this calm; 0 = not yet
	double   time.Duration // since when two work
	pair     [][]time.Duration
	epochs   map[uint64]heartbeat.InstanceID
	topEpoch uint64
	tokens   map[heartbeat.InstanceID]uint64
	crash    time.Duration // of a working master, if nothing else was wrong
	workEnd  time.Duration // of the last work, for hand-overs
	planned  bool
	stopAt   map[int]time.Duration
}

func (c *checker) init(s *sim) {
	*c = checker{s: s, epochs: map[uint64]heartbeat.InstanceID{}, tokens: map[heartbeat.InstanceID]uint64{}, stopAt: map[int]time.Duration{}}
	for range s.nodes {
		c.pair = append(c.pair, make([]time.Duration, len(s.nodes)))
	}
}

// quorum reports whether votes decide in this scenario.
func (c *checker) quorum() bool { return c.s.sc.Quorum > 0 }

// delta is the longest a packet takes.
func (c *checker) delta() time.Duration { return c.s.net.Max + c.s.net.Hold }

// healBound is how long two masters may last once the faults have ended.
func (c *checker) healBound() time.Duration {
	d := c.s.sc.Delay
	return d*105/100 + 3*c.delta() + c.s.down()/5 + c.s.down()/10
}

// pass looks at a stretch of time in which nothing happens.
func (c *checker) pass(d time.Duration) {
	s, n := c.s, 0
	for _, x := range s.nodes {
		if x.working {
			n++
		}
	}
	switch n {
	case 0:
		s.rep.None += d
	case 1:
	default:
		s.rep.Double += d
	}
	if n > 1 {
		if c.double == 0 {
			c.double = s.now
		}
		s.rep.Longest = max(s.rep.Longest, s.now+d-c.double)
		if c.quiet {
			heal := s.now + d - c.calmAt
			s.rep.Heal = max(s.rep.Heal, heal)
			if heal > c.healBound() {
				s.violate("S3", "two masters %v after the faults ended", heal)
			}
		}
		c.checkPairs(d)
	} else {
		c.double = 0
	}
	if c.quiet && n == 1 && c.settled == 0 {
		c.settled = s.now
		s.rep.Recovery = max(s.rep.Recovery, s.now-c.calmAt)
	}
	if c.quiet && c.settled == 0 && s.now+d-c.calmAt > c.settleBound() {
		s.violate("L1", "no single master %v after the faults ended", s.now+d-c.calmAt)
	}
}

// settleBound is how long it may take to one master once all is calm.
func (c *checker) settleBound() time.Duration { return 2 * c.s.down() }

// checkPairs: two that hear each other are not both at work for long.
func (c *checker) checkPairs(d time.Duration) {
	s := c.s
	bound := 4*s.sc.Delay + s.down()*3/10 + 3*c.delta()
	if s.net.Loss > 0 {
		bound += s.down()
	}
	for i, a := range s.nodes {
		for j := range i {
			b := s.nodes[j]
			if !a.working || !b.working || !a.up || !b.up || a.frozen || b.frozen || a.sendBad || b.sendBad || s.cut[i][j] || s.cut[j][i] {
				c.pair[i][j] = 0
				continue
			}
			if c.pair[i][j] == 0 {
				c.pair[i][j] = s.now
			}
			if s.now+d-c.pair[i][j] > bound {
				s.violate("S12", "%s and %s hear each other and both work for %v", a.spec.Name, b.spec.Name, s.now+d-c.pair[i][j])
			}
		}
	}
}

func (c *checker) linksMoved() {
	for i := range c.pair {
		clear(c.pair[i])
	}
}

func (c *checker) calm()  { c.quiet, c.calmAt, c.settled = true, c.s.now, 0 }
func (c *checker) chaos() { c.endCalm(); c.quiet = false }

// endCalm: what had settled must still stand.
func (c *checker) endCalm() {
	if !c.quiet {
		return
	}
	n := 0
	for _, x := range c.s.nodes {
		if x.working {
			n++
		}
	}
	if n != 1 && c.s.now-c.calmAt > c.settleBound() {
		c.s.violate("L1", "%d masters at the end of a calm time", n)
	}
}

func (c *checker) end() { c.endCalm() }

// disturbed reports whether anything is wrong with the network or a process.
func (c *checker) disturbed() bool {
	for i, n := range c.s.nodes {
		if n.frozen || n.sendBad || n.diskBad {
			return true
		}
		for _, cut := range c.s.cut[i] {
			if cut {
				return true
			}
		}
	}
	return false
}

// sent looks at each packet that leaves.
func (c *checker) sent(n *node, p *heartbeat.Packet) {
	s := c.s
	k := &n.claim
	switch {
	case p.Kind == heartbeat.KindClaim:
		fresh := !k.active
		kind := claimSeen{at: s.now, active: true, last: k.at, epoch: p.Epoch, master: p.Master,
			heir: p.Resigned.Heir == p.Instance, dead: p.Flags.Has(heartbeat.FlagGone), forced: p.Flags.Has(heartbeat.FlagForced)}
		if fresh {
			if min := 3 * n.delay(); k.at > 0 && s.now-k.at < min*9/10 && k.master == p.Master && !kind.heir && !kind.dead && !kind.forced {
				s.violate("L4", "%s claims again after %v", n.spec.Name, s.now-k.at)
			}
			*k = kind
		} else if p.Epoch != k.epoch {
			k.at, k.epoch = s.now, p.Epoch
		}
	case p.State != heartbeat.StateClaiming:
		k.active = false
	}
	if p.State.Reigns() && p.State != heartbeat.StateOpening && n.guard.Until > 0 && n.local() >= n.guard.Until {
		s.violate("S7", "%s speaks as master after its guard ran out", n.spec.Name)
	}
}

func (n *node) delay() time.Duration {
	if n.spec.Delay > 0 {
		return n.spec.Delay
	}
	return n.s.sc.Delay
}

// opened: a node begins to work.
func (c *checker) opened(n *node, epoch uint64) {
	s := c.s
	s.rep.Promotions++
	s.logf("%s opens, epoch %d", n.spec.Name, epoch)
	k := n.claim
	if !k.heir && !k.dead && !k.forced {
		down := n.delay() * time.Duration(s.sc.Retries)
		if n.spec.Retries > 0 {
			down = n.delay() * time.Duration(n.spec.Retries)
		}
		if lived := s.now - n.startAt; lived < down*99/100 {
			s.violate("S4", "%s opens %v after its start", n.spec.Name, lived)
		}
		if waited := s.now - k.at; waited < n.delay()*99/100 && !n.stopped {
			s.violate("S4", "%s opens %v after its claim", n.spec.Name, waited)
		}
	}
	for _, o := range s.nodes {
		if o == n || !o.working {
			continue
		}
		if c.quorum() && !k.forced {
			s.violate("S1", "%s opens while %s works", n.spec.Name, o.spec.Name)
		}
		if !c.disturbed() && !o.frozen {
			s.rep.False++
		}
	}
	n.claim.at = 0 // a claim that was won does not count against the next
	if c.quiet && c.settled > 0 && s.now-c.settled > 2*s.down() && !k.heir && !k.forced {
		s.violate("S5", "%s takes over in a calm time", n.spec.Name)
	}
	if c.crash > 0 {
		s.rep.TakeOvers = append(s.rep.TakeOvers, s.now-c.crash)
		c.crash = 0
	}
	if c.planned && k.heir {
		s.rep.HandOvers = append(s.rep.HandOvers, s.now-c.workEnd)
	}
	c.planned = false
	c.newEpoch(n, epoch)
}

// newEpoch: a node works under a token that it had not before.
func (c *checker) newEpoch(n *node, epoch uint64) {
	s := c.s
	if c.tokens[n.id] >= epoch {
		s.violate("S6", "the token of %s goes back from epoch %d to %d", n.spec.Name, c.tokens[n.id], epoch)
	}
	c.tokens[n.id] = epoch
	if !c.quorum() || n.claim.forced {
		return
	}
	if who, ok := c.epochs[epoch]; ok && who != n.id {
		s.violate("S2", "epoch %d reigns twice, the second time by %s", epoch, n.spec.Name)
	}
	if epoch < c.topEpoch {
		s.violate("S2", "epoch %d of %s after epoch %d", epoch, n.spec.Name, c.topEpoch)
	}
	c.epochs[epoch] = n.id
	c.topEpoch = max(c.topEpoch, epoch)
}

// guardMoved: at most one guard is open with a quorum, and one that ran out
// does not open again.
func (c *checker) guardMoved(n *node, old, g election.Guard) {
	s := c.s
	local := n.local()
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
		if o != n && o.up && !o.stopped && o.guard.Open(o.local()) && !o.claim.forced {
			s.violate("S1", "the guards of %s and %s are open", n.spec.Name, o.spec.Name)
		}
	}
}

func (c *checker) workEnded(n *node) {
	c.workEnd = c.s.now
	c.planned = n.state == heartbeat.StateDraining
	c.s.logf("%s: its work has ended", n.spec.Name)
	if c.quiet {
		c.settled = 0
		c.calmAt = c.s.now
	}
}

func (c *checker) crashed(n *node) {
	if n.working && !c.disturbed() {
		c.crash = c.s.now
	}
}

func (c *checker) thawed(*node) { c.linksMoved() }

func (c *checker) stopping(n *node) { c.stopAt[n.i] = c.s.now }

// left: a node has said goodbye; that must not take long.
func (c *checker) left(n *node) {
	at, ok := c.stopAt[n.i]
	if !ok {
		return
	}
	delete(c.stopAt, n.i)
	most := c.s.sc.WorkEnd + time.Second + 200*time.Millisecond*time.Duration(len(c.s.nodes)+1) + c.s.down()/5
	if took := c.s.now - at; took > most {
		c.s.violate("L4", "%s took %v to leave", n.spec.Name, took)
	}
}
