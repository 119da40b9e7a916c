package election

import (
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// tickBeat sends the heartbeat that is due and looks after the peers.
func (m *Machine) tickBeat() {
	m.tickResigned()
	if m.now < m.beat.next {
		return
	}
	gap := m.t.Delay
	if m.state.Reigns() && m.now < m.reign.quick {
		gap = min(gap, m.t.Window/3)
	}
	if m.state == heartbeat.StateOpening {
		gap = min(gap, m.t.Window/3)
		if !m.on(RuleOpening) {
			m.beat.next = m.now + gap
			return
		}
	}
	m.beat.next = m.now + gap*95/100 + m.rng.upTo(gap/10)
	if m.disk.retry {
		m.store()
	}
	m.beatNow()
	m.lookAfterPeers()
}

// beatNow sends one heartbeat: a master's on two paths, a slave's to the group
// and to the master.
func (m *Machine) beatNow() {
	if m.state.Reigns() {
		m.sendEverywhere(heartbeat.KindHeartbeat)
		return
	}
	if p := m.peer(m.follow.Instance); p != nil && p.addr.IsValid() && !m.follow.over {
		m.to = append(m.to, p.addr)
		m.send(heartbeat.KindHeartbeat, true, len(m.to)-1)
		return
	}
	m.send(heartbeat.KindHeartbeat, true, len(m.to))
}

// extra sends a packet out of turn, but not more often than each Timers.Extra.
func (m *Machine) extra(kind heartbeat.Kind) {
	if m.beat.extra > 0 && m.now-m.beat.extra < m.t.Extra {
		return
	}
	m.beat.extra = m.now
	m.sendEverywhere(kind)
}

// fill writes the whole present state into p.
func (m *Machine) fill(p *heartbeat.Packet, kind heartbeat.Kind) {
	heard := p.Heard[:0]
	*p = heartbeat.Packet{
		Kind: kind, State: m.state, Flags: m.flags(),
		Node: m.cfg.Node, Instance: m.cfg.Self, Seq: m.seq,
		MaxEpoch: m.disk.Reigned,
		Promise:  heartbeat.Sighting{Epoch: m.disk.Granted},
		Log:      m.log,
		Delay:    m.t.Delay, Retries: uint16(m.cfg.Retries),
		Votes: m.cfg.Votes, Quorum: m.cfg.Quorum, Position: m.cfg.Position,
		Cache: m.cfg.Cache, ObitHash: m.cfg.ObitHash, Name: m.cfg.Name,
	}
	if m.promise.to == m.cfg.Self || m.promised() && m.isStored(m.promise.saveSeq) {
		p.Promise.Instance, p.Promise.Seq = m.promise.to, m.promise.seq
	}
	if m.disk.durable < m.promise.saveSeq && m.on(RuleSaveFirst) {
		p.Promise.Epoch = 0 // not granted before it is stored
	}
	if m.masterLive() || m.state == heartbeat.StateClaiming {
		p.Master = m.follow.Sighting // to one that has just started even a dead master would be news
	}
	switch {
	case m.state == heartbeat.StateClaiming && m.claim.stored:
		p.Epoch, p.Asks = m.claim.epoch, m.claim.epoch
		p.Order = m.claim.order
		p.Resigned = m.claim.resigned
		p.Obituary = m.claim.obituary
	case m.state.Reigns():
		p.Epoch, p.Asks = m.reign.epoch, m.asks()
		p.Master = heartbeat.Sighting{Instance: m.cfg.Self, Epoch: m.reign.epoch, Seq: m.seq}
	case m.now < m.resigned.until:
		p.Resigned = m.resigned.Resignation
	}
	if m.maintenance.version > 0 {
		p.Maintenance = heartbeat.Maintenance{Version: m.maintenance.version, Left: max(0, m.maintenance.until-m.now)}
	}
	p.Heard = m.heardList(heard)
}

func (m *Machine) flags() heartbeat.Flags {
	var f heartbeat.Flags
	set := func(yes bool, flag heartbeat.Flags) {
		if yes {
			f |= flag
		}
	}
	set(m.candidate(), heartbeat.FlagCandidate)
	set(m.cfg.Quorum > 0 && m.isVoter(m.cfg.Node), heartbeat.FlagVoter)
	set(m.disk.Drained, heartbeat.FlagDrained)
	set(m.unhealthy || m.now < m.pauseUntil, heartbeat.FlagUnhealthy)
	set(m.now < m.pauseUntil, heartbeat.FlagPaused)
	set(m.now < m.stalledUntil, heartbeat.FlagStalled)
	set(m.isolated, heartbeat.FlagIsolated)
	set(m.now < m.embargoUntil, heartbeat.FlagEmbargo)
	set(m.cfg.Command, heartbeat.FlagCommand)
	set(m.connected(), heartbeat.FlagConnected)
	if m.state == heartbeat.StateClaiming {
		set(m.claim.sure, heartbeat.FlagSure)
		set(m.claim.kind == claimRefused, heartbeat.FlagRefused)
		set(m.claim.kind == claimDead, heartbeat.FlagGone)
		set(m.claim.kind == claimForced, heartbeat.FlagForced)
	}
	set(m.state == heartbeat.StateSlave && m.sure(), heartbeat.FlagSure)
	set(m.state.Reigns() && m.reign.forced, heartbeat.FlagForced)
	return f
}

// heardList fills in whom this instance heard.
func (m *Machine) heardList(list []heartbeat.Heard) []heartbeat.Heard {
	m.someInTurn(&m.beat.turn, func(p *peer) bool {
		if len(list) < heartbeat.MaxHeard && m.hears(p) {
			list = append(list, heartbeat.Heard{Instance: p.id.Prefix(), Seq: uint32(p.seq)})
			return true
		}
		return false
	})
	return list
}

// someInTurn gives the peers to take, which reports whether it took one. Where
// they may be too many, those that need to know first (masters, claimers) come
// first, then the others in turn.
func (m *Machine) someInTurn(turn *int, take func(*peer) bool) {
	n := len(m.peers)
	if n <= heartbeat.MaxHeard {
		for _, p := range m.peers {
			take(p)
		}
		return
	}
	urgent := func(p *peer) bool {
		return p.state.Reigns() || p.state == heartbeat.StateClaiming || p.id == m.follow.Instance
	}
	for _, p := range m.peers {
		if urgent(p) {
			take(p)
		}
	}
	next := *turn
	for i := range n {
		j := (*turn + i) % n
		if p := m.peers[j]; !urgent(p) && take(p) {
			next = j + 1
		}
	}
	*turn = next
}

// resignation is what a resigned master repeats until everyone must know.
type resignation struct {
	heartbeat.Resignation
	until    time.Duration
	nextSend time.Duration // the quick repetitions of the first moments
	again    int
	at       time.Duration // when it was heard
}

func (m *Machine) tickResigned() {
	r := &m.resigned
	if r.again == 0 || m.now < r.nextSend {
		return
	}
	if m.now >= r.until { // frozen meanwhile: everybody knows by now
		r.again, r.nextSend = 0, 0
		return
	}
	r.again--
	r.nextSend = m.now + m.t.Extra
	if r.again == 0 {
		r.nextSend = 0
	}
	m.sendEverywhere(heartbeat.KindResign)
}
