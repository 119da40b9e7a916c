package profiler

import (
	"context"
	"time"
)

// Overflow says what a hook does when there is no room for its event.
type Overflow uint8

// What a hook does when there is no room.
const (
	Drop  Overflow = iota // forget the event and count it
	Block                 // wait for room, but not for a plugin that is stuck
)

// Config is what a profiler needs. The zero value works.
type Config struct {
	Plugins    []Plugin
	Overflow   Overflow
	Buffer     int           // events that wait for the plugins; 0: 16384
	Flush      time.Duration // how long an event waits at most; 0: 2 ms
	Patience   time.Duration // after that long in Observe a plugin is stuck; 0: 1 s
	Payload    bool          // keep the bytes of a message at its workflow's start
	MaxPayload int           // bytes; a longer one is not kept; 0: 256 KiB
	Log        func(string)  // told of panics of plugins and of stuck ones; nil: nobody
}

// Profiler makes steps and hands their events to plugins.
type Profiler struct {
	base time.Time
	cfg  Config
}

// New makes a profiler. Its steps work at once; plugins hear of them while Run runs.
func New(cfg Config) (*Profiler, error) { return &Profiler{base: time.Now(), cfg: cfg}, nil }

// Run hands events to the plugins until ctx ends; then it hands over what is left.
func (p *Profiler) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Flush returns when the plugins have heard all events before it, or with ctx's error.
func (p *Profiler) Flush(ctx context.Context) error { return nil }

// Base is the time that Event.At counts from.
func (p *Profiler) Base() time.Time { return p.base }

// Stats are counters since New.
type Stats struct {
	Events   uint64 // told by steps; a short step is one
	Dropped  uint64 // for want of room, for at least one plugin
	Late     uint64 // of messages that had ended: ignored
	Unnamed  uint64 // workflows without an id, which got one
	Repeated uint64 // workflows begun with an id that was open
	Payloads uint64 // too long to be kept
	Panics   uint64 // of plugins
	Stuck    uint64 // times a plugin was found stuck
	Open     int    // messages whose workflow has begun and not ended: now
}

// Stats are the present counters.
func (p *Profiler) Stats() Stats { return Stats{} }

// Channel makes a step.
func (p *Profiler) Channel(name string, opts ...StepOption) *Step { return p.step(Channel, name, opts) }

// Workflow makes a step that opens a message and ends it.
func (p *Profiler) Workflow(name string, opts ...StepOption) *Step {
	return p.step(Workflow, name, opts)
}

// Consumer makes a step.
func (p *Profiler) Consumer(name string, opts ...StepOption) *Step {
	return p.step(Consumer, name, opts)
}

// Service makes a step.
func (p *Profiler) Service(name string, opts ...StepOption) *Step { return p.step(Service, name, opts) }

// Producer makes a step.
func (p *Profiler) Producer(name string, opts ...StepOption) *Step {
	return p.step(Producer, name, opts)
}

func (p *Profiler) step(kind Kind, name string, opts []StepOption) *Step {
	if p == nil {
		return nil
	}
	s := &Step{p: p, name: name, kind: kind}
	for _, o := range opts {
		o(s)
	}
	return s
}
