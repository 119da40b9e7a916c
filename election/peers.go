package election

import (
	"net/netip"
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Bounds of the peer table, PROTOCOL.md §4.1.
const (
	maxPeers       = 256
	maxUnconfirmed = 64
	maxSighted     = 16
)

// peer is what its last packet said, and what that proves.
type peer struct {
	id     heartbeat.InstanceID
	node   heartbeat.NodeID
	name   string
	addr   netip.AddrPort // where its packets come from
	cache  netip.AddrPort
	obit   [32]byte
	state  heartbeat.State
	flags  heartbeat.Flags
	seq    uint64
	epoch  uint64
	log    heartbeat.LogPos
	delay  time.Duration
	lease  time.Duration
	votes  uint8
	quorum uint8
	pos    uint16
	deaf   bool // its heard list is empty

	firstAt time.Duration
	heardAt time.Duration // last growth of its sequence number
	grown   int           // how often it grew
	echoAt  time.Duration // when the newest packet of ours that it named went out
	echoed  bool
	ever    bool // was confirmed at some time

	ackSeq   uint64 // the newest packet of ours that it voted for
	ackEpoch uint64

	conflictAt time.Duration // since when it and we both reign; 0 = not
	claims     int           // claims of it without a master since
	holds      time.Duration // until when its claim holds back ours, unless it gives up before

	target heartbeat.LogPos // what it held when we claimed, if that was more than we did

	left    bool          // said goodbye
	gone    bool          // is proved dead
	refused bool          // its host refuses connections to it
	silent  bool          // EventSilent was told
	warned  bool          // EventSettings was told
	cloned  bool          // EventClone was told
	stream  bool          // the cache's stream to it is open
	trip    time.Duration // of an answer on that stream; 0 = not measured
}

func (m *Machine) search(id heartbeat.InstanceID) (int, bool) {
	return slices.BinarySearchFunc(m.peers, id, func(p *peer, id heartbeat.InstanceID) int {
		return compareID(p.id, id)
	})
}

func (m *Machine) peer(id heartbeat.InstanceID) *peer {
	if i, ok := m.search(id); ok {
		return m.peers[i]
	}
	return nil
}

// hears reports whether this instance hears p now.
func (m *Machine) hears(p *peer) bool {
	return !p.left && !p.gone && m.now-p.heardAt < max(m.t.Down, p.lease)
}

// confirmed reports whether p and this instance hear each other: p named a
// recent packet of ours.
func (m *Machine) confirmed(p *peer) bool {
	return m.hears(p) && m.hearsUs(p, max(m.t.Down, p.lease))
}

// hearsUs reports whether p named a packet that we sent within the last d, plus
// the time that its heard list needs to come round.
func (m *Machine) hearsUs(p *peer, d time.Duration) bool {
	round := m.t.Delay * time.Duration(len(m.peers)/heartbeat.MaxHeard)
	return p.echoed && m.now-p.echoAt < d+round
}

// eligible reports whether p may become master as far as is known.
func eligible(p *peer) bool {
	return p.flags.Has(heartbeat.FlagCandidate) && p.state != heartbeat.StateFault &&
		p.flags&(heartbeat.FlagDrained|heartbeat.FlagUnhealthy|heartbeat.FlagStalled|heartbeat.FlagIsolated) == 0
}

// admit finds or makes the entry of a packet's sender. It is nil if the table
// is full of peers that matter more.
func (m *Machine) admit(id heartbeat.InstanceID) *peer {
	i, ok := m.search(id)
	if ok {
		return m.peers[i]
	}
	unconfirmed, oldest := 0, -1
	for j, p := range m.peers {
		if p.ever {
			continue
		}
		unconfirmed++
		if oldest < 0 || p.heardAt < m.peers[oldest].heardAt {
			oldest = j
		}
	}
	if unconfirmed >= maxUnconfirmed || len(m.peers) >= maxPeers {
		if oldest < 0 {
			return nil
		}
		m.peers = slices.Delete(m.peers, oldest, oldest+1)
		i, _ = m.search(id)
	}
	p := &peer{id: id, firstAt: m.now}
	m.peers = slices.Insert(m.peers, i, p)
	return p
}

// receive takes in one packet.
func (m *Machine) receive(p *heartbeat.Packet, from netip.AddrPort) {
	if p.Instance == m.cfg.Self || m.left {
		return
	}
	pe := m.admit(p.Instance)
	if pe == nil || pe.gone || p.Seq <= pe.seq && m.on(RuleSequence) {
		return
	}
	m.note(pe, p, from)
	m.learnEpochs(p)
	m.learnMaintenance(p)
	if !p.Obituary.Instance.IsZero() {
		m.died(p.Obituary, 0)
	}
	m.freePromise(p)
	m.noteResignation(&p.Resigned)

	if p.State.Reigns() {
		m.hearMaster(pe, p)
	} else {
		m.hearNoMaster(pe, p)
		if p.State != heartbeat.StateClaiming { // a claimer has given the master up
			m.relayed(pe, p.Master)
			m.hearConnected(pe, p)
		}
	}
	if p.Kind == heartbeat.KindClaim || p.Kind == heartbeat.KindHeartbeat && p.State == heartbeat.StateClaiming && p.Asks > 0 {
		m.hearClaim(pe, p) // a heartbeat may have overtaken the claim
	}
	m.answerBehind(pe, p)
	switch p.Kind {
	case heartbeat.KindRefusal:
		m.hearRefusal(p)
	case heartbeat.KindReady:
		m.hearReady(pe)
	case heartbeat.KindRequest:
		m.hearRequest(pe, p)
	case heartbeat.KindLeave:
		m.hearLeave(pe)
	}
	m.vote(pe, p)
	if p.Kind == heartbeat.KindPrepare {
		m.hearPrepare(pe, p) // last, so that no vote of ours overtakes the answer
	}
}

// note copies what the packet says of its sender.
func (m *Machine) note(pe *peer, p *heartbeat.Packet, from netip.AddrPort) {
	first := pe.seq == 0
	back := pe.left || pe.silent
	pe.node, pe.name = p.Node, p.Name
	pe.addr, pe.cache, pe.obit = from, p.Cache, p.ObitHash
	if p.State == heartbeat.StateClaiming && pe.state != p.State {
		pe.claims++
	}
	if p.State != heartbeat.StateClaiming {
		pe.holds = 0
	}
	pe.state, pe.flags = p.State, p.Flags
	pe.seq = max(pe.seq, p.Seq)
	pe.epoch, pe.log = p.Epoch, p.Log
	pe.delay, pe.lease = p.Delay, p.Lease()
	pe.votes, pe.quorum, pe.pos = p.Votes, p.Quorum, p.Position
	pe.deaf = len(p.Heard) == 0
	pe.heardAt, m.heardAt = m.now, m.now
	pe.grown++
	pe.silent, pe.refused = false, false
	pe.left = pe.left && p.Kind == heartbeat.KindLeave
	if p.Promise.Instance == m.cfg.Self && p.Promise.Seq <= m.seq {
		pe.ackSeq, pe.ackEpoch = p.Promise.Seq, p.Promise.Epoch
	} else {
		pe.ackSeq = 0
	}
	if m.state == heartbeat.StateClaiming || m.state == heartbeat.StateOpening {
		m.noteTarget(pe)
	}
	me := m.cfg.Self.Prefix()
	for _, h := range p.Heard {
		if h.Instance == me {
			m.noteEcho(pe, h.Seq)
			break
		}
	}
	if m.confirmed(pe) {
		m.isolated = false
	}
	if (first || back) && p.Kind != heartbeat.KindLeave {
		m.event(Event{Type: EventPeerJoined, Peer: pe.id, Name: pe.name, Addr: pe.cache})
	}
	if !pe.warned && (pe.delay != m.t.Delay || pe.lease != m.t.Down || pe.quorum != m.cfg.Quorum) {
		pe.warned = true
		m.event(Event{Type: EventSettings, Peer: pe.id, Name: pe.name,
			Detail: "delay, retries or quorum are not the same as here"})
	}
}

// noteEcho notes that pe received our packet whose number ends in low.
func (m *Machine) noteEcho(pe *peer, low uint32) {
	seq := m.seq&^(1<<32-1) | uint64(low)
	if seq > m.seq {
		if seq < 1<<32 {
			return
		}
		seq -= 1 << 32
	}
	at, ok := m.sentAt(seq)
	if !ok || pe.echoed && at < pe.echoAt {
		return
	}
	pe.echoAt, pe.echoed = at, true
	if m.now-at < m.t.Down {
		pe.ever = true
	}
}

// learnEpochs keeps the greatest epochs heard of.
func (m *Machine) learnEpochs(p *heartbeat.Packet) {
	reigned := max(p.MaxEpoch, p.Log.Epoch) // what wrote a log has reigned
	if p.State.Reigns() {
		reigned = max(reigned, p.Epoch)
	}
	seen := max(reigned, p.Epoch, p.Asks, p.Promise.Epoch)
	if seen > m.disk.MaxEpoch {
		if m.disk.MaxEpoch > 0 && seen-m.disk.MaxEpoch > 1000 {
			m.event(Event{Type: EventEpochJump, Peer: p.Instance, Epoch: seen})
		}
		m.disk.MaxEpoch = seen
		m.store()
	}
	if reigned > m.disk.Reigned {
		m.disk.Reigned, m.reignedBy = reigned, heartbeat.InstanceID{}
		m.store()
	}
	if p.State == heartbeat.StateMaster || p.State == heartbeat.StateDraining {
		m.reigned(p.Epoch, p.Instance)
	}
}

func (m *Machine) hearLeave(pe *peer) {
	if pe.left {
		return
	}
	pe.left = true
	m.event(Event{Type: EventPeerLeft, Peer: pe.id, Detail: "said goodbye"})
}

// died takes in a proof of death, at when it died at the latest, if known. What
// is not a proof is passed over.
func (m *Machine) died(o heartbeat.Obituary, at time.Duration) {
	if at <= 0 || at > m.now {
		at = m.now
	}
	if f := &m.follow; f.obituary == o && f.over && at < f.diedAt {
		f.diedAt, m.turn = at, turn{} // the same proof, with a better time
	}
	pe := m.peer(o.Instance)
	if pe == nil || pe.gone || o.Instance == m.cfg.Self || !m.on(RuleObituary) ||
		heartbeat.ObituaryHash(o.Instance, o.Secret) != pe.obit {
		return
	}
	pe.gone = true
	m.event(Event{Type: EventPeerLeft, Peer: pe.id, Detail: "is proved dead"})
	if m.promise.to == pe.id {
		m.promise.to = heartbeat.InstanceID{}
	}
	if m.follow.Instance == pe.id && !m.follow.over {
		m.follow.over = true
		m.follow.obituary, m.follow.diedAt = o, at
		m.noteNoMaster()
	}
	m.turn = turn{}
}

// lookAfterPeers runs with each heartbeat: who fell silent, who is forgotten.
func (m *Machine) lookAfterPeers() {
	m.peers = slices.DeleteFunc(m.peers, func(p *peer) bool {
		silence := m.now - p.heardAt
		if !p.silent && !p.left && !p.gone && silence > max(m.t.Lease, p.lease*4/5)/2 {
			p.silent = true
			if p.ever {
				e := Event{Type: EventSilent, Peer: p.id, Name: p.name, Addr: p.cache}
				if p.id == m.follow.Instance {
					e.Epoch = m.follow.Epoch
				}
				m.event(e)
			}
		}
		return silence > 10*m.t.Down && p.id != m.follow.Instance && (m.fault == "" || !m.countsVotes(p))
	})
	m.checkConflicts()
	if m.state.Reigns() {
		m.checkIsolation()
	}
	m.checkFault()
	m.checkUnsure()
}

// checkFault finds out whether this instance may vote and claim.
func (m *Machine) checkFault() {
	why := m.cloned()
	if why == "" {
		why = m.tooManyVotes()
	}
	switch {
	case !m.needsVotes():
	case why != "":
		m.becomeFault(why)
	case m.fault != "":
		m.endFault()
	}
}

// cloned tells of a second live instance with our name. With a quorum both are
// at fault, for nobody can tell whose vote it is.
func (m *Machine) cloned() string {
	const why = "another live instance has this name"
	found := ""
	for _, p := range m.peers {
		if p.node != m.cfg.Node || !m.grows(p) || m.now-m.started < 2*m.t.Delay {
			continue
		}
		if !p.cloned {
			p.cloned = true
			m.event(Event{Type: EventClone, Peer: p.id, Name: p.name, Detail: why})
		}
		if m.on(RuleClone) {
			found = why
		}
	}
	return found
}

// grows reports whether a peer sent at least three packets over two delays: a
// late packet of a process that was restarted does not.
func (m *Machine) grows(p *peer) bool {
	return p.grown >= 3 && p.heardAt-p.firstAt >= 2*m.t.Delay && m.hears(p)
}
