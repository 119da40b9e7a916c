package profiler

import "context"

// StepOption changes a step that is being made.
type StepOption func(*Step)

// Fence makes the step wait in Do and Wrap until every Fencer agreed.
func Fence() StepOption { return func(s *Step) { s.fenced = true } }

// Instance tells apart steps of one name.
func Instance(id string) StepOption { return func(s *Step) { s.instance = id } }

// Nest makes the step the parent of those that begin with its context.
func Nest() StepOption { return func(s *Step) { s.nest = true } }

// Step is one place that messages pass. A nil Step is a disabled hook.
type Step struct {
	p              *Profiler
	name, instance string
	kind           Kind
	fenced, nest   bool
}

// Name is the name that the step was made with.
func (s *Step) Name() string { return s.name }

// Instance is what tells apart steps of one name; mostly empty.
func (s *Step) Instance() string { return s.instance }

// Kind says what sort of step it is.
func (s *Step) Kind() Kind { return s.kind }

// Fenced says whether the step waits for Fencers.
func (s *Step) Fenced() bool { return s.fenced }

// Span is one run of a step with one message.
type Span struct{ s *Step }

// Begin starts a run of the step with the message id; "" is the one in ctx.
func (s *Step) Begin(ctx context.Context, id string) (context.Context, Span) {
	return s.BeginPayload(ctx, id, nil)
}

// BeginPayload is Begin with the bytes of the message.
func (s *Step) BeginPayload(ctx context.Context, id string, payload []byte) (context.Context, Span) {
	return ctx, Span{s}
}

// End ends the run.
func (sp Span) End(err *error) {}

// Do runs fn as the step; a fenced one only after every Fencer agreed.
func (s *Step) Do(ctx context.Context, id string, fn func(ctx context.Context) error) (err error) {
	if s == nil {
		return fn(ctx)
	}
	if s.fenced {
		for _, pl := range s.p.cfg.Plugins {
			if f, ok := pl.(Fencer); ok {
				if ctx, err = f.Fence(ctx, id, Event{ID: id, Step: s, Phase: Started}); err != nil {
					return err
				}
			}
		}
	}
	return fn(ctx)
}

// ID is the id of the message in ctx, or "".
func ID(ctx context.Context) string { return "" }

// Wrap makes fn a step for messages that know their id.
func Wrap[M interface{ ID() string }](s *Step, fn func(ctx context.Context, m M) error) func(ctx context.Context, m M) error {
	return WrapID(s, M.ID, fn)
}

// WrapID makes fn a step for messages of any type.
func WrapID[M any](s *Step, id func(M) string, fn func(ctx context.Context, m M) error) func(ctx context.Context, m M) error {
	if s == nil {
		return fn
	}
	return func(ctx context.Context, m M) error {
		return s.Do(ctx, id(m), func(ctx context.Context) error { return fn(ctx, m) })
	}
}

// Dedupe passes to fn only messages that seen does not know as done.
func Dedupe[M interface{ ID() string }](seen interface{ Seen(id string) bool }, fn func(ctx context.Context, m M) error) func(ctx context.Context, m M) error {
	return func(ctx context.Context, m M) error {
		if seen.Seen(m.ID()) {
			return nil
		}
		return fn(ctx, m)
	}
}
