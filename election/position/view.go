package position

import (
	"cmp"
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// View describes the machine at now, the peers in the order of promotion, a
// master first.
func (m *Machine) View(now time.Duration) election.View {
	m.now = max(now, m.now)
	v := election.View{
		State: m.state, Drained: m.drained, Unhealthy: m.unhealthy || m.now < m.pauseUntil,
		GuardLeft: max(0, m.guard().Until-m.now),
	}
	if m.now < m.pauseUntil {
		v.Pause = m.pauseWhy
	}
	if m.state == heartbeat.StateSlave {
		v.Position = m.place.n
	}
	if m.master.known && m.now-m.master.heardAt < m.t.timeout {
		v.Follow.Instance, v.FollowAge = m.master.id, m.now-m.master.heardAt
	}
	for _, p := range m.peers {
		if m.now-p.heardAt >= m.t.timeout {
			continue
		}
		s := heartbeat.StateSlave
		if p.reigns {
			s = heartbeat.StateMaster
		}
		v.Peers = append(v.Peers, election.PeerView{
			ID: p.id, Name: p.name, Addr: p.addr, State: s, Flags: heartbeat.FlagCandidate,
			Age: m.now - p.heardAt, Confirmed: true, Eligible: !p.reigns, Position: p.place,
		})
	}
	slices.SortStableFunc(v.Peers, func(a, b election.PeerView) int { return cmp.Compare(a.Position, b.Position) })
	return v
}

// CanHandOver tells beforehand why Handover would fail; nil if nothing speaks
// against it. The peer must be the one that is promoted next, or zero.
func (m *Machine) CanHandOver(now time.Duration, to heartbeat.InstanceID) error {
	m.now = max(now, m.now)
	switch m.state {
	case heartbeat.StateMaster:
	case heartbeat.StateDraining:
		return election.ErrBusy
	default:
		return election.ErrNotMaster
	}
	heir := m.heir()
	switch {
	case to.IsZero() && heir == nil:
		return election.ErrNoHeir
	case to.IsZero() || heir != nil && heir.id == to:
		return nil
	case m.peer(to) == nil:
		return election.ErrNoPeer
	}
	return election.ErrNotEligible
}
