package failover

import (
	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/election"
)

// levels of the events that are told as they are; others are for debugging.
var levels = map[election.EventType]zerolog.Level{
	election.EventConflict:      zerolog.WarnLevel,
	election.EventDeafPeer:      zerolog.WarnLevel,
	election.EventMute:          zerolog.WarnLevel,
	election.EventIsolated:      zerolog.WarnLevel,
	election.EventClone:         zerolog.WarnLevel,
	election.EventFault:         zerolog.ErrorLevel,
	election.EventSettings:      zerolog.WarnLevel,
	election.EventEpochJump:     zerolog.WarnLevel,
	election.EventStalled:       zerolog.WarnLevel,
	election.EventHandoverFails: zerolog.WarnLevel,
	election.EventNoCandidate:   zerolog.WarnLevel,
	election.EventNoMajority:    zerolog.WarnLevel,
	election.EventSaveFailed:    zerolog.ErrorLevel,
	election.EventHandover:      zerolog.InfoLevel,
	election.EventEpoch:         zerolog.InfoLevel,
	election.EventLogLost:       zerolog.ErrorLevel,
	election.EventMaybeLost:     zerolog.WarnLevel,
	election.EventCollision:     zerolog.WarnLevel,
}

var sentences = map[election.EventType]string{
	election.EventConflict:      "Another master is heard",
	election.EventDeafPeer:      "Another master hears nobody; it is passed over",
	election.EventMute:          "This master is not heard by another",
	election.EventIsolated:      "Isolated",
	election.EventClone:         "Another live instance has this name",
	election.EventFault:         "Taking no part",
	election.EventSettings:      "A peer has other settings",
	election.EventEpochJump:     "The epoch jumped by more than 1000",
	election.EventStalled:       "This process was not run in time",
	election.EventHandoverFails: "Hand-over failed; still master",
	election.EventNoCandidate:   "No instance may become master",
	election.EventNoMajority:    "No majority",
	election.EventSaveFailed:    "State not saved",
	election.EventHandover:      "Handing over",
	election.EventEpoch:         "Reigning on under a new epoch",
	election.EventSealed:        "The log has ended for the hand-over",
	election.EventLogLost:       "Records of the cache are lost with the instance that held them",
	election.EventMaybeLost:     "Acknowledged records of the cache may be lost",
	election.EventCollision:     "Another instance has the slave position that is configured here",
	election.EventOrder:         "The order of promotion has changed",
}

// log writes the line of an event. Promotion has two, as in the Java original.
func (m *Manager) log(e election.Event) {
	l := m.cfg.Log
	if m.cfg.Positions && m.logPosition(e) {
		return
	}
	switch e.Type {
	case election.EventMaster:
		m.logMaster(e)
	case election.EventOpened:
		m.master = m.cfg.Election.Self
		l.Info().Uint64("epoch", e.Epoch).Msg("Promoted to Master node")
		l.Info().Msg("Failover Manager has been promoted")
		return
	case election.EventLost:
		m.ofReign(l.Warn(), e).Str("why", e.Detail).Msg("Demoted to slave node")
		return
	case election.EventStopWork:
		m.ofReign(l.Info(), e).Str("why", e.Detail).Msg("Giving mastership up")
		return
	}
	level, ok := levels[e.Type]
	if !ok {
		level = zerolog.DebugLevel
	}
	text := sentences[e.Type]
	if text == "" {
		text = e.Type.String()
	}
	ev := l.WithLevel(level)
	if e.Name != "" {
		ev = ev.Str("peer", e.Name)
	}
	if e.Epoch > 0 && !m.cfg.Positions { // there it is a number of the machine's own
		ev = ev.Uint64("epoch", e.Epoch)
	}
	if e.State != 0 {
		ev = ev.Stringer("state", e.State)
	}
	if e.Type == election.EventCollision { // over multicast several have the same name
		ev = ev.Int("position", e.Position).Stringer("id", e.Peer)
	}
	if e.Detail != "" {
		ev = ev.Str("detail", e.Detail)
	}
	ev.Msg(text)
}

// ofReign adds the epoch of a reign; in the 3.3 design there is none.
func (m *Manager) ofReign(line *zerolog.Event, e election.Event) *zerolog.Event {
	if m.cfg.Positions {
		return line
	}
	return line.Uint64("epoch", e.Epoch)
}

// logMaster says who the new master is, once. The first one that is heard is no
// change; and of a slave INFO tells nothing but its own changes of role.
func (m *Manager) logMaster(e election.Event) {
	if e.Peer.IsZero() || e.Peer == m.master {
		return
	}
	if !m.master.IsZero() {
		name := e.Name
		if name == "" { // others told of it
			name = e.Peer.String()
		}
		m.cfg.Log.Warn().Str("peer", name).Uint64("epoch", e.Epoch).Msg("Following another master")
	}
	m.master = e.Peer
}

// logPosition writes the lines that the 3.3 design has of its own.
func (m *Manager) logPosition(e election.Event) bool {
	l := m.cfg.Log
	switch e.Type {
	case election.EventPosition:
		// The start has told of a configured one.
		if e.Position > 0 && (m.placed || e.Position != m.cfg.Position) {
			l.Info().Msgf("Assigning myself slave position %d", e.Position)
		}
		m.placed = true
	case election.EventPromoting:
		l.Trace().Msg("Master not available, promoting myself to master.")
	case election.EventMaster:
		if e.Peer.IsZero() {
			return false
		}
		// Over multicast several have the same name.
		l.Info().Str("peer", e.Name).Str("id", e.Peer.UUID()).Msg("Following this master")
	case election.EventOpened:
		l.Info().Msg("Promoting to MASTER")
	default:
		return false
	}
	return true
}
