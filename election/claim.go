package election

import (
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// claimKind says what a claim rests on.
type claimKind uint8

const (
	claimTimeout claimKind = iota // the master fell silent
	claimHeir                     // the master resigned and named this instance
	claimDead                     // the master is proved dead
	claimForced                   // an operator said so
	claimRefused                  // the master's host refuses connections
)

// claim is "I take over unless you object".
type claim struct {
	kind     claimKind
	epoch    uint64
	order    heartbeat.Order // frozen at its start
	resigned heartbeat.Resignation
	obituary heartbeat.Obituary

	saveSeq  uint64
	stored   bool          // may be told
	firstSeq uint64        // only votes for this packet or later ones count
	start    time.Duration // of the window
	window   time.Duration
	nextSend time.Duration
	until    time.Duration // when it has failed
	raised   bool          // went to a greater epoch once because of a crossed claim
	sure     bool          // frozen at its start, like the order
	cold     bool          // nothing is known that could be lost
}

// startClaim chooses the epoch and has it stored; the claim goes out after that.
func (m *Machine) startClaim(kind claimKind) {
	c := claim{kind: kind, order: heartbeat.Order{Position: m.cfg.Position, N: m.log.N}, window: m.t.Window, until: m.now + m.t.Down,
		sure: m.sure(), cold: m.cold()}
	switch kind {
	case claimHeir:
		c.resigned = m.resigned.Resignation
		if m.cfg.Quorum == 0 {
			c.window = 0 // the resignation is the permission
		}
	case claimDead:
		c.obituary = m.follow.obituary
		c.window = m.short()
	case claimRefused:
		c.window = m.refusedWindow()
	}
	if !m.on(RuleWindow) {
		c.window = 0
	}
	c.epoch = min(m.disk.MaxEpoch+1, heartbeat.MaxEpoch) // as raiseClaim does; told with the state
	m.claim = c
	m.aim()
	m.setState(heartbeat.StateClaiming, [...]string{
		"the master fell silent", "the master resigned", "the master is dead", "ordered by an operator", "the master's host refuses"}[kind])
	m.raiseClaim()
}

// raiseClaim gives the claim an epoch above all that were seen and starts its
// window anew once that is stored.
func (m *Machine) raiseClaim() {
	c := &m.claim
	c.epoch = m.nextEpoch()
	if m.cfg.Quorum > 0 {
		m.disk.Granted, m.disk.GrantedTo = c.epoch, m.cfg.Self
		m.promise = promise{to: m.cfg.Self, until: m.now + m.t.Down}
	}
	c.saveSeq = m.store()
	c.stored = false
	if !m.on(RuleSaveFirst) {
		m.claimStored()
	}
}

// claimStored begins the window of a claim whose epoch is stored.
func (m *Machine) claimStored() {
	c := &m.claim
	if m.state != heartbeat.StateClaiming || c.stored || !m.isStored(c.saveSeq) {
		return
	}
	c.stored = true
	c.until = max(c.until, m.now+m.t.Down)
	c.firstSeq = m.seq + 1
	c.start = m.now
	c.nextSend = m.now
}

// tickClaim repeats the claim, and ends it one way or the other.
func (m *Machine) tickClaim() {
	if m.state != heartbeat.StateClaiming {
		return
	}
	c := &m.claim
	if m.now >= c.until {
		m.failed++
		if m.needsVotes() {
			m.event(Event{Type: EventNoMajority, Detail: m.votesMissing()})
		}
		m.withdraw("nobody confirmed the claim")
		m.backoffUntil = m.now + m.t.Backoff + m.rng.upTo(min(m.t.Down, m.t.Delay<<min(m.failed, 10)))
		return
	}
	if !c.stored {
		return
	}
	if m.now >= c.nextSend {
		m.sendEverywhere(heartbeat.KindClaim)
		gap := m.t.Window / 3
		if c.kind == claimDead || c.kind == claimRefused {
			gap = min(gap, (m.now-c.start)/2) // soon, and rarely once votes stay away
		}
		c.nextSend = m.now + max(time.Millisecond, c.window/3, gap)
	}
	if m.claimWon() {
		m.becomeOpening()
	}
}

// claimWon: without a quorum, nobody objected for a window. With one, a
// majority of votes binds those who gave them for some time yet.
func (m *Machine) claimWon() bool {
	c := &m.claim
	waited := m.now >= c.start+c.window
	if m.needsVotes() {
		return (waited || c.kind == claimHeir || c.kind == claimDead) && m.votesUntil(c.firstSeq, c.epoch) > m.now
	}
	return waited
}

// needsVotes reports whether the present claim or reign rests on votes.
func (m *Machine) needsVotes() bool {
	forced := m.state == heartbeat.StateClaiming && m.claim.kind == claimForced || m.state.Reigns() && m.reign.forced
	return m.cfg.Quorum > 0 && !forced
}

// withdraw gives the claim up and frees the votes for it.
func (m *Machine) withdraw(why string) {
	told := m.claim.stored
	if m.claim.kind == claimRefused {
		m.trustAfter = m.now + m.t.Backoff
	}
	if m.promise.to == m.cfg.Self {
		m.promise = promise{}
	}
	m.turn = turn{}
	m.setState(heartbeat.StateSlave, why)
	if told {
		m.sendEverywhere(heartbeat.KindWithdraw)
	}
}

// crossed decides between our claim and a peer's: the one that should claim
// goes on, under an epoch of its own; the other backs off.
func (m *Machine) crossed(pe *peer, p *heartbeat.Packet) {
	c := &m.claim
	if !m.on(RuleCrossed) || c.kind == claimForced {
		return
	}
	own := m.ownKey()
	own.heir = c.kind == claimHeir
	own.sure, own.position, own.n = c.sure, c.order.Position, c.order.N
	if p.Flags.Has(heartbeat.FlagForced) || compareKey(claimKey(p), own) < 0 {
		if m.cfg.Quorum > 0 && !m.confirmed(pe) && m.on(RuleConfirmed) {
			return // it cannot win
		}
		m.withdraw("another claim goes first")
		m.backoffUntil = max(m.backoffUntil, m.now+max(m.t.Backoff, 3*pe.delay))
		return
	}
	c.until = max(c.until, m.now+m.t.Backoff) // the other one's vote is to be had
	if p.Epoch >= c.epoch && !c.raised && c.stored {
		c.raised = true
		m.raiseClaim()
		return
	}
	if c.stored {
		m.extra(heartbeat.KindClaim)
	}
}

// hearRefusal: a voter has granted a greater epoch; go above it and ask again.
func (m *Machine) hearRefusal(p *heartbeat.Packet) {
	if m.state == heartbeat.StateClaiming && m.claim.stored && m.needsVotes() &&
		p.Promise.Epoch >= m.claim.epoch && p.Promise.Instance != m.cfg.Self && m.on(RuleRaise) {
		m.raiseClaim()
	}
}

// promote is an operator's order to claim.
func (m *Machine) promote(force bool) {
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave, heartbeat.StateFault:
	case heartbeat.StateOpening:
		m.reign.insist = m.reign.insist || force // opens without what a peer holds
		return
	case heartbeat.StateClaiming:
		if !force || m.claim.kind == claimForced {
			return
		}
		m.withdraw("ordered by an operator") // the claim that waits for votes makes way for one that needs none
	default:
		return
	}
	if m.masterLive() {
		if force {
			m.request(m.cfg.Self, true)
		}
		return
	}
	m.pauseUntil, m.backoffUntil = 0, 0
	if !force {
		bound := m.cfg.Quorum > 0 && (m.now < m.embargoUntil || m.promised() && m.promise.to != m.cfg.Self)
		if m.mayClaim() && m.now >= m.listenUntil && !bound && !m.heldBack() {
			m.startClaim(claimTimeout)
		}
		return
	}
	m.isolated = false
	m.fault = ""
	m.startClaim(claimForced)
}
