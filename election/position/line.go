package position

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// place is where this slave stands in the line.
type place struct {
	n      int           // 0 = nowhere
	toldAt time.Duration // when it was first pinged; 0 = not yet
	away   bool          // gave the role up, and waits at the end until another is master
}

func (m *Machine) setPlace(n int, why string) {
	if m.place.n == n {
		return
	}
	m.place.n, m.place.toldAt = n, 0
	m.readyAt = 0
	m.event(election.Event{Type: election.EventPosition, Position: n, Detail: why})
}

// inLine are the slaves in sight.
func (m *Machine) inLine(f func(*peer)) {
	for _, p := range m.peers {
		if !p.reigns {
			f(p)
		}
	}
}

// takePlace sees to it that this slave has a place that is its own.
func (m *Machine) takePlace() {
	if m.master.known && (m.place.n > 0 || m.cfg.Position > 0) {
		m.place.away = false
	}
	clash, zero := m.crowd()
	switch {
	case m.place.away:
		if m.place.n == 0 || m.pushed() {
			m.setPlace(m.end(), "the end of the line")
		}
	case m.cfg.Position > 0:
		switch home := int(m.cfg.Position); {
		case m.place.n == 0 || m.place.n > home:
			m.setPlace(home, "configured")
		case clash != nil && m.place.n != home && !clash.allotted():
			// One that is allotted looks for another place itself: if this one
			// went too, the two might swap places for ever.
			m.setPlace(home, "configured; another one came")
		case clash != nil && m.place.toldAt > 0 && clash.told != m.place.n:
			clash.told = m.place.n
			m.event(election.Event{Type: election.EventCollision, Peer: clash.id, Position: m.place.n})
		}
	case m.place.n == 0 || clash != nil || zero:
		m.setPlace(m.allot(), "allotted")
	}
}

// crowd is a slave that holds this one's place too, and whether one has none.
func (m *Machine) crowd() (clash *peer, zero bool) {
	m.inLine(func(p *peer) {
		if p.place == 0 {
			zero = true
		} else if p.place == m.place.n && clash == nil {
			clash = p
		}
	})
	return clash, zero
}

// pushed reports whether another that stands at this one's place has it before
// this one. If each of two went behind the other, both might do so for ever.
func (m *Machine) pushed() (yes bool) {
	m.inLine(func(p *peer) {
		if p.place != m.place.n {
			return
		}
		before := bytes.Compare(p.id[:], m.cfg.Self[:]) > 0
		if fixed := m.cfg.Position > 0; fixed != p.configured {
			before = p.configured
		}
		yes = yes || before || !p.ours
	})
	return yes
}

// allot gives this slave its place by the order of the ids as text, which is
// that of their bytes. A place that is configured for one of ours is passed over.
func (m *Machine) allot() int {
	before := 0
	taken := map[int]bool{}
	m.inLine(func(p *peer) {
		switch {
		case p.configured && m.on(RuleConfigured):
			taken[p.place] = true
		case bytes.Compare(p.id[:], m.cfg.Self[:]) < 0:
			before++
		}
	})
	n := 1
	for ; before > 0 || taken[n]; n++ {
		if !taken[n] {
			before--
		}
	}
	return n
}

// end is the place behind all the others.
func (m *Machine) end() int {
	n, last := 0, 0
	m.inLine(func(p *peer) { n++; last = max(last, p.place) })
	if !m.on(RuleLast) {
		return m.allot()
	}
	return min(max(n, last)+1, math.MaxUint16)
}

// moveUp goes forward to the place behind the next one that somebody holds: in
// a line without gaps that is one place when the next one has become free. Each
// place is told for an interval first, so that two do not walk side by side.
func (m *Machine) moveUp() {
	if m.place.n < 2 || m.place.toldAt == 0 || m.now < m.place.toldAt+m.t.interval {
		return
	}
	ahead, stay := 0, false
	m.inLine(func(p *peer) {
		switch {
		case p.place == 0:
			stay = true // it is about to take one
		case p.place < m.place.n:
			ahead = max(ahead, p.place)
		case p.place == m.place.n:
			stay = stay || p.ours && bytes.Compare(p.id[:], m.cfg.Self[:]) < 0
		}
	})
	if !stay && ahead+1 < m.place.n {
		m.setPlace(ahead+1, "moved up from "+strconv.Itoa(m.place.n))
	}
}

// mayBecomeMaster reports whether nothing about this instance itself keeps it
// from being promoted one day.
func (m *Machine) mayBecomeMaster() bool {
	return m.cfg.Candidate && !m.drained && !m.unhealthy && !m.leaving && m.now >= m.pauseUntil
}

// leaveLine: a place that will not be used must not be held; a Java instance
// behind it would wait for ever. The last ping gives it up at once.
func (m *Machine) leaveLine() {
	if m.place.n == 0 || !m.on(RuleMute) {
		return
	}
	if m.place.toldAt > 0 {
		m.send(heartbeat.StateSlave, m.end())
	}
	m.setPlace(0, "may not become master")
	m.place = place{away: m.place.away}
}
