package position

import (
	"bytes"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// tickSlave finds a place in the line, moves up in it, and at its head becomes
// master when there is none.
func (m *Machine) tickSlave() {
	if m.now >= m.started+m.t.quiet {
		m.setState(heartbeat.StateSlave, "listened")
	}
	if m.yield.until > 0 || m.state != heartbeat.StateSlave || m.now < m.hushUntil {
		return
	}
	if !m.mayBecomeMaster() {
		m.leaveLine()
		if m.on(RuleMute) {
			return
		}
	}
	m.takePlace()
	m.moveUp()
	if !m.ready() {
		m.readyAt = 0
		return
	}
	if m.readyAt == 0 {
		m.readyAt = max(m.now, 1)
	}
	if m.now >= m.readyAt+m.patience() {
		m.promote("position 1, and no master is heard")
	}
}

// ready reports whether this slave is to be promoted, but for a collision.
func (m *Machine) ready() bool {
	told := m.place.toldAt > 0 && m.now >= m.place.toldAt+m.t.settle
	return m.place.n == 1 && !m.master.known && m.now >= m.listenUntil && m.mayBecomeMaster() &&
		(told || !m.on(RuleSettle))
}

// patience is how much longer to wait with a collision in sight. A Java
// instance that holds place 1 as well, or is on its way to it, either becomes
// master within that time, or, seeing the collision, never does. Of ours
// the one with the highest id goes first: it would win a conflict too.
func (m *Machine) patience() time.Duration {
	clash, zero := m.crowd()
	if clash == nil && !zero || !m.on(RuleCollision) {
		return 0
	}
	wait := 2 * m.t.interval
	if m.javaInSight() {
		wait = m.t.java
	}
	higher := false
	m.inLine(func(p *peer) {
		higher = higher || p.ours && p.place == m.place.n && bytes.Compare(p.id[:], m.cfg.Self[:]) > 0
	})
	if higher {
		wait += 2 * m.t.interval
	}
	return wait
}

// health notes the result of the workload's check.
func (m *Machine) health(ok bool) {
	m.unhealthy = !ok
	if ok {
		return
	}
	const why = "its health check fails"
	switch m.state {
	case heartbeat.StateMaster:
		m.handOver(election.Handover{NoClaimFor: time.Nanosecond, Reason: why})
	case heartbeat.StateOpening: // the check tells changes only: it will not say so again
		m.stopReign(why)
	}
}

// drain gives the role up and stays out.
func (m *Machine) drain() {
	if m.drained {
		return
	}
	m.drained, m.save.dirty = true, true
	m.stopReign("drained")
}

// resume takes part again.
func (m *Machine) resume() {
	if m.drained {
		m.drained, m.save.dirty = false, true
	}
	m.pauseUntil = 0
}

// promoteByOrder becomes master whatever the place, unless there is a master.
func (m *Machine) promoteByOrder() {
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave:
		if !m.master.known && m.mayBecomeMaster() {
			m.promote("by order")
		}
	}
}

// stop ends it all.
func (m *Machine) stop() {
	if m.leaving {
		return
	}
	m.leaving = true
	m.stopReign("stopped")
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave:
		m.goodbye()
	}
}

func (m *Machine) goodbye() {
	if m.left {
		return
	}
	m.leaveLine()
	m.left = true
	m.event(election.Event{Type: election.EventStopped})
}
