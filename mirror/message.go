package mirror

import (
	"slices"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Limits of a Message. The whole must also fit into a value of the cache.
const (
	MaxName  = 1 << 10 // bytes of ID, Workflow and the names of steps
	MaxError = 8 << 10 // bytes of Error
	MaxSteps = 256     // of Steps
)

// State says how far a message has come.
type State uint8

// How far a message has come.
const (
	InFlight State = 1 + iota
	Done
	Failed
)

var stateNames = [...]string{"", "in-flight", "done", "failed"}

// String is the state as the command line and the API write it.
func (s State) String() string {
	if s.valid() {
		return stateNames[s]
	}
	return "unknown"
}

func (s State) valid() bool { return s >= InFlight && s <= Failed }

// ParseState reads what String writes.
func ParseState(text string) (State, bool) {
	for s := InFlight; s <= Failed; s++ {
		if stateNames[s] == text {
			return s, true
		}
	}
	return 0, false
}

// Message is the state of one message. Its zero State is not valid.
type Message struct {
	ID       string
	Workflow string
	Step     string // the last one reached
	State    State
	Attempts uint32
	Started  int64  // ms since 1970 UTC
	Updated  int64  // ms since 1970 UTC
	Error    string // of the last attempt, if it failed
	Payload  []byte // nil unless the workflow keeps it

	// Epoch is that of the reign under which the last attempt began, and Begun
	// its place among those that the same process began: what sorts messages.
	Epoch, Begun uint64
	// Steps are those that a successor must know of: the open ones, and of
	// this attempt and earlier ones the producers, open or not.
	Steps []Step
}

// Step is one run of a step with a message.
type Step struct {
	Name    string
	Kind    profiler.Kind
	Phase   profiler.Phase // Started: nobody told how it ended
	Order   uint32         // among the steps of its attempt
	Attempt uint32         // of the message
}

// Publish reports whether the step is one that shows outside.
func (s Step) Publish() bool { return s.Kind == profiler.Producer }

// Open are the steps that began and of whose end nothing is known.
func (m *Message) Open() []Step {
	var open []Step
	for _, s := range m.Steps {
		if s.Phase == profiler.Started {
			open = append(open, s)
		}
	}
	return open
}

// Published reports whether a producer of that name has completed, in any
// attempt; with the empty name, any producer.
func (m *Message) Published(producer string) bool {
	return slices.ContainsFunc(m.Steps, func(s Step) bool {
		return s.Publish() && s.Phase == profiler.Completed && (producer == "" || s.Name == producer)
	})
}

// Doubt reports whether a producer of that name may have published without it
// being known: it began and its end is unknown, or was a failure. With the
// empty name, any producer. Only who receives can tell.
func (m *Message) Doubt(producer string) bool {
	return slices.ContainsFunc(m.Steps, func(s Step) bool {
		return s.Publish() && s.Phase != profiler.Completed && (producer == "" || s.Name == producer)
	})
}
