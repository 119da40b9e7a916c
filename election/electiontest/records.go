package electiontest

import "time"

// holder is a process that holds a record.
type holder struct {
	n    *node
	boot int
}

// promised is the last record that was acknowledged as held by others too.
type promised struct {
	seg     seg
	n       uint64
	holders []holder
	reign   seg // who acknowledged it
	by      *node
	since   time.Duration // of that reign
}

// acked: a put returned.
func (c *checker) acked(n *node, end uint64, holders []holder) {
	last := n.c.log.last()
	reign := seg{epoch: n.c.epoch, by: n.id}
	if last.by != n.id || reign.epoch < c.promise.reign.epoch || reign.epoch < c.topEpoch {
		return // a master beside another one: a partition
	}
	c.s.rep.Acked++
	c.promise = promised{seg: last, n: end, holders: holders, reign: reign, by: n, since: n.openedAt}
}

// logOpened holds the log of a new master against what was acknowledged (S13,
// S14) and against the copies of the others (S15).
func (c *checker) logOpened(n *node, epoch uint64) {
	s := c.s
	if !s.caches() {
		return
	}
	alone := true
	for _, o := range s.nodes {
		alone = alone && (o == n || !o.acts())
	}
	pos := n.c.log.pos()
	if alone && n.claim.heir && pos.Less(n.claim.resigned.Log) && !n.c.lost {
		s.violate("S13", "the heir %s opens at %v, the log was sealed at %v", n.spec.Name, pos, n.claim.resigned.Log)
	}
	if p := &c.promise; p.n > 0 && epoch > p.reign.epoch && !n.c.log.contains(p.seg, p.n) {
		lost := 0
		for _, h := range p.holders {
			if !h.n.up || h.n.boot != h.boot {
				lost += h.n.spec.Votes
			}
		}
		s.rep.Lost++
		switch {
		case !alone || !c.quorum() && !c.together(n, p.by, p.since): // a partition: two logs
		case !c.quorum() && n.c.gave.contains(p.seg, p.n): // two logs, and it told which one it gave up
		case !n.c.lost:
			s.violate("S13", "%s opens at %v without record %d of epoch %d, and says nothing", n.spec.Name, pos, p.n, p.seg.epoch)
		case c.quorum() && s.sc.PromoteWait < 0 && lost < s.sc.Quorum && !n.claim.forced:
			s.violate("S14", "%s opens at %v without record %d of epoch %d, of which only %d copies are lost", n.spec.Name, pos, p.n, p.seg.epoch, lost)
		}
		*p = promised{} // whoever comes later follows this log
	}
	if !alone {
		return
	}
	for _, o := range s.nodes {
		if o != n && c.near(o, n) && pos.Less(o.c.log.pos()) && !n.c.lost {
			s.violate("S15", "%s opens at %v while %s holds %v", n.spec.Name, pos, o.spec.Name, o.c.log.pos())
		}
	}
}

// takes: a copy takes a record of a reign. From when a later one has pulled from
// it, what it takes of an earlier one would be missing there (S16).
func (c *checker) takes(n *node, epoch uint64) {
	if epoch < n.c.pulled {
		c.s.violate("S16", "%s takes a record of epoch %d after it was pulled from under epoch %d", n.spec.Name, epoch, n.c.pulled)
	}
}

// together reports whether the links between two nodes are whole, and have been
// since a time.
func (c *checker) together(a, b *node, since time.Duration) bool {
	k := len(c.s.nodes)
	for _, w := range []int{a.i*k + b.i, b.i*k + a.i} {
		if a != b && (c.whole[w] < 0 || c.whole[w] > since) {
			return false
		}
	}
	return true
}

// near reports whether two nodes have heard each other for long, undisturbed.
func (c *checker) near(o, n *node) bool {
	since := c.s.now - 2*c.down()
	if !c.together(o, n, since) {
		return false
	}
	could := func(x *node) bool {
		return x.up && !x.frozen && !x.sendBad && x.startAt < since && x.thawedAt < since && x.warped == 0
	}
	return could(o) && could(n) && !o.acts() && !c.s.rejected[[2]int{o.i, n.i}] && !c.s.rejected[[2]int{n.i, o.i}]
}
