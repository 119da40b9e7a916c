package election

import (
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// turn is when this slave may claim: base, by which no master is known any
// more, and at, its own place behind those that should claim before it.
type turn struct {
	base time.Duration
	at   time.Duration
}

// tickSlave ends listening and, without a master, waits for its turn to claim.
func (m *Machine) tickSlave() {
	switch m.state {
	case heartbeat.StateListening:
		if m.now < m.listenUntil {
			return
		}
		m.setState(heartbeat.StateSlave, "no master is heard")
	case heartbeat.StateSlave:
	default:
		return
	}
	if m.masterHolds() {
		return
	}
	suspect := m.suspect() && m.masterLive()
	if !suspect {
		m.noteNoMaster()
	}
	if m.heirClaims() {
		return
	}
	base, slot := m.claimBase()
	if base != m.turn.base {
		m.turn = turn{base: base}
	}
	if m.now < base {
		if base >= never {
			m.noteBlocked()
		}
		return
	}
	if m.turn.at == 0 {
		// Chance parts those who do not agree on their ranks, as when not all have
		// heard of the death yet. The first has nobody to wait for.
		spread, rank := slot/20, 0
		if m.on(RuleStagger) {
			if rank = m.rank(); rank > 0 {
				spread = slot / 2
			}
		}
		m.turn.at = m.now + time.Duration(rank)*slot + m.rng.upTo(spread)
	}
	if m.now < m.turn.at {
		return
	}
	if !m.mayClaim() {
		if !suspect {
			m.noteNoCandidate()
		}
		return
	}
	kind := claimTimeout
	switch {
	case m.diedProved():
		kind = claimDead
	case suspect:
		kind = claimRefused
	}
	m.startClaim(kind)
}

// claimBase is the time from which slaves take their turns, and the distance
// between two of them.
func (m *Machine) claimBase() (base, slot time.Duration) {
	slot = m.t.Slot
	switch {
	case m.diedProved():
		base = m.noMaster
		slot = min(slot, 2*m.short())
	case m.follow.over:
		base = m.noMaster
	case m.suspect():
		base = m.follow.refusedAt
		slot = min(slot, 2*m.refusedWindow())
	default:
		base = m.follow.at + max(m.t.Down, m.follow.lease)
		if m.follow.Instance.IsZero() {
			base = m.noMaster
		}
	}
	if m.follow.over && m.resignedBy(m.follow.Instance) && !m.resigned.Heir.IsZero() && m.on(RuleHeir) {
		base += m.t.Backoff // the heir goes first
		if m.follow.Instance == m.cfg.Self {
			base += m.t.Down
		}
	}
	base = max(base, m.backoffUntil, m.pauseUntil)
	if !m.diedProved() || !m.listened(m.follow.Instance) {
		base = max(base, m.listenUntil)
	}
	for _, p := range m.peers {
		base = max(base, p.holds)
	}
	if m.cfg.Quorum > 0 {
		base = max(base, m.embargoUntil)
		if m.promised() && m.promise.to != m.cfg.Self && m.on(RulePromise) {
			base = max(base, m.promise.until)
		}
	}
	base += m.sureWait()
	return base, slot
}

// listen lets some time go by without a claim, to hear who reigns.
func (m *Machine) listen(d time.Duration) {
	m.listenFrom = m.now
	m.listenUntil = max(m.listenUntil, m.now+d)
}

// listened reports whether a peer was heard itself since listening began. Of a
// master whose death is proved, that is all there was to hear.
func (m *Machine) listened(id heartbeat.InstanceID) bool {
	pe := m.peer(id)
	return pe != nil && pe.heardAt > m.listenFrom
}

func (m *Machine) diedProved() bool { return m.follow.over && !m.follow.obituary.Instance.IsZero() }

// candidate reports whether this instance is meant to become master: no witness,
// and with a quorum one that votes.
func (m *Machine) candidate() bool {
	return m.cfg.Candidate && (m.cfg.Quorum == 0 || m.isVoter(m.cfg.Node))
}

// mayClaim reports whether this instance may become master at all.
func (m *Machine) mayClaim() bool {
	if !m.candidate() || m.disk.Drained || m.unhealthy || m.leaving || m.fault != "" || m.inMaintenance() {
		return false
	}
	if m.cfg.Quorum > 0 {
		if m.disk.Unsure || m.quorumDiffers() {
			return false
		}
		return true
	}
	m.checkIsolation()
	return !m.isolated
}

// quorumDiffers reports whether a confirmed peer goes by another quorum.
func (m *Machine) quorumDiffers() bool {
	for _, p := range m.peers {
		if p.quorum != m.cfg.Quorum && m.confirmed(p) {
			return true
		}
	}
	return false
}

// noteNoCandidate tells once that nobody took over for two leases.
func (m *Machine) noteNoCandidate() {
	if m.told.noCandidate || m.now < m.noMaster+2*m.t.Down {
		return
	}
	for _, p := range m.peers {
		if m.hears(p) && eligible(p) {
			return
		}
	}
	m.told.noCandidate = true
	if m.disk.Drained && m.othersDrained() {
		m.event(Event{Type: EventNoCandidate, Detail: "all instances are drained: resume one"})
		return
	}
	m.event(Event{Type: EventNoCandidate, Detail: "no instance may become master: resume one, end maintenance, or promote --force"})
}

// othersDrained reports whether whoever else is heard is drained, or a witness.
func (m *Machine) othersDrained() bool {
	for _, p := range m.peers {
		if m.hears(p) && p.flags.Has(heartbeat.FlagCandidate) && !p.flags.Has(heartbeat.FlagDrained) {
			return false
		}
	}
	return true
}

// noteBlocked tells once that nobody may take over without an order.
func (m *Machine) noteBlocked() {
	if m.told.noCandidate || m.noMaster == 0 || m.now < m.noMaster+2*m.t.Down || m.sureHeard() {
		return
	}
	m.told.noCandidate = true
	m.event(Event{Type: EventNoCandidate, Detail: "no instance surely holds all that was acknowledged: bring one back, or promote --force"})
}

// hearClaim takes in a claim of a peer.
func (m *Machine) hearClaim(pe *peer, p *heartbeat.Packet) {
	switch m.state {
	case heartbeat.StateOpening, heartbeat.StateMaster, heartbeat.StateDraining:
		if m.on(RuleObject) && !m.answerRefused(pe, p) {
			m.extra(heartbeat.KindHeartbeat) // the objection
		}
	case heartbeat.StateClaiming:
		m.crossed(pe, p)
	case heartbeat.StateListening, heartbeat.StateSlave:
		if m.answerRefused(pe, p) {
			return
		}
		if m.masterHolds() && m.follow.Instance != pe.id && !p.Flags.Has(heartbeat.FlagRefused) {
			if m.on(RuleRelay) {
				m.extra(heartbeat.KindHeartbeat) // the objection, relayed
			}
			if m.masterUntil()-m.now >= m.t.Delay {
				return
			}
			// The master is overdue here too: if it stays silent, that one is first.
		}
		if m.cfg.Quorum > 0 && !m.confirmed(pe) && m.on(RuleConfirmed) {
			return // it may hear nobody and never win
		}
		if pe.claims > 1 && m.on(RuleFailedClaim) {
			return // it failed before: don't wait for it again
		}
		if m.on(RuleBackOff) {
			pe.holds = m.now + max(m.t.Backoff, pe.delay*3)
		}
	}
}

// becomeFault takes an instance out that may neither vote nor claim.
func (m *Machine) becomeFault(why string) {
	if m.fault != "" {
		return
	}
	m.fault = why
	m.event(Event{Type: EventFault, Detail: why})
	switch {
	case m.state == heartbeat.StateClaiming:
		m.withdraw(why)
		m.setState(heartbeat.StateFault, why)
	case m.state.Reigns():
		m.lose(why, heartbeat.InstanceID{})
	case m.state != heartbeat.StateStopping:
		m.setState(heartbeat.StateFault, why)
	}
}

// endFault takes part again once the cause is gone.
func (m *Machine) endFault() {
	m.fault = ""
	if m.state == heartbeat.StateFault {
		m.listen(m.t.Down)
		m.setState(heartbeat.StateSlave, "the fault is gone")
	}
}
