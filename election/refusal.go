package election

import (
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// refused: the host of a peer is up and refuses connections to it. Of one that
// is silent it says that it stopped and was not cut off. Of the followed master
// it is a suspicion: a firewall refuses too. Then the claim itself is the
// question; whoever knows better objects.
func (m *Machine) refused(id heartbeat.InstanceID) {
	pe := m.peer(id)
	if pe == nil {
		return
	}
	if pe.silent {
		pe.refused = true
		m.isolated = false // looked at again, now with this known
	}
	f := &m.follow
	if f.Instance != id || f.over || f.refusedAt > 0 || m.now < m.trustAfter || pe.stream || pe.flags.Has(heartbeat.FlagCommand) ||
		m.cfg.Quorum > 0 && !m.cfg.TrustRefusal || !m.on(RuleRefusal) {
		return
	}
	pe.refused = true
	f.refusedAt = m.now
	m.turn = turn{}
	if m.promise.to == id {
		m.promise = promise{} // only if such a refusal is trusted
	}
}

// suspect reports whether the followed master is thought dead because its host
// refuses connections. One packet of it ends that.
func (m *Machine) suspect() bool { return m.follow.refusedAt > 0 && !m.follow.over }

// masterHolds reports whether the followed master is live and not suspect.
func (m *Machine) masterHolds() bool { return m.masterLive() && !m.suspect() }

// stream notes whether the cache's stream to a peer is open.
func (m *Machine) stream(in Stream) {
	pe := m.peer(in.Peer)
	if pe == nil {
		return
	}
	pe.stream = in.Open
	if in.RoundTrip > 0 {
		pe.trip = in.RoundTrip
	}
	if in.Open && m.follow.Instance == in.Peer {
		m.clearSuspicion("its stream is open")
	}
}

// clearSuspicion goes back to the timers.
func (m *Machine) clearSuspicion(why string) {
	if !m.suspect() {
		return
	}
	m.follow.refusedAt = 0
	m.turn = turn{}
	if pe := m.peer(m.follow.Instance); pe != nil {
		pe.refused = false
	}
	if m.state == heartbeat.StateClaiming && m.claim.kind == claimRefused {
		m.withdraw(why)
	}
}

// connected reports whether the stream to the followed master is open.
func (m *Machine) connected() bool {
	pe := m.peer(m.follow.Instance)
	return pe != nil && pe.stream && !m.follow.over
}

// hearConnected: a peer that has heard our claim says that its own stream to
// the master is open. What it said before it heard the claim may be older than
// the break.
func (m *Machine) hearConnected(pe *peer, p *heartbeat.Packet) {
	if m.state == heartbeat.StateClaiming && m.claim.kind == claimRefused && m.claim.stored &&
		p.Flags.Has(heartbeat.FlagConnected) && p.Master.Instance == m.follow.Instance &&
		pe.echoed && pe.echoAt >= m.claim.start && m.on(RuleObjectRefused) {
		m.clearSuspicion("a peer's stream to the master is open")
	}
}

// answerRefused answers a claim that rests on a refusal: at once, and to the
// claimer alone, for its window is short.
func (m *Machine) answerRefused(pe *peer, p *heartbeat.Packet) (objected bool) {
	if !p.Flags.Has(heartbeat.FlagRefused) || !m.on(RuleObjectRefused) {
		return false
	}
	same := p.Master.Instance == m.follow.Instance && m.masterHolds()
	if m.state.Reigns() || same && (m.connected() || m.follow.Seq > p.Master.Seq) {
		m.sendTo(heartbeat.KindHeartbeat, pe.addr)
		return true
	}
	return false
}

// short is W₀: the window and the slots after a proved death. All that is
// waited for then is the claim of another slave, so it follows from the time
// that an answer takes. Many instances take longer, the more so on one machine.
func (m *Machine) short() time.Duration {
	w := m.t.Short
	if pe := m.peer(m.follow.Instance); pe != nil && pe.trip > 0 {
		w = max(5*time.Millisecond, 3*pe.trip)
	}
	if n := len(m.peers); n > fewPeers {
		w = max(w, time.Duration(n)*perPeer)
	}
	if len(m.peers) > manyPeers {
		w = max(w, m.t.Delay/8)
	}
	return min(w, m.t.Window)
}

// From how many peers on W₀ grows, and by how much for each. What comes to the
// group of a large cluster may be read D/20 late: from manyPeers on, well before
// any reads so, W₀ is more than twice that. Two who claim at once then hear each
// other, also where no unicast gets through.
const (
	fewPeers  = 10
	perPeer   = 2 * time.Millisecond
	manyPeers = 20
)

// refusedWindow is how long a claim that rests on a refusal waits for objections.
func (m *Machine) refusedWindow() time.Duration {
	if m.cfg.Loopback {
		return m.short()
	}
	return m.t.Refused
}
