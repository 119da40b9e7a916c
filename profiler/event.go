package profiler

import (
	"context"
	"time"
)

// Kind says what sort of step a step is.
type Kind uint8

// The kinds of steps, from the outside in.
const (
	Channel Kind = 1 + iota
	Workflow
	Consumer
	Service
	Producer
)

var kindNames = [...]string{"UNKNOWN", "CHANNEL", "WORKFLOW", "CONSUMER", "SERVICE", "PRODUCER"}

// String is the kind in capital letters, as CHANNEL or PRODUCER.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[0]
}

// Phase says how far a step has come.
type Phase uint8

// The phases of a step. All but Started are ends.
const (
	Started   Phase = 1 + iota
	Completed       // returned without an error
	Failed          // returned an error
	Panicked        // panicked; the panic went on
	Exited          // called runtime.Goexit
)

var phaseNames = [...]string{"unknown", "started", "completed", "failed", "panicked", "exited"}

// String is the phase in small letters.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return phaseNames[0]
}

// Event is one thing that happened to one step of one message.
//
// An end that no Started came before stands for both: the step was short. It
// started at At-Took.
type Event struct {
	ID      string        // of the message; may be empty only when Order is 0
	Step    *Step         // never nil
	At      time.Duration // when Phase was reached, since the profiler's Base
	Took    time.Duration // 0 for Started
	Detail  *Detail       // nil unless there is an error text or a payload
	Order   uint32        // of the step within the message, from 1; 0: outside of any workflow
	Parent  uint32        // Order of the step around it; 0: none
	Attempt uint16        // 1, and 1 more for each time this step failed before with this message
	Phase   Phase
}

// Time is At as a wall clock time.
func (e *Event) Time() time.Time { return e.Step.p.base.Add(e.At) }

// Detail is what few events have. All plugins share it: it is not to be
// changed.
type Detail struct {
	Err     string // of Failed and Panicked
	Payload []byte // of a workflow's Started, if the profiler keeps payloads
}

// Plugin hears events.
//
// Observe gets them in batches, on a goroutine that belongs to the plugin. The
// events of one message come in their order. The batch is the plugin's only
// until Observe returns.
type Plugin interface{ Observe(batch []Event) }

// Fencer is a plugin that must agree before a fenced step runs.
//
// Fence gets the step's Started and returns nil once a successor would know of
// it. The step runs with the context that it returns. The context is cancelled
// when the step has ended.
type Fencer interface {
	Fence(ctx context.Context, id string, ev Event) (context.Context, error)
}

// Loser is a plugin that wants to know of events that it will not hear. Lost
// is called on the plugin's goroutine before the next Observe.
type Loser interface{ Lost(events uint64) }
