package position

import (
	"math"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// reign is the permission to work of a master.
type reign struct {
	until time.Duration // how long it may act yet
	prev  time.Duration // the same before the last ping
	n     uint64        // which promotion of this process it began with
	seq   uint64        // of that ping
}

// yield is a master's waiting after it gave way to a Java instance.
type yield struct {
	at    time.Duration
	until time.Duration // 0 = it does not wait
}

// promote begins a reign: the others are told at once, the guard opens when the
// cache is ready.
func (m *Machine) promote(why string) {
	m.event(election.Event{Type: election.EventPromoting, Detail: why})
	m.promotions++
	m.place, m.master, m.yield, m.reign = place{}, master{}, yield{}, reign{n: m.promotions}
	m.readyAt = 0
	m.setState(heartbeat.StateOpening, why)
	m.pingAtOnce()
	m.event(election.Event{Type: election.EventBarrier, Epoch: m.reign.n})
}

// open opens the guard, unless the first ping did not leave. An answer may come
// late, when that promotion was called off and another has begun.
func (m *Machine) open(barrier uint64) {
	if m.state != heartbeat.StateOpening || barrier != m.reign.n {
		return
	}
	m.setState(heartbeat.StateMaster, "open")
	m.event(election.Event{Type: election.EventOpened})
}

// guard is the permission to work after this step.
func (m *Machine) guard() election.Guard {
	switch {
	case m.state != heartbeat.StateMaster && m.state != heartbeat.StateDraining:
		return election.Guard{}
	case !m.on(RuleGuard):
		return election.Guard{Until: math.MaxInt64}
	}
	return election.Guard{Until: m.reign.until}
}

// renew counts from the ping that is being sent: it was sampled before. A Java
// instance that starts while this process is frozen does not wait for the
// timeout; where there was one before, its next start is reckoned with.
func (m *Machine) renew() {
	d := m.t.guard
	if m.javaAt > 0 && m.t.interval <= JavaMonitor { // else no ping would keep one from it
		d = min(d, javaStart*9/10)
	}
	m.reign = reign{until: m.now + d, prev: m.reign.until, n: m.reign.n, seq: m.seq}
}

// sendFailed takes back what a ping that did not leave would have granted, or
// told of a place.
func (m *Machine) sendFailed(seq uint64) {
	if seq == m.reign.seq {
		m.reign.until = m.reign.prev
		m.nextPing = min(m.nextPing, m.now+m.t.interval/4) // what is left may not last for an interval
	}
	if seq == m.seq && m.state == heartbeat.StateSlave {
		m.place.toldAt = 0
	}
	m.checkGuard()
}

// checkGuard runs before anything else in a step: a master whose time ran out
// does not get to say another word as master.
func (m *Machine) checkGuard() {
	if m.state.Reigns() && m.now >= m.reign.until && m.on(RuleGuard) {
		m.lose("the guard ran out", heartbeat.InstanceID{})
	}
}

// lose ends a reign that cannot go on: the work is ended at once, and until it
// has ended nothing is heard of this instance.
func (m *Machine) lose(why string, to heartbeat.InstanceID) {
	working := m.state != heartbeat.StateOpening
	m.reign, m.master = reign{}, master{}
	m.place = place{away: true}
	if !working {
		m.endReign(why)
		return
	}
	m.event(election.Event{Type: election.EventLost, Peer: to, Detail: why})
	m.setState(heartbeat.StateStopping, why)
}

// hush keeps this one silent, as a slave too, until the others have heard twice
// whom it gave way to. The one at position 1 may follow this one yet, and takes
// its first ping as a slave for the end of all reigns.
func (m *Machine) hush() {
	if m.on(RuleHush) {
		m.hushUntil = m.now + m.t.quiet
	}
}

// giveWay waits for the Java master that this one gave way to: it may have
// heard our last ping, and ended itself.
func (m *Machine) giveWay() {
	m.yield = yield{at: m.now, until: m.now + m.t.yield}
	if !m.on(RuleReturn) {
		m.yield = yield{}
	}
}

// tickYield reigns again when it did: sooner than any slave of that master can
// give it up.
func (m *Machine) tickYield() {
	y := m.yield
	if y.until == 0 || m.now < y.until || m.state != heartbeat.StateSlave {
		return
	}
	m.yield = yield{}
	if m.mayBecomeMaster() && m.now < y.at+m.t.timeout-m.t.interval {
		m.promote("the instance that it gave way to is silent")
	}
}

// stopReign ends a reign in its own time.
func (m *Machine) stopReign(why string) {
	switch m.state {
	case heartbeat.StateOpening: // the others have heard of it: they are told of its end
		m.resign(why)
	case heartbeat.StateMaster:
		m.setState(heartbeat.StateDraining, why)
		m.event(election.Event{Type: election.EventStopWork, Detail: why})
	}
}

// handOver stops the work; position 1 takes over when this one is silent.
func (m *Machine) handOver(in election.Handover) {
	if m.state != heartbeat.StateMaster {
		return
	}
	heir := m.heir()
	if in.NoClaimFor == 0 && heir == nil {
		m.event(election.Event{Type: election.EventHandoverFails, Detail: "no other instance is heard"})
		return
	}
	e := election.Event{Type: election.EventHandover, Detail: in.Reason}
	if heir != nil {
		e.Peer = heir.id
	}
	m.event(e)
	if until := m.now + in.NoClaimFor; until > m.pauseUntil {
		m.pauseUntil, m.pauseWhy = until, in.Reason
	}
	m.stopReign(in.Reason)
}

// heir is the slave that is promoted next.
func (m *Machine) heir() (heir *peer) {
	m.inLine(func(p *peer) {
		if p.place > 0 && (heir == nil || p.place < heir.place) {
			heir = p
		}
	})
	return heir
}

// workStopped: nothing of the workload runs any more.
func (m *Machine) workStopped() {
	switch m.state {
	case heartbeat.StateDraining:
		m.resign("the work has ended")
	case heartbeat.StateStopping:
		m.endReign("the work has ended")
	}
}

// resign ends a reign that was meant to end. The master falls silent as such;
// as a slave it stands at the end of the line, where no Java instance has to
// look for another place. One of ours at position 1 sees by that ping that it
// need not wait.
func (m *Machine) resign(why string) {
	m.reign = reign{}
	m.setState(heartbeat.StateSlave, why)
	m.place = place{away: true}
	if m.mayBecomeMaster() {
		m.setPlace(m.end(), "the end of the line")
		m.pingAtOnce()
		return
	}
	m.send(heartbeat.StateSlave, m.end())
	if m.leaving {
		m.goodbye()
	}
}

// endReign becomes a slave after a reign that was lost.
func (m *Machine) endReign(why string) {
	m.setState(heartbeat.StateSlave, why)
	if m.leaving {
		m.goodbye()
	}
}
