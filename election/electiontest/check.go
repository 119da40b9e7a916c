package electiontest

import (
	"bytes"
	"cmp"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// claimSeen is what the packets of a node tell of its present claim.
type claimSeen struct {
	at     time.Duration // its first packet
	active bool
	heir   bool
	// what makes it one
	resigned heartbeat.Resignation
	dead     bool
	forced   bool
	refused  bool
	epoch    uint64
	deadID   heartbeat.InstanceID
	master   heartbeat.Sighting // whom it followed before
}

// checker holds the run against the invariants of PROTOCOL.md §7. It looks at
// the nodes from outside, never into a machine: at what they send (sent.go), at
// what they do (work.go), and, here, at the time that passes meanwhile.
type checker struct {
	s       *sim
	quiet   bool            // between calm and chaos
	calmAt  time.Duration   // since when
	settled time.Duration   // when one master was first reached in this calm; 0 = not yet
	double  time.Duration   // since when two work
	pair    []time.Duration // since when two that hear each other work, by row and column
	whole   []time.Duration // since when a link is whole; -1 = cut
	moved   time.Duration   // when something last changed that may disturb an election

	epochs   map[uint64]heartbeat.InstanceID // who reigned under it
	topEpoch uint64
	lossy    bool // a node lost its memory: epochs may repeat
	warps    bool // a clock stood still: two may reign, so epochs need not grow
	tokens   map[heartbeat.InstanceID]uint64
	proved   map[heartbeat.InstanceID]bool  // whose death was proved
	resigned map[heartbeat.Resignation]bool // each that was told by the one who resigned
	stopAt   map[int]time.Duration

	crash   time.Duration // when the master died, if nothing else was wrong
	after   time.Duration // and by when another must have opened; 0 = no matter
	workEnd time.Duration // of the last work
	asked   time.Duration // when a master last asked for an heir
	planned bool          // and it was meant to end
	heirBy  time.Duration // by when the heir must have opened; 0 = no matter
	promise promised
}

func (c *checker) init(s *sim) {
	n := len(s.nodes)
	*c = checker{s: s, pair: make([]time.Duration, n*n), whole: make([]time.Duration, n*n), moved: -time.Hour,
		epochs: map[uint64]heartbeat.InstanceID{}, tokens: map[heartbeat.InstanceID]uint64{},
		asked: -time.Hour, resigned: map[heartbeat.Resignation]bool{}, proved: map[heartbeat.InstanceID]bool{}, stopAt: map[int]time.Duration{}}
}

// quorum reports whether votes decide in this scenario.
func (c *checker) quorum() bool { return c.s.sc.Quorum > 0 }

// delta is the longest a packet takes.
func (c *checker) delta() time.Duration { return c.s.net.Max + c.s.net.Hold }

// delay and down are the longest of any node.
func (c *checker) delay() (d time.Duration) {
	for _, n := range c.s.nodes {
		d = max(d, n.delay())
	}
	return d
}

func (c *checker) down() (d time.Duration) {
	for _, n := range c.s.nodes {
		d = max(d, n.down())
	}
	return d
}

// stop is the longest that work takes to end which must end at once.
func (c *checker) stop() time.Duration { return c.s.down() / 5 }

// healBound is how long two masters may last once the faults have ended (S3).
func (c *checker) healBound() time.Duration {
	return c.delay()*105/100 + 3*c.delta() + c.stop()
}

// settleBound is how long it may take to one master once all is calm (L1).
func (c *checker) settleBound() time.Duration {
	return 2*c.down() + c.s.sc.Barrier + c.patience()
}

// patience is for how much longer nobody opens, or claims, who may lack records.
func (c *checker) patience() time.Duration {
	switch c.s.sc.Cache {
	case CacheOff:
		return 0
	case CacheAsync:
		return c.delay() / 2 // to ask again for what a peer named
	}
	return c.delay()/2 + cmp.Or(c.s.sc.PromoteWait, c.down())
}

// pairBound is how long two that hear each other may both work (S12).
func (c *checker) pairBound() time.Duration {
	b := 4*c.delay() + c.stop() + 3*c.delta()
	if c.s.net.Loss > 0 {
		b += c.down()
	}
	return b
}

// pass looks at a stretch of time in which nothing happens.
func (c *checker) pass(d time.Duration) {
	s, n, open := c.s, 0, 0
	for _, x := range s.nodes {
		if x.up && !x.stopped && x.guard.Open(x.local()) {
			open++
		}
		if !x.working {
			continue
		}
		if !x.stopped {
			n++
		}
		c.passWork(x, d)
	}
	switch n {
	case 0:
		s.rep.None += d
	case 1:
	default:
		s.rep.Double += d
	}
	if open > 1 {
		s.rep.Open += d
		if c.quiet {
			s.rep.OpenHeal = max(s.rep.OpenHeal, s.now+d-c.calmAt)
		}
	}
	if n > 1 {
		c.passDouble(d)
	} else {
		c.double = 0
	}
	end := s.now + d
	if c.quiet && n == 1 && c.settled == 0 {
		c.settled = s.now
		s.rep.Recovery = max(s.rep.Recovery, s.now-c.calmAt)
	}
	if c.quiet && c.settled == 0 && end-c.calmAt > c.settleBound() {
		s.violate("L1", "no single master %v after the faults ended", end-c.calmAt)
	}
	if c.after > 0 && end > c.after {
		s.violate("L2", "no master %v after the crash of the last one", end-c.crash)
	}
	if c.heirBy > 0 && end > c.heirBy {
		s.violate("L3", "the heir does not open within %v of the resignation", end-c.workEnd)
	}
}

// passWork: work does not go on when the guard is closed, but for the time
// that it takes to end (S7).
func (c *checker) passWork(n *node, d time.Duration) {
	if n.stopped || n.guard.Open(n.local()) {
		n.closedAt = 0
		return
	}
	if n.closedAt == 0 {
		n.closedAt = c.s.now
	}
	if late := c.s.now + d - n.closedAt; late > c.stop()+c.stop()/10 {
		c.s.violate("S7", "%s still works %v after its guard closed", n.spec.Name, late)
	}
}

// passDouble: two or more work at the same time.
func (c *checker) passDouble(d time.Duration) {
	s := c.s
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
	for i, a := range s.nodes {
		for j, b := range s.nodes[:i] {
			k := &c.pair[i*len(s.nodes)+j]
			if !a.working || !b.working || !a.up || !b.up || a.frozen || b.frozen || a.sendBad || b.sendBad || s.cut[i][j] || s.cut[j][i] {
				*k = 0
				continue
			}
			if *k == 0 {
				*k = s.now
			}
			if took := s.now + d - *k; took > c.pairBound() {
				s.violate("S12", "%s and %s hear each other and both work for %v", a.spec.Name, b.spec.Name, took)
			}
		}
	}
}

// linksMoved notes which links are whole now. Clocks of S12 start anew.
func (c *checker) linksMoved() {
	clear(c.pair)
	n := len(c.s.nodes)
	for i := range n {
		for j := range n {
			w := &c.whole[i*n+j]
			switch {
			case c.s.cut[i][j]:
				*w = -1
			case *w < 0:
				*w = c.s.now
			}
		}
	}
	c.stir()
}

// stir: something changed, so the bounds of an undisturbed election do not hold.
func (c *checker) stir() { c.moved, c.after, c.heirBy = c.s.now, 0, 0 }

func (c *checker) calm()  { c.quiet, c.calmAt, c.settled = true, c.s.now, 0 }
func (c *checker) chaos() { c.endCalm(); c.quiet = false }
func (c *checker) end()   { c.endCalm() }

// endCalm: what had settled must still stand.
func (c *checker) endCalm() {
	if !c.quiet || c.s.now-c.calmAt <= c.settleBound() {
		return
	}
	n := 0
	for _, x := range c.s.nodes {
		if x.acts() {
			n++
			c.accepted(x)
		}
	}
	if n != 1 {
		c.s.violate("L1", "%d masters at the end of a calm time", n)
	}
}

// accepted: a sink that has seen every token there was takes the master's (S17).
func (c *checker) accepted(n *node) {
	for id, epoch := range c.tokens {
		if (epoch > n.epoch || epoch == n.epoch && bytes.Compare(id[:], n.id[:]) > 0) && !c.lossy {
			c.s.violate("S17", "a sink that has seen the token of epoch %d of %v refuses that of %d of %s", epoch, id, n.epoch, n.spec.Name)
		}
	}
}

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

// clean reports whether all was well for long enough that an election keeps
// to its bounds: no loss, no unequal settings, nothing moved.
func (c *checker) clean() bool {
	for _, n := range c.s.nodes {
		if n.spec.Delay > 0 || n.spec.Retries > 0 || n.spec.As != "" {
			return false
		}
	}
	return c.s.net.Loss == 0 && !c.disturbed() && c.s.now-c.moved > 2*c.down()
}
