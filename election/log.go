package election

import (
	"net/netip"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// What the election knows of the cache's log: how far each copy reaches, who
// surely holds all that was acknowledged, and up to where a new master has to
// pull before it opens (PROTOCOL.md §6.7).

// opening is the part of a reign before the guard is open.
type opening struct {
	sure     bool             // the claim was: nothing acknowledged can be missing
	sealed   heartbeat.LogPos // where the last master ended its log, if it said so
	resigned bool             // it did
	pulled   bool             // the last EventBarrier was answered
	pullAt   time.Duration    // when to ask again; 0 = when the answer has come
	grewAt   time.Duration    // when the local copy last grew
	at       heartbeat.LogPos // and to where
	insist   bool             // an operator does not want to wait
	lost     heartbeat.LogPos // the furthest that a lost peer held and nobody else does
}

// logAt takes in where the local copy stands.
func (m *Machine) logAt(in LogAt) {
	m.log, m.logSync, m.sureUntil = in.Log, in.Sync, in.SureUntil
}

// sure reports whether the local copy surely holds all that the last master
// acknowledged. That needs proof of how its reign ended.
func (m *Machine) sure() bool {
	f := &m.follow
	switch {
	case !m.logSync:
		return false
	case f.Instance.IsZero():
		// It was this one, unless another reigned unheard; but then the voters know.
		return m.cfg.Quorum > 0 && m.lastReign > 0 && m.disk.Reigned <= m.lastReign
	case !f.over || f.Epoch < m.disk.Reigned:
		return false
	case m.resignedBy(f.Instance) && m.resigned.Epoch >= f.Epoch:
		return !m.log.Less(m.resigned.Log)
	}
	return m.diedProved() && f.diedAt <= m.sureUntil
}

// cold reports whether nothing is known that could be lost: no master was
// followed since the start, and no copy of the log has a record.
func (m *Machine) cold() bool {
	if m.followed || m.lastReign > 0 || m.log != (heartbeat.LogPos{}) || m.disk.Reigned > 0 && m.cfg.PromoteWait < 0 {
		return false
	}
	for _, p := range m.peers {
		if p.log != (heartbeat.LogPos{}) {
			return false
		}
	}
	return true
}

// never is longer than any wait.
const never = 100 * 365 * 24 * time.Hour

// sureWait is for how much longer an instance holds back that may lack what the
// last master acknowledged: one that surely holds it goes first, and the last
// master may come back.
func (m *Machine) sureWait() time.Duration {
	switch {
	case !m.logSync || m.sure() || m.cold() || !m.on(RuleSure):
		return 0
	case m.cfg.PromoteWait < 0:
		return never
	}
	wait := m.cfg.PromoteWait
	if wait == 0 {
		wait = m.t.Down
	}
	if m.sureHeard() {
		wait += 2 * m.t.Down // it may be unable to win
	}
	return wait
}

// sureHeard reports whether a peer that may claim says that it is sure. One whose
// claim failed holds nobody up: whoever wins pulls from it.
func (m *Machine) sureHeard() bool {
	for _, p := range m.peers {
		failed := p.claims > 0 && p.state != heartbeat.StateClaiming
		if p.flags.Has(heartbeat.FlagSure) && eligible(p) && m.confirmed(p) && !failed {
			return true
		}
	}
	return false
}

// heldBack reports whether not even an order without force lets this instance claim.
func (m *Machine) heldBack() bool {
	w := m.sureWait()
	return w >= never || w > 0 && m.sureHeard()
}

// aim notes, at the start of a claim, what the others hold beyond this copy.
func (m *Machine) aim() {
	for _, p := range m.peers {
		p.target = heartbeat.LogPos{}
		if p.id == m.follow.Instance || m.confirmed(p) {
			m.noteTarget(p)
		}
		if r := &m.resigned; m.resignedBy(p.id) && p.id == m.follow.Instance && m.log.Less(r.Log) && p.target.Less(r.Log) {
			p.target = r.Log
		}
	}
}

// noteTarget notes what a peer that is heard in a claim holds beyond this copy.
func (m *Machine) noteTarget(pe *peer) {
	if m.log.Less(pe.log) && pe.target.Less(pe.log) {
		pe.target = pe.log
	}
}

// answerBehind tells one that claims, or opens, with less of the log than this
// instance holds. It keeps its role, and pulls.
func (m *Machine) answerBehind(pe *peer, p *heartbeat.Packet) {
	if (p.State == heartbeat.StateClaiming && p.Asks > 0 || p.State == heartbeat.StateOpening) &&
		!m.state.Reigns() && p.Log.Less(m.log) {
		m.sendTo(heartbeat.KindBehind, pe.addr)
	}
}

func (m *Machine) newOpening() opening {
	c := &m.claim
	o := opening{sure: m.sure() || c.cold && m.disk.Reigned == 0, grewAt: m.now, at: m.log} // by what the voters told
	f := &m.follow
	if last := max(f.Epoch, m.disk.Reigned); m.resigned.Epoch >= last && (c.kind == claimHeir || f.over && m.resignedBy(f.Instance)) {
		o.sealed, o.resigned = m.resigned.Log, true
	}
	return o
}

// barrierAddrs are the caches that a new master pulls from: those of all
// confirmed peers, and that of the master that resigned.
func (m *Machine) barrierAddrs(old heartbeat.InstanceID) (list []netip.AddrPort) {
	for _, p := range m.peers {
		if p.cache.IsValid() && (m.confirmed(p) && !p.refused || p.id == old) {
			list = append(list, p.cache)
		}
	}
	return list
}

// barrierDone: what could be pulled has been.
func (m *Machine) barrierDone(in BarrierDone) {
	if m.state != heartbeat.StateOpening || m.reign.epoch != in.Epoch {
		return
	}
	if in.Log != (heartbeat.LogPos{}) {
		m.log = in.Log
	}
	m.reign.pulled = true
	m.reign.pullAt = m.now + min(m.t.Window/3, m.t.Prepared/4)
	m.tryOpen()
}

// tickOpening asks again for what a peer is known to hold.
func (m *Machine) tickOpening() {
	r := &m.reign
	if m.state != heartbeat.StateOpening || !r.pulled || !m.tryOpen() || m.now < r.pullAt {
		return
	}
	e := Event{Type: EventBarrier, Epoch: r.epoch}
	for _, p := range m.peers {
		if m.mustPull(p) {
			e.Peer = p.id
			if p.cache.IsValid() {
				e.Addrs = append(e.Addrs, p.cache)
			}
		}
	}
	r.pulled, r.pullAt = false, 0
	m.event(e)
}

// tryOpen opens if this copy holds all that can be had, and otherwise reports
// that it waits.
func (m *Machine) tryOpen() (waits bool) {
	r := &m.reign
	if r.at != m.log {
		r.at, r.grewAt = m.log, m.now
	}
	r.lost = heartbeat.LogPos{}
	for _, p := range m.peers {
		switch {
		case m.mustPull(p):
			return true
		case m.log.Less(p.target) && r.lost.Less(p.target):
			r.lost = p.target
		}
	}
	m.open()
	return false
}

// mustPull reports whether p holds records that this copy lacks and that are
// still to be had. A peer that is heard and yields nothing for a whole lease is
// as good as lost, unless the operator wants to wait for ever.
func (m *Machine) mustPull(p *peer) bool {
	if !m.log.Less(p.target) || !m.on(RuleBehind) {
		return false
	}
	stuck := m.now-m.reign.grewAt >= m.t.Down && m.cfg.PromoteWait >= 0
	return m.confirmed(p) && !p.refused && !stuck && !m.reign.insist
}

// tellLosses says, when the guard opens, what is missing or may be.
func (m *Machine) tellLosses() {
	r := &m.reign
	if m.log.Less(r.lost) {
		m.event(Event{Type: EventLogLost, Epoch: r.epoch, From: m.log, To: r.lost, Detail: "the instance that held it is lost"})
	}
	if m.logSync && !r.sure && !(r.resigned && !m.log.Less(r.sealed)) {
		m.event(Event{Type: EventMaybeLost, Epoch: r.epoch, Detail: "no instance was surely in step with the last master"})
	}
}
