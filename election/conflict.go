package election

import (
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// conflict decides between this master and another one that is heard. If they
// hear each other, the greater token reigns on. If only we hear it, we are the
// one that the others do not hear, unless it hears nobody at all.
func (m *Machine) conflict(pe *peer) {
	if pe.conflictAt == 0 {
		pe.conflictAt = m.now
		m.event(Event{Type: EventConflict, Peer: pe.id, Epoch: pe.epoch})
	}
	switch {
	case m.hearsUs(pe, m.t.Mute):
		if !m.on(RuleYield) {
			return
		}
		if (token{pe.epoch, pe.id}).outranks(token{m.reign.epoch, m.cfg.Self}) {
			m.yield(pe, "another master outranks this one")
			return
		}
		m.extra(heartbeat.KindHeartbeat)
	case m.now-pe.conflictAt < m.t.Mute:
		m.extra(heartbeat.KindHeartbeat) // perhaps it hears this one
	case m.deaf(pe) && m.on(RuleDeaf):
		m.event(Event{Type: EventDeafPeer, Peer: pe.id})
		pe.conflictAt = m.now
	case !pe.ever && token{m.reign.epoch, m.cfg.Self}.outranks(token{pe.epoch, pe.id}):
		// It never heard us and reigned before us: so sounds a recording.
		m.event(Event{Type: EventDeafPeer, Peer: pe.id, Detail: "perhaps a recording of an earlier master"})
		pe.conflictAt = m.now
	case m.on(RuleMute):
		m.event(Event{Type: EventMute, Peer: pe.id})
		m.yield(pe, "the other master does not hear this one")
	}
}

// deaf reports whether pe hears nobody while somebody hears us.
func (m *Machine) deaf(pe *peer) bool {
	if !pe.deaf {
		return false
	}
	for _, p := range m.peers {
		if p != pe && m.confirmed(p) {
			return true
		}
	}
	return false
}

// yield ends this reign in favour of pe's.
func (m *Machine) yield(pe *peer, why string) {
	m.lose(why, pe.id)
	m.setFollow(following{
		Sighting: heartbeat.Sighting{Instance: pe.id, Epoch: pe.epoch, Seq: pe.seq},
		at:       m.now, lease: pe.lease, cache: pe.cache,
	})
	m.sight(m.follow.Sighting)
}

// reigned notes who reigned under an epoch. If two did, sinks may have seen the
// token of either: the master must go above both (tickReign), and whoever has
// heard of both tells it, for it may have heard of one alone.
func (m *Machine) reigned(epoch uint64, by heartbeat.InstanceID) {
	switch {
	case epoch < m.disk.Reigned || epoch == m.disk.Reigned && by == m.reignedBy:
	case epoch > m.disk.Reigned || m.reignedBy.IsZero():
		m.disk.Reigned, m.reignedBy = epoch, by
		if m.cfg.Quorum == 0 && by == m.cfg.Self {
			m.disk.Granted, m.disk.GrantedTo = epoch, by // known after a restart too
		}
	default:
		m.disk.Reigned, m.reignedBy = min(epoch+1, heartbeat.MaxEpoch), heartbeat.InstanceID{}
		m.store()
	}
}

// inConflict reports whether another master is heard.
func (m *Machine) inConflict() bool {
	for _, p := range m.peers {
		if p.conflictAt > 0 && m.hears(p) {
			return true
		}
	}
	return false
}

// checkConflicts forgets conflicts with masters that fell silent.
func (m *Machine) checkConflicts() {
	for _, p := range m.peers {
		if p.conflictAt > 0 && (!m.hears(p) || !m.state.Reigns()) {
			p.conflictAt = 0
		}
	}
}

// checkIsolation finds out whether this instance was cut off: two or more
// confirmed peers fell silent within one lease of each other, none said
// goodbye or is known to have stopped, and none is heard.
func (m *Machine) checkIsolation() {
	if m.isolated || m.cfg.Isolation != IsolationAuto || m.needsVotes() || !m.on(RuleIsolation) {
		return
	}
	if m.state != heartbeat.StateMaster && m.state != heartbeat.StateDraining && m.state != heartbeat.StateOpening && m.state != heartbeat.StateSlave {
		return
	}
	if m.reign.forced && m.state.Reigns() {
		return
	}
	var last time.Duration
	for _, p := range m.peers {
		if m.now-p.heardAt <= max(m.t.Lease, p.lease*4/5) && !p.left && !p.gone {
			return
		}
		if p.counts() {
			last = max(last, p.heardAt)
		}
	}
	lost := 0
	for _, p := range m.peers {
		if p.counts() && last-p.heardAt <= max(m.t.Down, p.lease) {
			lost++
		}
	}
	if lost < 2 {
		return
	}
	m.isolated = true
	m.event(Event{Type: EventIsolated, Detail: "no peer is heard any more; if they are really gone, use: promote --force"})
	if m.state.Reigns() {
		m.lose("isolated", heartbeat.InstanceID{})
	}
}

// counts reports whether p's silence says something about the network.
func (p *peer) counts() bool { return p.ever && !p.left && !p.gone && !p.refused }

// tickMaintenance ends maintenance when its time is over.
func (m *Machine) tickMaintenance() {
	if m.maintenance.until > 0 && m.now >= m.maintenance.until {
		m.maintenance.until = 0
		m.turn = turn{}
		m.backoffUntil = max(m.backoffUntil, m.now)
		m.event(Event{Type: EventMaintenance, Detail: "ended"})
	}
}

func (m *Machine) inMaintenance() bool { return m.now < m.maintenance.until }

// maxMaintenance is what a packet can carry: 32 bits of milliseconds.
const maxMaintenance = 49 * 24 * time.Hour

func (m *Machine) setMaintenance(d time.Duration) {
	d = min(d, maxMaintenance)
	m.maintenance.version++
	m.changeMaintenance(d)
	m.sendEverywhere(heartbeat.KindHeartbeat)
}

func (m *Machine) learnMaintenance(p *heartbeat.Packet) {
	if p.Maintenance.Version > m.maintenance.version {
		m.maintenance.version = p.Maintenance.Version
		m.changeMaintenance(p.Maintenance.Left)
	}
}

func (m *Machine) changeMaintenance(d time.Duration) {
	was := m.inMaintenance()
	m.maintenance.until = 0
	if d > 0 {
		m.maintenance.until = m.now + d
	}
	if was || d > 0 {
		detail := "ended"
		if d > 0 {
			detail = "for " + d.String()
		}
		m.event(Event{Type: EventMaintenance, Detail: detail})
	}
	if d > 0 && m.state == heartbeat.StateClaiming && m.claim.kind != claimForced {
		m.withdraw("maintenance")
	}
}
