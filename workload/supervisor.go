package workload

import (
	"errors"
	"fmt"
	"time"
)

// Restart says after which exits COMMAND is started again.
type Restart string

// The values of failover.workload.restart.
const (
	RestartOnFailure Restart = "on-failure"
	RestartAlways    Restart = "always"
	RestartNo        Restart = "no"
)

// MaxRestartDelay is where the doubling of the restart delay ends.
const MaxRestartDelay = 30 * time.Second

// Policy is the user's wish for a COMMAND that ended by itself.
type Policy struct {
	Restart Restart       // failover.workload.restart
	Delay   time.Duration // before the first restart; doubled each time, up to MaxRestartDelay
	Limit   int           // failures within Window that are answered with a restart here
	Window  time.Duration // also how long no claim is made after the limit was passed
}

// DefaultPolicy returns on-failure, 1 s, 3 restarts in 60 s.
func DefaultPolicy() Policy {
	return Policy{Restart: RestartOnFailure, Delay: time.Second, Limit: 3, Window: time.Minute}
}

func (p Policy) validate() error {
	var faults []error
	switch p.Restart {
	case RestartOnFailure, RestartAlways, RestartNo:
	default:
		faults = append(faults, fmt.Errorf("restart: %q is none of on-failure, always, no", p.Restart))
	}
	if p.Delay < 0 {
		faults = append(faults, fmt.Errorf("delay: %v is negative", p.Delay))
	}
	if p.Limit < 0 {
		faults = append(faults, fmt.Errorf("limit: %d is negative", p.Limit))
	}
	if p.Window <= 0 {
		faults = append(faults, fmt.Errorf("window: %v is not positive", p.Window))
	}
	return errors.Join(faults...)
}

// Action is what the node does after COMMAND ended.
type Action int

// The actions.
const (
	ActionNone    Action = iota // the node ended it and knows why
	ActionRestart               // start it again here, after Decision.After
	ActionResign                // give the role up; no claim for Decision.NoClaimFor
	ActionGoodbye               // leave the cluster; run exits with Decision.Code
)

func (a Action) String() string {
	switch a {
	case ActionNone:
		return "none"
	case ActionRestart:
		return "restart"
	case ActionResign:
		return "resign"
	case ActionGoodbye:
		return "goodbye"
	}
	return fmt.Sprintf("action %d", int(a))
}

// Decision is what follows an exit. Only the field that its Action names is
// set.
type Decision struct {
	Action     Action
	After      time.Duration
	NoClaimFor time.Duration
	Code       int
}

// Supervisor decides what follows each exit of COMMAND. It has no clock and
// starts nothing. It belongs to one goroutine.
type Supervisor struct {
	policy   Policy
	failures []time.Duration // within the last window
	restarts int             // in a row, for the doubling
	lastEnd  time.Duration
	lastWait time.Duration
}

// NewSupervisor returns a Supervisor without a past.
func NewSupervisor(p Policy) (*Supervisor, error) {
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("workload policy: %w", err)
	}
	return &Supervisor{policy: p}, nil
}

// Next says what follows r, which came at now (any clock that never goes
// back, the same in each call).
//
// A failure is answered with a restart while there were no more than Limit in
// the last Window, this one included; the next one makes the node resign, and
// the past is forgotten. A clean exit under always is a restart too, but does
// not count against the limit. A run that lasted for a whole Window sets the
// delay back.
func (s *Supervisor) Next(now time.Duration, r Result) Decision {
	switch r.Cause {
	case CauseExited, CauseNotStarted, CauseKeeperLost:
	default:
		return Decision{}
	}
	if s.policy.Restart == RestartNo || s.policy.Restart == RestartOnFailure && !r.Failed() {
		return Decision{Action: ActionGoodbye, Code: r.Code}
	}

	if s.restarts > 0 && now-(s.lastEnd+s.lastWait) >= s.policy.Window {
		s.restarts = 0
	}
	if r.Failed() {
		for len(s.failures) > 0 && now-s.failures[0] >= s.policy.Window {
			s.failures = s.failures[1:]
		}
		s.failures = append(s.failures, now)
		if len(s.failures) > s.policy.Limit {
			s.failures, s.restarts = nil, 0
			return Decision{Action: ActionResign, NoClaimFor: s.policy.Window}
		}
	}
	wait := min(s.policy.Delay, MaxRestartDelay)
	for i := 0; i < s.restarts && wait > 0 && wait < MaxRestartDelay; i++ {
		wait = min(2*wait, MaxRestartDelay)
	}
	s.restarts++
	s.lastEnd, s.lastWait = now, wait
	return Decision{Action: ActionRestart, After: wait}
}
