package position

import (
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Machine is the 3.3 election of one instance. It is not safe for concurrent use.
type Machine struct {
	cfg    Config
	t      timers
	state  heartbeat.State
	now    time.Duration
	wakeAt time.Duration
}

// New makes a machine that starts as a slave and listens from now on. Of saved
// it takes Drained. It fails if cfg does, naming every fault.
func New(cfg Config, saved election.State, now time.Duration) (*Machine, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Machine{cfg: cfg, t: newTimers(cfg.Interval, cfg.Timeout), state: heartbeat.StateListening, now: now, wakeAt: now}, nil
}

// WakeAt is when Step wants to be called with election.Wake at the latest.
func (m *Machine) WakeAt() time.Duration { return m.wakeAt }

// Step tells the machine what happened at now and returns what to do.
func (m *Machine) Step(now time.Duration, in election.Input) election.Output {
	m.now = max(m.now, now)
	m.wakeAt = m.now + m.t.interval
	return election.Output{WakeAt: m.wakeAt}
}

// View describes the machine at now.
func (m *Machine) View(now time.Duration) election.View { return election.View{State: m.state} }

// CanHandOver tells beforehand why Handover would fail; nil if nothing speaks against it.
func (m *Machine) CanHandOver(now time.Duration, to heartbeat.InstanceID) error {
	return election.ErrNotMaster
}
