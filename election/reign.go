package election

import (
	"math"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// reign is the time as master, from the won claim to the end.
type reign struct {
	epoch    uint64
	next     uint64        // epoch asked for, to get above another reign; 0 = none
	saveSeq  uint64        // of next
	firstSeq uint64        // votes for earlier packets belong to earlier reigns
	nextSeq  uint64        // likewise for next
	forced   bool          // without votes, on an operator's order
	quick    time.Duration // until when heartbeats go out quickly: a rival claim may have lost the first
	opening
}

// becomeOpening begins a reign: everybody is told at once, the guard stays
// closed until what the others hold of the cache has been pulled.
func (m *Machine) becomeOpening() {
	c := &m.claim
	m.reign = reign{epoch: c.epoch, firstSeq: c.firstSeq, forced: c.kind == claimForced, quick: m.now + m.t.Window, opening: m.newOpening()}
	m.reigned(c.epoch, m.cfg.Self)
	m.store()
	m.follow = following{}
	m.resigned = resignation{}
	m.noMaster = 0
	m.setState(heartbeat.StateOpening, "the claim is won")
	m.beat.next = m.now
	m.event(Event{Type: EventBarrier, Epoch: m.reign.epoch, Addrs: m.barrierAddrs(c.resigned.Instance)})
}

// open opens the guard, unless the reign would have to end at once.
func (m *Machine) open() {
	if m.leaseUntil() <= m.now {
		m.lose("the lease ran out while opening", heartbeat.InstanceID{})
		return
	}
	m.checkIsolation()
	m.checkFault()
	if m.state != heartbeat.StateOpening {
		return // no work begins that would have to end at once
	}
	m.setState(heartbeat.StateMaster, "open")
	m.beat.next = m.now
	m.lastReign = m.reign.epoch
	m.tellLosses()
	m.event(Event{Type: EventOpened, Epoch: m.reign.epoch})
}

// guard is the permission to work after this step.
func (m *Machine) guard() Guard {
	if m.state != heartbeat.StateMaster && m.state != heartbeat.StateDraining {
		return Guard{}
	}
	return Guard{Until: m.leaseUntil(), Epoch: m.reign.epoch}
}

// checkGuard runs before anything else in a step: a master whose time ran out
// does not get to say another word as master.
func (m *Machine) checkGuard() {
	switch m.state {
	case heartbeat.StateOpening, heartbeat.StateMaster, heartbeat.StateDraining:
		// What was told last counts too: when a clone of a voter falls silent its
		// vote counts again, and a guard that ran out would open once more.
		if m.now >= m.leaseUntil() || m.until > 0 && m.now >= m.until {
			m.lose("the lease ran out", heartbeat.InstanceID{})
		}
	}
}

// leaseUntil is how long this master may act. Without a quorum it counts from
// the last heartbeat that left; with one, from the newest that enough votes
// confirmed. Either way from before the send.
func (m *Machine) leaseUntil() time.Duration {
	if !m.on(RuleGuard) {
		return math.MaxInt64
	}
	if m.needsVotes() {
		return m.votesUntil(m.reign.firstSeq, m.reign.epoch)
	}
	for seq := m.seq; seq > 0 && m.seq-seq < uint64(len(m.sends)); seq-- {
		s := &m.sends[seq%uint64(len(m.sends))]
		if s.seq == seq && s.beat && !s.failed {
			return s.at + m.lease()
		}
	}
	return 0
}

// lease is how long the master may act on one heartbeat.
func (m *Machine) lease() time.Duration {
	if !m.on(RuleLease) {
		return m.t.Down * 11 / 10
	}
	return m.t.Lease
}

// asks is the epoch that a reigning instance asks votes for.
func (m *Machine) asks() uint64 {
	if m.reign.next > 0 && m.isStored(m.reign.saveSeq) {
		return m.reign.next
	}
	return m.reign.epoch
}

// tickReign brings the reign above any other that is known to have been: what
// a sink has seen of that one must not make it refuse ours. While the other one
// still reigns the greater token decides, and nobody raises its own.
func (m *Machine) tickReign() {
	if m.state != heartbeat.StateMaster || m.inConflict() {
		return
	}
	r := &m.reign
	if r.next == 0 {
		if m.disk.Reigned > r.epoch && m.on(RuleReEpoch) {
			m.raiseReign()
		}
		return
	}
	if !m.isStored(r.saveSeq) {
		return
	}
	if m.needsVotes() {
		if r.nextSeq == 0 {
			r.nextSeq = m.seq + 1
			m.beat.next = m.now
			return
		}
		if m.votesUntil(r.nextSeq, r.next) <= m.now {
			if m.disk.MaxEpoch > r.next { // somebody granted that one, if only to a claim that failed
				m.raiseReign()
			}
			return
		}
	}
	r.epoch, r.next, r.nextSeq = r.next, 0, 0
	m.lastReign = r.epoch
	m.reigned(r.epoch, m.cfg.Self)
	m.store()
	m.beat.next = m.now
	m.event(Event{Type: EventEpoch, Epoch: r.epoch})
}

func (m *Machine) raiseReign() {
	r := &m.reign
	r.next, r.nextSeq = m.nextEpoch(), 0
	if m.cfg.Quorum > 0 {
		m.disk.Granted, m.disk.GrantedTo = r.next, m.cfg.Self
	}
	r.saveSeq = m.store()
}

// lose ends a reign that cannot go on. The work is ended at once; until that
// is done the instance neither follows nor frees its vote. to is the master
// that it is lost to, or zero.
func (m *Machine) lose(why string, to heartbeat.InstanceID) {
	working := m.state != heartbeat.StateOpening
	m.hand = handover{}
	m.follow = following{}
	m.noMaster = m.now
	m.listen(2 * m.t.Delay)
	m.turn = turn{}
	epoch := m.reign.epoch
	if !working {
		m.endReign(why)
		return
	}
	m.event(Event{Type: EventLost, Peer: to, Epoch: epoch, Detail: why})
	if !m.on(RuleStopFirst) {
		m.endReign(why)
		return
	}
	m.setState(heartbeat.StateStopping, why)
}

// workStopped: nothing of the workload runs any more.
func (m *Machine) workStopped() {
	switch m.state {
	case heartbeat.StateDraining:
		m.workDrained()
	case heartbeat.StateStopping:
		m.endReign("the work has ended")
	}
}

// endReign becomes a slave after a reign whose work has ended.
func (m *Machine) endReign(why string) {
	if m.promise.to == m.cfg.Self {
		m.promise = promise{}
	}
	if m.fault != "" {
		m.setState(heartbeat.StateFault, m.fault)
	} else {
		m.setState(heartbeat.StateSlave, why)
	}
	m.sendEverywhere(heartbeat.KindHeartbeat)
	if m.leaving {
		m.goodbye()
	}
}
