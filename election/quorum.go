package election

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// promise is this voter's vote: while it lasts no other instance gets one.
type promise struct {
	to      heartbeat.InstanceID
	seq     uint64 // the packet it answers
	until   time.Duration
	saveSeq uint64 // when this is stored the promise may be told
}

func (m *Machine) promised() bool { return !m.promise.to.IsZero() && m.now < m.promise.until }

// renewOwnPromise gives the own vote to the own claim or reign, with each
// packet that asks the others for theirs.
func (m *Machine) renewOwnPromise() {
	if m.cfg.Quorum > 0 {
		m.promise = promise{to: m.cfg.Self, seq: m.seq, until: m.now + m.t.Down}
	}
}

// votes reports whether this instance has a vote at all.
func (m *Machine) votes() bool {
	return m.cfg.Quorum > 0 && m.cfg.Votes > 0 && m.isVoter(m.cfg.Node) && m.fault == ""
}

func (m *Machine) isVoter(id heartbeat.NodeID) bool {
	return len(m.cfg.Voters) == 0 || slices.Contains(m.cfg.Voters, id)
}

// vote answers a packet that asks for a vote. A claim needs an epoch above all
// that were granted; a master that reigns already needs only a free promise.
func (m *Machine) vote(pe *peer, p *heartbeat.Packet) {
	if p.Asks == 0 || !m.votes() {
		return
	}
	same := m.promise.to == p.Instance
	free := same || !m.promised() || !m.on(RulePromise)
	renewal := p.State.Reigns() && p.Asks == p.Epoch
	greater := p.Asks > m.disk.Granted || p.Asks == m.disk.Granted && m.disk.GrantedTo == p.Instance || !m.on(RuleEpoch)
	heard := same || m.confirmed(pe) || !m.on(RuleConfirmed)
	// A live master is not deposed by a claim.
	loyal := renewal || !m.masterHolds() || m.follow.Instance == p.Instance || !m.on(RuleObject)
	ok := free && (renewal || greater) && heard && loyal && m.now >= m.embargoUntil && !m.disk.Unsure
	if !ok {
		if p.Kind == heartbeat.KindClaim && m.now >= m.embargoUntil {
			m.sendTo(heartbeat.KindRefusal, pe.addr)
		}
		return
	}
	old := m.promise
	m.promise = promise{to: p.Instance, seq: p.Seq, until: m.now + p.Lease()}
	if same {
		m.promise.saveSeq = old.saveSeq
	}
	if p.Asks > m.disk.Granted || p.Lease() > m.disk.Promise {
		if p.Asks > m.disk.Granted {
			m.disk.Granted, m.disk.GrantedTo = p.Asks, p.Instance
		}
		m.disk.Promise = max(m.disk.Promise, p.Lease())
		m.promise.saveSeq = m.store()
	}
	if m.isStored(m.promise.saveSeq) && m.on(RuleAckAtOnce) {
		m.sendTo(heartbeat.KindGrant, pe.addr)
	}
}

// promiseStored tells a vote that has just become durable.
func (m *Machine) promiseStored() {
	if m.promise.saveSeq == 0 || !m.isStored(m.promise.saveSeq) {
		return
	}
	m.promise.saveSeq = 0
	if pe := m.peer(m.promise.to); pe != nil && m.promised() {
		m.sendTo(heartbeat.KindGrant, pe.addr)
	}
}

// freePromise takes the vote back from one that no longer asks for it, once
// its work has ended.
func (m *Machine) freePromise(p *heartbeat.Packet) {
	if m.promise.to == p.Instance && p.Asks == 0 && p.State != heartbeat.StateStopping {
		m.promise = promise{}
		m.turn = turn{}
	}
}

