package election

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// View is what there is to see of a machine. It shares nothing with it.
type View struct {
	State       heartbeat.State
	Epoch       uint64 // of the own reign or claim
	Follow      heartbeat.Sighting
	FollowAge   time.Duration // since the followed master was last heard
	Position    int           // place in the line of claims, from 1; 0 for a master or no candidate
	Drained     bool
	Unhealthy   bool   // its check fails, or it pauses
	Pause       string // why it was told not to claim for a while; "" = it was not
	Isolated    bool
	Embargo     bool
	Fault       string
	NoMajority  string        // with a quorum: how many votes are heard, if too few; else ""
	Maintenance time.Duration // how long it lasts yet
	GuardLeft   time.Duration
	Peers       []PeerView
}

// PeerView is what is known of one peer.
type PeerView struct {
	ID        heartbeat.InstanceID
	Name      string
	Addr      netip.AddrPort
	Cache     netip.AddrPort
	State     heartbeat.State
	Flags     heartbeat.Flags
	Epoch     uint64
	Log       heartbeat.LogPos
	Age       time.Duration // since its last packet
	Confirmed bool
	Eligible  bool
	Position  int // place in the line of claims, from 1; 0 = none
	Votes     int
}

// View describes the machine at now.
func (m *Machine) View(now time.Duration) View {
	m.now = max(now, m.now)
	v := View{
		State: m.state, Epoch: m.epoch(), Drained: m.disk.Drained, Unhealthy: m.unhealthy || m.now < m.pauseUntil, Isolated: m.isolated,
		Embargo: m.now < m.embargoUntil, Fault: m.fault,
		Maintenance: max(0, m.maintenance.until-m.now),
		GuardLeft:   max(0, m.guard().Until-m.now),
	}
	if m.now < m.pauseUntil {
		v.Pause = m.pauseWhy
	}
	if m.needsVotes() && m.fault == "" && !m.masterLive() && !m.state.Reigns() && m.now >= m.listenUntil && m.votesHeard() < int(m.cfg.Quorum) {
		v.NoMajority = m.votesMissing()
	}
	if m.masterLive() {
		v.Follow, v.FollowAge = m.follow.Sighting, m.now-m.follow.at
	}
	line := []key{}
	if m.mayBeHeir() && !m.state.Reigns() {
		line = append(line, m.ownKey())
	}
	for _, p := range m.peers {
		if m.hears(p) && eligible(p) && !p.state.Reigns() {
			line = append(line, peerKey(p))
		}
	}
	slices.SortFunc(line, compareKey)
	place := func(id heartbeat.InstanceID) int {
		return 1 + slices.IndexFunc(line, func(k key) bool { return k.instance == id })
	}
	v.Position = place(m.cfg.Self)
	for _, p := range m.peers {
		if p.left || p.gone || m.now-p.heardAt > 2*m.t.Down {
			continue
		}
		v.Peers = append(v.Peers, PeerView{
			ID: p.id, Name: p.name, Addr: p.addr, Cache: p.cache, State: p.state, Flags: p.flags,
			Epoch: p.epoch, Log: p.log, Age: m.now - p.heardAt, Confirmed: m.confirmed(p),
			Eligible: eligible(p), Position: place(p.id), Votes: int(p.votes),
		})
	}
	return v
}

// Why a hand-over cannot begin.
var (
	ErrNotMaster   = errors.New("election: this instance is not the master")
	ErrNoPeer      = errors.New("election: no such peer is heard")
	ErrNotEligible = errors.New("election: that peer may not become master")
	ErrNoHeir      = errors.New("election: no peer may become master")
	ErrBusy        = errors.New("election: a hand-over is under way")
)

// CanHandOver tells beforehand why Handover to that peer, or to anyone when it
// is zero, would fail; nil if nothing speaks against it.
func (m *Machine) CanHandOver(now time.Duration, to heartbeat.InstanceID) error {
	m.now = max(now, m.now)
	switch {
	case m.hand.active:
		return ErrBusy
	case m.state != heartbeat.StateMaster:
		return ErrNotMaster
	}
	for _, p := range m.peers {
		if to.IsZero() && m.confirmed(p) && eligible(p) {
			return nil
		}
		if p.id == to {
			switch {
			case !m.confirmed(p):
				return ErrNoPeer
			case !eligible(p):
				return ErrNotEligible
			}
			return nil
		}
	}
	if to.IsZero() {
		return ErrNoHeir
	}
	return ErrNoPeer
}
