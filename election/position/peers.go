package position

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// maxPeers bounds what forged pings can cost.
const maxPeers = 256

// peer is another instance that was heard within the timeout.
type peer struct {
	id         heartbeat.InstanceID
	name       string
	addr       netip.AddrPort
	reigns     bool // its last ping was a master's
	place      int
	heardAt    time.Duration
	resignedAt time.Duration // when it pinged as a slave, and had as master before; 0 = never
	ours       bool          // no Java instance
	configured bool          // ours, with a configured place
	told       int           // the place for which EventCollision was told
}

// allotted reports whether it is one of ours that makes way for a configured place.
func (p *peer) allotted() bool { return p.ours && !p.configured }

// master is the one that pinged last as master.
type master struct {
	known   bool
	id      heartbeat.InstanceID
	name    string
	addr    netip.AddrPort
	heardAt time.Duration
}

func (m *Machine) peer(id heartbeat.InstanceID) *peer {
	i, ok := slices.BinarySearchFunc(m.peers, id, func(p *peer, id heartbeat.InstanceID) int { return bytes.Compare(p.id[:], id[:]) })
	if !ok {
		return nil
	}
	return m.peers[i]
}

// receive takes a ping in.
func (m *Machine) receive(p *heartbeat.Packet, from netip.AddrPort) {
	if p.Instance == m.cfg.Self || p.Instance.IsZero() {
		return
	}
	q := m.peer(p.Instance)
	if q == nil {
		if len(m.peers) >= maxPeers && !(p.State.Reigns() && m.makeRoom()) {
			if p.State.Reigns() { // heard all the same, though not kept
				q = &peer{id: p.Instance, name: p.Name, addr: from, heardAt: m.now, reigns: true}
				if q.ours, q.configured = heartbeat.IsPingInstance(p.Instance); !q.ours {
					m.hearJava()
				}
				m.hearMaster(q)
			}
			return
		}
		q = &peer{id: p.Instance}
		q.ours, q.configured = heartbeat.IsPingInstance(p.Instance)
		i, _ := slices.BinarySearchFunc(m.peers, q.id, func(p *peer, id heartbeat.InstanceID) int { return bytes.Compare(p.id[:], id[:]) })
		m.peers = slices.Insert(m.peers, i, q)
		q.name = p.Name
		m.event(election.Event{Type: election.EventPeerJoined, Peer: q.id, Name: p.Name, Detail: kindOf(q)})
	}
	q.name, q.addr = p.Name, from
	q.heardAt = m.now
	if p.State.Reigns() && q.resignedAt > 0 && m.now < q.resignedAt+m.t.interval {
		return // overtaken on its way by the one that resigned
	}
	reigned := q.reigns
	q.reigns = p.State.Reigns()
	q.place = int(p.Position)
	if !q.ours {
		m.hearJava()
	}
	if q.reigns {
		q.place = 0
		m.hearMaster(q)
		return
	}
	if reigned && q.ours && m.on(RuleResigned) {
		m.hearResigned(q)
	}
}

// makeRoom forgets the slave that was silent for longest: a master must be heard
// however many slaves somebody makes up, or this one is promoted beside it.
func (m *Machine) makeRoom() bool {
	oldest := -1
	for i, p := range m.peers {
		if !p.reigns && (oldest < 0 || p.heardAt < m.peers[oldest].heardAt) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	p := m.peers[oldest]
	m.event(election.Event{Type: election.EventPeerLeft, Peer: p.id, Name: p.name, Detail: "made room for a master"})
	m.peers = slices.Delete(m.peers, oldest, oldest+1)
	return true
}

// hearResigned: a master of ours says that it is none any more. After a heal
// there were two: the other one reigns on, though the one that gave way to it
// was heard last.
func (m *Machine) hearResigned(q *peer) {
	q.resignedAt = m.now
	if !m.master.known || m.master.id != q.id {
		return
	}
	var other *peer
	for _, p := range m.peers {
		if p.reigns && (other == nil || p.heardAt > other.heardAt) {
			other = p
		}
	}
	if other == nil || !m.on(RuleOther) {
		m.forgetMaster("it resigned")
		return
	}
	m.follow(other)
}

func kindOf(q *peer) string {
	if q.ours {
		return ""
	}
	return "a Java instance"
}

// hearJava: with a Java instance about, a start takes longer, for it may be on
// its way to become master, which it looks at only each monitor period.
func (m *Machine) hearJava() {
	m.javaAt = max(m.now, 1)
	if m.on(RuleListen) {
		m.listenUntil = max(m.listenUntil, m.started+m.t.timeout+m.t.java)
	}
}

func (m *Machine) javaInSight() bool {
	return m.javaAt > 0 && m.now-m.javaAt <= m.t.timeout
}

// hearMaster: a slave follows whichever master pinged last; a master gives way
// to a Java instance, and to one of ours that has a higher id.
func (m *Machine) hearMaster(q *peer) {
	switch m.state {
	case heartbeat.StateOpening, heartbeat.StateMaster, heartbeat.StateDraining:
		m.event(election.Event{Type: election.EventConflict, Peer: q.id})
		if q.ours && m.on(RuleIDs) {
			if bytes.Compare(m.cfg.Self[:], q.id[:]) > 0 {
				return
			}
			m.lose("another instance with a higher id reigns", q.id)
			m.hush()
			m.follow(q)
			return
		}
		m.lose("a Java instance reigns", q.id)
		m.giveWay()
	default:
		if m.yield.until > 0 && m.now < m.yield.at+m.t.interval && !q.ours {
			return // may have left before it heard our last one; the next tells whether it lives
		}
		m.follow(q)
	}
}

func (m *Machine) follow(q *peer) {
	f := &m.master
	if !f.known || f.id != q.id || f.name != q.name {
		m.event(election.Event{Type: election.EventMaster, Peer: q.id, Name: q.name})
	}
	*f = master{known: true, id: q.id, name: q.name, addr: q.addr, heardAt: q.heardAt}
	m.readyAt = 0
	m.yield = yield{}
}

func (m *Machine) forgetMaster(why string) {
	if !m.master.known {
		return
	}
	m.master = master{}
	m.event(election.Event{Type: election.EventMaster, Detail: why})
}

// purge forgets who was silent for the timeout.
func (m *Machine) purge() {
	m.peers = slices.DeleteFunc(m.peers, func(p *peer) bool {
		if m.now-p.heardAt < m.t.timeout {
			return false
		}
		m.event(election.Event{Type: election.EventPeerLeft, Peer: p.id, Name: p.name, Detail: "silent for " + (m.now - p.heardAt).Round(time.Millisecond).String()})
		return true
	})
	if m.master.known && m.now-m.master.heardAt >= m.t.timeout {
		m.forgetMaster("silent for " + (m.now - m.master.heardAt).Round(time.Millisecond).String())
	}
}

// tellOrder tells the order of promotion when it has changed.
func (m *Machine) tellOrder() {
	order := m.orderText()
	if order != m.order {
		m.order = order
		m.event(election.Event{Type: election.EventOrder, Detail: order})
	}
}

func (m *Machine) orderText() string {
	type entry struct {
		place int
		name  string
	}
	var line []entry
	if m.place.n > 0 && m.state == heartbeat.StateSlave {
		line = append(line, entry{m.place.n, m.cfg.Name})
	}
	for _, p := range m.peers {
		if !p.reigns && p.place > 0 {
			line = append(line, entry{p.place, p.name})
		}
	}
	slices.SortStableFunc(line, func(a, b entry) int { return a.place - b.place })
	var b strings.Builder
	for i, e := range line {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(e.place) + " " + e.name)
	}
	return b.String()
}