// votesUntil is how long enough votes bind their givers: the votes for epoch
// (or a greater one) that answer packet firstSeq or a later one, each good for
// a lease from when that packet was sent.
func (m *Machine) votesUntil(firstSeq, epoch uint64) time.Duration {
	type ballot struct {
		at    time.Duration
		votes uint8
		node  heartbeat.NodeID
	}
	var buf [32]ballot
	ballots := buf[:0]
	if m.votes() && m.promise.to == m.cfg.Self && !m.clonedNode(m.cfg.Node) {
		if at, ok := m.sentAt(m.promise.seq); ok && m.promise.seq >= firstSeq {
			ballots = append(ballots, ballot{at, m.cfg.Votes, m.cfg.Node})
		}
	}
	for _, p := range m.peers {
		if p.ackSeq < firstSeq || p.ackSeq == 0 || p.ackEpoch < epoch || p.gone || !m.isVoter(p.node) || p.votes == 0 || m.clonedNode(p.node) {
			continue
		}
		if m.state == heartbeat.StateClaiming && p.ackEpoch != epoch {
			continue
		}
		if at, ok := m.sentAt(p.ackSeq); ok {
			ballots = append(ballots, ballot{at, p.votes, p.node})
		}
	}
	slices.SortFunc(ballots, func(a, b ballot) int { return cmp.Compare(b.at, a.at) })
	need := int(m.cfg.Quorum)
	for _, b := range ballots {
		if need -= int(b.votes); need <= 0 {
			return b.at + m.lease()
		}
	}
	return 0
}

// votesHeard is how many votes are within hearing.
func (m *Machine) votesHeard() int {
	votes := 0
	if m.votes() {
		votes = int(m.cfg.Votes)
	}
	for _, p := range m.peers {
		if m.confirmed(p) && m.isVoter(p.node) && p.node != m.cfg.Node {
			votes += int(p.votes)
		}
	}
	return votes
}

// votesMissing says that the votes do not suffice, and what can be done.
func (m *Machine) votesMissing() string {
	heard := m.votesHeard()
	text := countVotes(heard) + " heard, " + countVotes(int(m.cfg.Quorum)) + " needed"
	if heard >= int(m.cfg.Quorum) {
		return text + ", but this claim did not get them: another was first, or a voter waits after its start"
	}
	return text + "; if the others are gone for good: promote --force"
}

// countVotes is "1 vote is", "2 votes are".
func countVotes(n int) string {
	if n == 1 {
		return "1 vote is"
	}
	return strconv.Itoa(n) + " votes are"
}

// clonedNode reports whether two live instances claim to be this node.
func (m *Machine) clonedNode(id heartbeat.NodeID) bool {
	if !m.on(RuleClone) {
		return false
	}
	n := 0
	if id == m.cfg.Node {
		n++
	}
	for _, p := range m.peers {
		if p.node == id && m.grows(p) {
			n++
		}
	}
	return n > 1
}

// tooManyVotes compares the votes there are with what the quorum allows.
func (m *Machine) tooManyVotes() string {
	if m.cfg.Quorum == 0 || !m.on(RuleTotal) {
		return ""
	}
	total, latest := 0, (*peer)(nil)
	if m.isVoter(m.cfg.Node) {
		total = int(m.cfg.Votes)
	}
	for i, p := range m.peers {
		counted := func(q *peer) bool { return q.node == p.node && m.countsVotes(q) }
		if !m.countsVotes(p) || !m.isVoter(p.node) || p.node == m.cfg.Node || slices.ContainsFunc(m.peers[:i], counted) {
			continue
		}
		total += int(p.votes)
		if latest == nil || p.firstAt >= latest.firstAt {
			latest = p
		}
	}
	allowed := 2*int(m.cfg.Quorum) - 1
	if total <= allowed || latest == nil {
		return ""
	}
	return "too many votes: " + strconv.Itoa(total) + " where a quorum of " + strconv.Itoa(int(m.cfg.Quorum)) +
		" allows " + strconv.Itoa(allowed) + "; the latest is " + latest.name +
		". Give failover.quorum=" + strconv.Itoa(total/2+1) + " to all, or fewer failover.votes or failover.voters"
}

// countsVotes reports whether p's votes belong to the total. Once there were too
// many, those who have only fallen silent still count: of a cluster with too
// many voters each half would else find its own number right.
func (m *Machine) countsVotes(p *peer) bool {
	return m.confirmed(p) || m.fault != "" && p.ever && !p.left && !p.gone
}

// checkUnsure: a voter that lost its memory asks a majority of the others for
// the greatest epoch before it grants one.
func (m *Machine) checkUnsure() {
	if !m.disk.Unsure {
		return
	}
	votes := 0
	for _, p := range m.peers {
		if m.confirmed(p) && m.isVoter(p.node) && p.node != m.cfg.Node {
			votes += int(p.votes)
		}
	}
	if votes >= int(m.cfg.Quorum) {
		m.disk.Unsure = false
		m.disk.Granted = max(m.disk.Granted, m.disk.MaxEpoch)
		m.store()
	}
}
