package electiontest

import (
	"cmp"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// The cache as the election sees it: one log, written by whoever works, copied
// over streams. Records have no content: where a copy ends, and which reign
// wrote which part of it, is all that matters.

// Cache says whether a scenario has a cache, and of which kind.
type Cache uint8

// What a put waits for.
const (
	CacheOff Cache = iota
	CacheAsync
	CacheSync // all slaves in step
)

// seg is a run of records that one reign wrote.
type seg struct {
	epoch uint64
	by    heartbeat.InstanceID
	start uint64 // n of the last record before it
}

// wlog is a log. It is a value: segments are never changed in place.
type wlog struct {
	segs []seg
	end  uint64
}

func (l *wlog) last() seg {
	if len(l.segs) == 0 {
		return seg{}
	}
	return l.segs[len(l.segs)-1]
}

func (l *wlog) pos() heartbeat.LogPos {
	return heartbeat.LogPos{Epoch: l.last().epoch, N: l.end}
}

// put adds a record of a reign.
func (l *wlog) put(by heartbeat.InstanceID, epoch uint64) {
	if s := l.last(); s.by != by || s.epoch != epoch {
		l.segs = append(l.segs[:len(l.segs):len(l.segs)], seg{epoch, by, l.end})
	}
	l.end++
}

// contains reports whether record n of a reign is in the log.
func (l *wlog) contains(s seg, n uint64) bool {
	for i, t := range l.segs {
		if t == s {
			end := l.end
			if i+1 < len(l.segs) {
				end = l.segs[i+1].start
			}
			return n <= end
		}
	}
	return false
}

// copyOf is one instance's part of the cache.
type copyOf struct {
	log    wlog
	sealed uint64         // frames of lesser epochs are refused
	pulled uint64         // the greatest epoch that pulled from it
	told   election.LogAt // what the machine knows
	sure   time.Duration  // local time; see election.LogAt
	reigns bool           // writes, and feeds the slaves
	ended  bool           // no more records: it hands over
	heir   *node          // who must hold all of it before that is told
	epoch  uint64         // it writes under
	acked  uint64         // all up to here has been acknowledged
	run    uint64         // numbers the reigns' ticks
	member []member       // by node
	lost   bool           // this opening told of a loss
	gave   wlog           // what it gave up for another log, and kept as orphans
	pull   uint64         // numbers the barriers
	waits  int            // answers that are outstanding
	to     *node          // the slave's master
	toID   heartbeat.InstanceID
	open   bool
	heard  time.Duration    // the last frame, local time
	took   heartbeat.LogPos // of the last frame taken
	dials  uint64           // numbers the attempts
}

// member is a slave, as its master sees it.
type member struct {
	boot  int // of the process that is connected; 0 = none
	in    bool
	at    time.Duration // the last ack, local time
	stamp time.Duration // by the slave's clock
	acked uint64
}

func (s *sim) caches() bool { return s.sc.Cache != CacheOff }

// putEvery is the time between two records, and two frames.
func (s *sim) putEvery() time.Duration { return cmp.Or(s.sc.Put, s.sc.Delay/3) }

// socketTimeout is the silence after which a slave is not in step any more.
func (s *sim) socketTimeout() time.Duration { return 4 * s.putEvery() }

// call runs f on a node after d, unless its process has ended by then.
func (s *sim) call(n *node, d time.Duration, f func()) {
	s.push(item{at: s.now + d, kind: itemCall, node: n.i, boot: n.boot, call: f})
}

// stream brings something from a node to another by a connection: not at all
// while the link is cut.
func (s *sim) stream(from, to *node, f func()) {
	if !s.cut[from.i][to.i] {
		s.call(to, s.net.Min+s.upTo(s.net.Max-s.net.Min), f)
	}
}

func (n *node) cacheStarts() {
	n.c = copyOf{member: make([]member, len(n.s.nodes))}
	n.watchStream()
}

// logAt is what the machine is to know.
func (n *node) logAt() election.LogAt {
	return election.LogAt{Log: n.c.log.pos(), Sync: n.s.sc.Cache == CacheSync, SureUntil: n.c.sure}
}

// cacheDoes performs what an event means for the cache.
func (n *node) cacheDoes(e election.Event) {
	c := &n.c
	switch e.Type {
	case election.EventBarrier:
		c.lost = false
		c.sealed = max(c.sealed, e.Epoch)
		n.pullFrom(e)
	case election.EventLogLost, election.EventMaybeLost:
		c.lost = true
	case election.EventOpened:
		c.reigns, c.ended, c.heir, c.epoch, c.acked = true, false, nil, e.Epoch, c.log.end
		if c.to != nil {
			c.to, c.open, c.toID = nil, false, heartbeat.InstanceID{}
		}
		for i := range c.member {
			c.member[i].in, c.member[i].acked = false, 0
		}
		c.run++
		n.cacheTick(c.run)
	case election.EventEpoch:
		c.epoch = e.Epoch
		for i := range c.member { // what was acked under the old one stands
			c.member[i].acked = min(c.member[i].acked, c.acked)
		}
	case election.EventSeal:
		c.ended = true
		c.heir = nil
		for _, o := range n.s.nodes {
			if o.id == e.Peer && !e.Peer.IsZero() {
				c.heir = o
			}
		}
		n.trySeal()
	case election.EventSealed:
		c.reigns = false
	case election.EventLost:
		c.reigns = false
	case election.EventMaster:
		n.follows(e)
	}
}

// cacheTick writes a record and feeds the slaves, again and again.
func (n *node) cacheTick(run uint64) {
	c := &n.c
	if !c.reigns || c.run != run {
		return
	}
	s := n.s
	if n.working && !c.ended {
		c.log.put(n.id, c.epoch)
	}
	for i := range c.member {
		if m := &c.member[i]; m.in && n.local()-m.at > s.socketTimeout() {
			m.in = false
		}
	}
	n.tryAck()
	for i, o := range s.nodes {
		if m := c.member[i]; m.boot > 0 {
			log, epoch, boot := c.log, c.epoch, n.boot
			s.stream(n, o, func() { o.frame(n, boot, m, epoch, log) })
		}
	}
	s.call(n, s.putEvery(), func() { n.cacheTick(run) })
}

// takeOver puts another copy's log in the place of this one. What only this one
// had is kept as orphans, and told (cache.orphans).
func (c *copyOf) takeOver(log wlog) (gives bool) {
	gives = c.log.end > 0 && !log.contains(c.log.last(), c.log.end)
	if gives {
		c.gave = c.log
	}
	c.log = log
	return gives
}

// frame takes in what the master wrote, and acknowledges it.
func (n *node) frame(from *node, boot int, m member, epoch uint64, log wlog) {
	c := &n.c
	if c.to != from || !c.open || m.boot != n.boot || epoch < c.sealed {
		return
	}
	n.s.chk.takes(n, epoch)
	c.heard = n.local()
	if m.in {
		c.sure = max(c.sure, m.stamp+n.s.socketTimeout()*4/5)
	}
	if !log.pos().Less(c.took) {
		if c.takeOver(log) {
			n.s.rep.Cuts++
		}
		c.took = log.pos()
	}
	end, stamp, me := log.end, n.local(), n.boot
	n.s.stream(n, from, func() { from.ack(n, me, boot, epoch, end, stamp) })
}

// ack takes in what a slave holds.
func (n *node) ack(from *node, fromBoot, boot int, epoch, end uint64, stamp time.Duration) {
	c := &n.c
	m := &c.member[from.i]
	if boot != n.boot || !c.reigns || epoch != c.epoch || m.boot != fromBoot {
		return
	}
	m.at, m.stamp, m.acked = n.local(), stamp, max(m.acked, end)
	m.in = m.in || m.acked >= c.log.end
	n.tryAck()
	n.trySeal()
}

// tryAck acknowledges the puts that may be.
func (n *node) tryAck() {
	c, s := &n.c, n.s
	if s.sc.Cache != CacheSync || c.log.end == c.acked {
		return
	}
	end, holders, votes := c.log.end, []holder{{n, n.boot}}, n.spec.Votes
	for i, m := range c.member {
		if m.in {
			end = min(end, m.acked)
			holders = append(holders, holder{s.nodes[i], m.boot})
			votes += s.nodes[i].spec.Votes
		}
	}
	if votes < s.sc.Quorum || end <= c.acked {
		return // in step there are too few
	}
	c.acked = end
	if len(holders) > 1 {
		s.chk.acked(n, end, holders)
	}
}

// trySeal answers EventSeal once the heir holds all.
func (n *node) trySeal() {
	c := &n.c
	if !c.ended || !n.up {
		return
	}
	if c.heir == nil || c.member[c.heir.i].boot == c.heir.boot && c.member[c.heir.i].acked >= c.log.end {
		acked := c.heir != nil
		c.ended, c.heir = true, nil
		n.s.push(item{at: n.s.now, kind: itemInput, node: n.i, boot: n.boot, input: election.Sealed{Log: c.log.pos(), Acked: acked}})
	}
}

// pullFrom asks other copies for what this one lacks, for so long and no longer.
func (n *node) pullFrom(e election.Event) {
	s, c := n.s, &n.c
	c.pull++
	run := c.pull
	c.waits = len(e.Addrs)
	done := func() {
		if c.pull == run {
			c.pull++
			n.step(election.BarrierDone{Epoch: e.Epoch})
		}
	}
	for _, a := range e.Addrs {
		o := s.nodes[nodeAt(a)]
		s.stream(n, o, func() {
			o.c.pulled = max(o.c.pulled, e.Epoch)
			if s.sc.Lacks&LackPullSeal == 0 {
				o.c.sealed = max(o.c.sealed, e.Epoch)
			}
			log := o.c.log
			s.stream(o, n, func() {
				if c.pull != run {
					return
				}
				if c.log.pos().Less(log.pos()) {
					c.takeOver(log)
				}
				if c.waits--; c.waits == 0 {
					done()
				}
			})
		})
	}
	most := s.sc.Barrier
	if len(e.Addrs) == 0 {
		most = s.upTo(most)
	}
	s.call(n, most, done)
}

// follows has the copy follow a master.
func (n *node) follows(e election.Event) {
	c := &n.c
	if e.Peer.IsZero() || !e.Addr.IsValid() {
		return
	}
	c.sealed = max(c.sealed, e.Epoch)
	if c.toID == e.Peer && c.to != nil {
		return
	}
	c.to, c.toID, c.open, c.took = n.s.nodes[nodeAt(e.Addr)], e.Peer, false, heartbeat.LogPos{}
	n.dial()
}

// dial opens the stream to the master, or finds that its host refuses.
func (n *node) dial() {
	s, c := n.s, &n.c
	to, id := c.to, c.toID
	if to == nil || to == n || c.reigns {
		return
	}
	rejected := s.rejected[[2]int{n.i, to.i}]
	if !rejected && (s.cut[n.i][to.i] || s.cut[to.i][n.i]) {
		return
	}
	c.dials++
	try := c.dials
	rtt := 2*s.net.Min + s.upTo(2*(s.net.Max-s.net.Min))
	s.call(n, rtt, func() {
		switch {
		case c.dials != try || c.to != to || c.open || c.reigns:
		case !to.up || rejected:
			n.step(election.Refused{Peer: id})
		case to.id == id && !to.frozen && !s.cut[n.i][to.i] && !s.cut[to.i][n.i]:
			c.open, c.heard, c.took = true, n.local(), heartbeat.LogPos{}
			to.c.member[n.i] = member{boot: n.boot}
			n.step(election.Stream{Peer: id, Open: true})
		}
	})
}

// breaks: the stream to the master has ended.
func (n *node) breaks() {
	if n.c.open {
		n.c.open = false
		n.step(election.Stream{Peer: n.c.toID})
	}
	n.dial()
}

// watchStream gives a stream up that brings nothing, and dials again.
func (n *node) watchStream() {
	s, c := n.s, &n.c
	if c.to != nil && !c.reigns {
		switch {
		case c.open && n.local()-c.heard > s.socketTimeout():
			n.breaks()
		case !c.open:
			n.dial()
		}
	}
	s.call(n, s.socketTimeout()/2, n.watchStream)
}

// hangUp has the kernel of a node whose process has ended tell those who were
// connected to it.
func (n *node) hangUp() {
	for _, o := range n.s.nodes {
		if o != n && o.up && o.c.to == n && o.c.open && !n.s.cut[n.i][o.i] {
			n.s.call(o, n.s.net.Min+n.s.upTo(n.s.net.Max-n.s.net.Min), func() {
				if o.c.to == n {
					o.breaks()
				}
			})
		}
	}
}
