package election

import (
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// handover is a planned change of master, from the question to the heir to
// the resignation.
type handover struct {
	active   bool
	to       heartbeat.InstanceID   // who was asked for by name; zero = the best
	heir     heartbeat.InstanceID   // who is being asked, or has agreed
	asked    []heartbeat.InstanceID // who did not answer
	ready    bool
	sealing  bool          // EventSeal was told
	deadline time.Duration // of the answer, or of the heir's log; 0 = none
	repeat   time.Duration // when to ask the heir once more
	must     bool          // resign even without an heir
	reason   string
	by       heartbeat.InstanceID // who passed the order on; zero = it was given here
	again    bool                 // that order was refused already; only what is new is told
}

// vainOrder is one that was passed on to this master and came to nothing. It
// is repeated by who passed it on, and tried each time: the next try may do better.
type vainOrder struct {
	by, to heartbeat.InstanceID
	at     time.Duration
}

// orderHandover begins a hand-over on this instance's own account.
func (m *Machine) orderHandover(in Handover) {
	if in.NoClaimFor > 0 {
		m.pauseUntil, m.pauseWhy = m.now+in.NoClaimFor, in.Reason
	}
	m.beginHandover(in.To, in.NoClaimFor > 0, in.Reason)
}

// wish is an operator's order that only the master can carry out. The packet
// that asks it may be lost, so it is repeated for a while.
type wish struct {
	master heartbeat.InstanceID // who is asked; zero = nobody
	to     heartbeat.InstanceID // who is to take over; zero = the best
	forced bool
	next   time.Duration
	until  time.Duration
}

// request hands over if this is the master, else asks the one that is.
func (m *Machine) request(to heartbeat.InstanceID, forced bool) {
	if m.state == heartbeat.StateMaster {
		m.beginHandover(to, false, "asked by an operator")
		return
	}
	if m.masterLive() && !m.state.Reigns() && (m.cfg.Signed || forced) {
		m.wish = wish{master: m.follow.Instance, to: to, forced: forced, next: m.now, until: m.now + 5*m.t.Prepared}
	}
}

// tickWish asks, and again, until another master is followed.
func (m *Machine) tickWish() {
	w := &m.wish
	if w.master.IsZero() {
		return
	}
	pe := m.peer(w.master)
	if m.now >= w.until || m.follow.Instance != w.master || !m.masterLive() || pe == nil {
		*w = wish{}
		return
	}
	if m.now < w.next {
		return
	}
	w.next = m.now + m.t.Prepared/4
	m.sendTo(heartbeat.KindRequest, pe.addr)
	p := m.out.Send[len(m.out.Send)-1].Packet
	p.Resigned = heartbeat.Resignation{Heir: w.to}
	if w.forced {
		p.Flags |= heartbeat.FlagForced
	}
}

func (m *Machine) beginHandover(to heartbeat.InstanceID, must bool, reason string) {
	if m.hand.active {
		m.hand.again = false // who gives the order here waits for what is told
		if must {
			m.hand.must, m.hand.to = true, heartbeat.InstanceID{} // anyone, rather than nobody
		}
		return
	}
	switch m.state {
	case heartbeat.StateMaster:
	case heartbeat.StateOpening: // has no work yet: nothing to hand over
		if must {
			m.lose(reason, heartbeat.InstanceID{})
		}
		return
	default:
		return
	}
	m.startHandover(handover{to: to, must: must, reason: reason})
}

func (m *Machine) startHandover(h handover) {
	h.active = true
	m.hand = h
	if !h.again {
		m.event(Event{Type: EventHandover, Peer: h.to, Detail: h.reason})
	}
	m.askNextHeir()
}

// hearRequest: an operator wants of another instance what only the master can do.
func (m *Machine) hearRequest(pe *peer, p *heartbeat.Packet) {
	if m.state != heartbeat.StateMaster || m.hand.active || !m.cfg.Signed && !p.Flags.Has(heartbeat.FlagForced) {
		return
	}
	r, to := m.vain, p.Resigned.Heir
	m.startHandover(handover{to: to, reason: "asked by an operator", by: pe.id,
		again: r.by == pe.id && r.to == to && m.now < r.at+m.t.Prepared})
}

// askNextHeir asks the best peer that was not asked yet. Without one, a master
// that must go goes; another reigns on.
func (m *Machine) askNextHeir() {
	h := &m.hand
	var best *peer
	for _, p := range m.peers {
		if !h.to.IsZero() && p.id != h.to || slices.Contains(h.asked, p.id) || !m.confirmed(p) || !eligible(p) {
			continue
		}
		if best == nil || compareKey(peerKey(p), peerKey(best)) < 0 {
			best = p
		}
	}
	if best == nil || m.inMaintenance() && h.must {
		if h.must {
			h.heir = heartbeat.InstanceID{}
			m.becomeDraining()
			return
		}
		if !h.again {
			m.event(Event{Type: EventHandoverFails, Peer: h.to, Detail: "no peer is ready to take over"})
		}
		m.vain = vainOrder{h.by, h.to, m.now}
		m.hand = handover{}
		return
	}
	h.heir = best.id
	h.asked = append(h.asked, best.id)
	h.deadline = m.now + m.t.Prepared
	m.prepare(best)
}

// prepare asks an heir; a question or an answer may be lost, so it is repeated.
func (m *Machine) prepare(heir *peer) {
	m.hand.repeat = m.now + m.t.Prepared/4
	m.sendTo(heartbeat.KindPrepare, heir.addr)
	m.out.Send[len(m.out.Send)-1].Packet.Resigned = heartbeat.Resignation{Heir: heir.id}
}

// hearPrepare: the master asks whether we would take over.
func (m *Machine) hearPrepare(pe *peer, p *heartbeat.Packet) {
	if p.Resigned.Heir == m.cfg.Self && m.follow.Instance == pe.id && m.state == heartbeat.StateSlave && m.mayBeHeir() {
		m.sendTo(heartbeat.KindReady, pe.addr)
	}
}

// mayBeHeir is mayClaim without what an operator's wish overrules.
func (m *Machine) mayBeHeir() bool {
	return m.candidate() && !m.disk.Drained && !m.unhealthy && !m.leaving && m.fault == "" && m.now >= m.pauseUntil
}

// hearReady: the heir agrees; the work can be stopped.
func (m *Machine) hearReady(pe *peer) {
	if m.state == heartbeat.StateMaster && m.hand.active && m.hand.heir == pe.id && !m.hand.ready {
		m.hand.ready = true
		if m.hand.again {
			m.event(Event{Type: EventHandover, Peer: m.hand.to, Detail: m.hand.reason})
		}
		m.becomeDraining()
	}
}

// becomeDraining stops the work while the lease is still renewed.
func (m *Machine) becomeDraining() {
	m.hand.deadline = 0
	m.setState(heartbeat.StateDraining, m.hand.reason)
	m.event(Event{Type: EventStopWork, Epoch: m.reign.epoch, Detail: m.hand.reason})
}

// workDrained: the work has stopped in a planned hand-over. The log ends; the
// heir may need a moment to hold all of it.
func (m *Machine) workDrained() {
	h := &m.hand
	if h.sealing {
		return
	}
	if !m.on(RuleSeal) {
		m.finishHandover(false)
		return
	}
	h.sealing = true
	h.deadline = m.now + m.t.Seal
	e := Event{Type: EventSeal, Peer: h.heir, Epoch: m.reign.epoch}
	if pe := m.peer(h.heir); pe != nil {
		e.Addr = pe.cache
	}
	m.event(e)
}

// sealed: the log has ended, and the heir holds it, or will not in time.
func (m *Machine) sealed(in Sealed) {
	if m.state != heartbeat.StateDraining || !m.hand.sealing {
		return
	}
	m.log = in.Log
	m.finishHandover(in.Acked)
}

// tickHandover looks at the deadlines.
func (m *Machine) tickHandover() {
	h := &m.hand
	if !h.active || h.deadline == 0 {
		return
	}
	switch m.state {
	case heartbeat.StateMaster:
		if m.now >= h.deadline {
			m.askNextHeir()
		} else if pe := m.peer(h.heir); pe != nil && m.now >= h.repeat {
			m.prepare(pe)
		}
	case heartbeat.StateDraining:
		if pe := m.peer(h.heir); m.now >= h.deadline || !h.heir.IsZero() && (pe == nil || !m.hears(pe)) {
			m.finishHandover(false)
		}
	}
}

// finishHandover resigns once the heir holds the whole log, or does not get it
// in time; it will pull the rest from us. An heir that has left or died is none.
func (m *Machine) finishHandover(acked bool) {
	heir := m.hand.heir
	if pe := m.peer(heir); pe == nil || pe.left || pe.gone {
		heir = heartbeat.InstanceID{}
	}
	e := Event{Type: EventSealed, Peer: heir, Epoch: m.reign.epoch, To: m.log}
	if !acked && !heir.IsZero() {
		e.Detail = "the heir did not acknowledge all of the log in time"
	}
	m.event(e)
	m.resign(heir)
}

// resign ends the reign and says who follows.
func (m *Machine) resign(heir heartbeat.InstanceID) {
	r := heartbeat.Resignation{Instance: m.cfg.Self, Epoch: m.reign.epoch, Heir: heir, Log: m.log}
	m.resigned = resignation{Resignation: r, until: m.now + m.t.Down, again: 2, nextSend: m.now + m.t.Extra}
	m.hand = handover{}
	if m.promise.to == m.cfg.Self {
		m.promise = promise{}
	}
	m.follow = following{Sighting: heartbeat.Sighting{Instance: m.cfg.Self, Epoch: r.Epoch}, at: m.now, over: true}
	m.noMaster = m.now
	m.turn = turn{}
	if m.fault != "" {
		m.setState(heartbeat.StateFault, m.fault)
	} else {
		m.setState(heartbeat.StateSlave, "resigned")
	}
	m.sendEverywhere(heartbeat.KindResign)
	if m.leaving {
		m.goodbye()
	}
}

// noteResignation takes in a resignation, told by the one who resigned or by
// its heir. It ends that reign, and no later one.
func (m *Machine) noteResignation(r *heartbeat.Resignation) {
	if r.Instance.IsZero() || r.Instance == m.cfg.Self {
		return
	}
	if m.promise.to == r.Instance {
		if pe := m.peer(r.Instance); pe != nil && pe.epoch <= r.Epoch {
			m.promise = promise{}
			m.turn = turn{}
		}
	}
	if m.follow.Instance != r.Instance || m.follow.Epoch > r.Epoch {
		return
	}
	if !m.follow.over {
		m.follow.over = true
		m.noteNoMaster()
	}
	if m.resigned.Resignation != *r {
		m.resigned.Resignation = *r
		m.resigned.until = m.now // known, not repeated
		m.resigned.again = 0
		m.resigned.at = m.now
		m.turn = turn{}
	}
}

func (m *Machine) resignedBy(id heartbeat.InstanceID) bool { return m.resigned.Instance == id }

// heirClaims claims at once if the followed master resigned and named us.
func (m *Machine) heirClaims() bool {
	if !m.follow.over || !m.resignedBy(m.follow.Instance) || m.resigned.Heir != m.cfg.Self ||
		m.resigned.Epoch < m.follow.Epoch || !m.mayBeHeir() || !m.on(RuleHeir) || m.failed > 0 || m.now-m.resigned.at > m.t.Backoff {
		return false
	}
	if m.cfg.Quorum > 0 && (m.now < m.embargoUntil || m.promised() && m.promise.to != m.cfg.Self || m.disk.Unsure) {
		return false
	}
	m.startClaim(claimHeir)
	return true
}

// stop leaves the cluster: a master hands over first.
func (m *Machine) stop() {
	if m.leaving {
		return
	}
	m.leaving = true
	switch m.state {
	case heartbeat.StateMaster:
		m.beginHandover(heartbeat.InstanceID{}, true, "stops")
	case heartbeat.StateOpening:
		m.lose("stops", heartbeat.InstanceID{})
	case heartbeat.StateClaiming:
		m.withdraw("stops")
		m.goodbye()
	case heartbeat.StateDraining, heartbeat.StateStopping:
	default:
		m.goodbye()
	}
}

// goodbye is the last word, said three times.
func (m *Machine) goodbye() {
	if m.on(RuleGoodbye) {
		for range 3 {
			m.sendEverywhere(heartbeat.KindLeave)
		}
	}
	m.left = true
	m.event(Event{Type: EventStopped})
}

// health: an unhealthy master resigns, an unhealthy slave is no candidate.
func (m *Machine) health(ok bool) {
	if m.unhealthy == ok {
		m.turn = turn{}
	}
	m.unhealthy = !ok
	if ok {
		return
	}
	switch m.state {
	case heartbeat.StateClaiming:
		m.withdraw("the health check fails")
	case heartbeat.StateMaster, heartbeat.StateOpening:
		m.beginHandover(heartbeat.InstanceID{}, true, "the health check fails")
	}
}

// drain gives the role up and stays out.
func (m *Machine) drain() {
	m.disk.Drained = true
	m.store()
	switch m.state {
	case heartbeat.StateClaiming:
		m.withdraw("drained")
	case heartbeat.StateMaster, heartbeat.StateOpening:
		m.beginHandover(heartbeat.InstanceID{}, true, "drained")
	default:
		m.sendEverywhere(heartbeat.KindHeartbeat) // before another one drains too
	}
}

// resume takes part again.
func (m *Machine) resume() {
	m.disk.Drained = false
	m.store()
	m.pauseUntil = 0
	m.turn = turn{}
}
