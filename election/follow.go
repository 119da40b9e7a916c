package election

import (
	"net/netip"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// following is the master this instance follows, dead or alive.
type following struct {
	heartbeat.Sighting
	at       time.Duration // last processed growth of its sequence number
	lease    time.Duration // its delay × retries
	over     bool          // it resigned, left, or is proved dead
	obituary heartbeat.Obituary
	diedAt   time.Duration // when, at the latest, by the obituary
	// since when its host refuses connections, and nothing else was heard; 0 = it does not
	refusedAt time.Duration
	cache     netip.AddrPort // where its cache listens, if known
}

// masterUntil is when the followed master counts as dead unless it is heard.
// Whoever has the longer lease decides: the master's own guard is shorter.
func (m *Machine) masterUntil() time.Duration {
	if m.follow.Instance.IsZero() || m.follow.over {
		return 0
	}
	return m.follow.at + max(m.t.Down, m.follow.lease)
}

func (m *Machine) masterLive() bool { return m.now < m.masterUntil() }

// hearMaster takes in a heartbeat of a reigning peer.
func (m *Machine) hearMaster(pe *peer, p *heartbeat.Packet) {
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave, heartbeat.StateFault, heartbeat.StateStopping:
		mine := token{m.follow.Epoch, m.follow.Instance}
		if !m.masterLive() || m.follow.Instance == pe.id || (token{p.Epoch, p.Instance}).outranks(mine) {
			m.followMaster(pe, p)
		}
	case heartbeat.StateClaiming:
		if m.deaf(pe) || !m.on(RuleObject) && m.claim.kind == claimTimeout {
			return // it cannot hear anyone; others hear us
		}
		m.withdraw("the master lives")
		m.followMaster(pe, p)
		if m.claim.kind == claimForced {
			m.request(m.cfg.Self, true)
		}
	case heartbeat.StateOpening, heartbeat.StateMaster, heartbeat.StateDraining:
		m.conflict(pe)
	}
}

// followMaster follows, or keeps following, the sender of a heartbeat.
func (m *Machine) followMaster(pe *peer, p *heartbeat.Packet) {
	m.setFollow(following{
		Sighting: heartbeat.Sighting{Instance: p.Instance, Epoch: p.Epoch, Seq: p.Seq},
		at:       m.now, lease: p.Lease(), cache: p.Cache,
	})
	m.sight(m.follow.Sighting)
}

func (m *Machine) setFollow(f following) {
	other := f.Instance != m.follow.Instance || f.Epoch != m.follow.Epoch || f.cache != m.follow.cache || m.follow.over || m.noMaster > 0
	m.follow = f
	m.followed = true
	m.turn = turn{}
	m.noMaster = 0
	m.failed = 0
	m.told.noCandidate = false
	for _, q := range m.peers {
		q.claims = 0
	}
	if other {
		m.event(Event{Type: EventMaster, Peer: f.Instance, Epoch: f.Epoch, Addr: f.cache})
	}
	if m.state == heartbeat.StateListening {
		m.setState(heartbeat.StateSlave, "follows a master")
	}
}

// hearNoMaster takes in a packet of a peer that does not reign. If it was our
// master, its reign is over.
func (m *Machine) hearNoMaster(pe *peer, p *heartbeat.Packet) {
	pe.conflictAt = 0
	if m.follow.Instance != pe.id || m.follow.over || p.State == heartbeat.StateStopping {
		return // while it is still stopping its work nobody may hurry
	}
	m.follow.over = true
	m.noteNoMaster()
	m.turn = turn{}
}

// noteNoMaster starts the time without a master.
func (m *Machine) noteNoMaster() {
	if m.noMaster == 0 {
		m.noMaster = m.now
		m.event(Event{Type: EventMaster})
	}
}

// relayed takes in what a peer says of the master it follows. Only news count:
// a sequence number that nobody told us yet. So a relay cannot keep a dead
// master alive.
func (m *Machine) relayed(pe *peer, s heartbeat.Sighting) {
	if s.Instance.IsZero() || s.Instance == m.cfg.Self || !m.on(RuleRelay) || !m.news(s) {
		return
	}
	m.sight(s)
	if x := m.peer(s.Instance); x != nil && x.gone {
		return
	}
	same := m.follow.Instance == s.Instance
	if same && m.follow.over && s.Epoch <= m.follow.Epoch {
		return // what it did before it resigned
	}
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave, heartbeat.StateFault, heartbeat.StateStopping:
		if same || !m.masterLive() {
			m.followRelayed(s)
		}
	case heartbeat.StateClaiming:
		if m.claim.kind == claimTimeout || m.claim.kind == claimDead || m.claim.kind == claimRefused {
			m.withdraw("a peer hears the master")
			m.followRelayed(s)
		}
	}
}

func (m *Machine) followRelayed(s heartbeat.Sighting) {
	f := following{Sighting: s, at: m.now, lease: m.t.Down}
	if m.follow.Instance == s.Instance {
		f.lease, f.cache = m.follow.lease, m.follow.cache
	} else if x := m.peer(s.Instance); x != nil {
		f.lease, f.cache = x.lease, x.cache
	}
	m.setFollow(f)
}

// news reports whether s is newer than all that was heard of its instance.
func (m *Machine) news(s heartbeat.Sighting) bool {
	if p := m.peer(s.Instance); p != nil && s.Seq <= p.seq {
		return false
	}
	for _, t := range m.sighted {
		if t.Instance == s.Instance {
			return s.Seq > t.Seq
		}
	}
	return true
}

// sight remembers the greatest sequence number of a master, for the last few.
func (m *Machine) sight(s heartbeat.Sighting) {
	for i := range m.sighted {
		if m.sighted[i].Instance == s.Instance {
			m.sighted[i] = s
			return
		}
	}
	if len(m.sighted) == maxSighted {
		m.sighted = append(m.sighted[:0], m.sighted[1:]...)
	}
	m.sighted = append(m.sighted, s)
}
