package profiler

import "context"

// Do runs fn as the step and returns its error. An empty id stands for the
// message that ctx belongs to.
//
// If the step is fenced, fn runs only after every Fencer returned nil; else
// the Fencer's error is returned, or one of ErrNoFencer, ErrNoID, ErrEnded and
// ErrUntold, and fn does not run. Nothing else makes Do return before fn did.
// A panic of fn and runtime.Goexit are told, and go on.
func (s *Step) Do(ctx context.Context, id string, fn func(ctx context.Context) error) error {
	if s == nil {
		return fn(ctx)
	}
	ctx, sp, err := s.enter(ctx, id, nil)
	if err != nil {
		return err
	}
	if sp.r == nil {
		return fn(ctx)
	}
	returned := false
	defer sp.guard(&returned)
	err = fn(ctx)
	returned = true
	sp.returned(err)
	return err
}

// returned ends the run of a function that came back.
func (sp Span) returned(err error) {
	if err != nil {
		sp.finish(Failed, textOf(err), false)
		return
	}
	sp.finish(Completed, "", false)
}

// guard, deferred, ends the run of a function that did not come back.
func (sp Span) guard(returned *bool) {
	if *returned {
		return
	}
	if r := recover(); r != nil {
		sp.panicked(r)
		panic(r)
	}
	sp.finish(Exited, "", false)
}

// Wrap makes fn a step for messages that know their id. A message that has a
// method Payload() []byte hands its bytes to a workflow that keeps them.
func Wrap[M interface{ ID() string }](s *Step, fn func(ctx context.Context, m M) error) func(ctx context.Context, m M) error {
	return WrapID(s, M.ID, fn)
}

// WrapID is Wrap for messages of any type: id tells a message's id.
func WrapID[M any](s *Step, id func(M) string, fn func(ctx context.Context, m M) error) func(ctx context.Context, m M) error {
	if s == nil {
		return fn
	}
	keep := s.kind == Workflow && s.p.cfg.Payload
	return func(ctx context.Context, m M) error {
		var payload []byte
		if keep {
			if with, ok := any(m).(interface{ Payload() []byte }); ok {
				payload = with.Payload()
			}
		}
		ctx, sp, err := s.enter(ctx, id(m), payload)
		if err != nil {
			return err
		}
		if sp.r == nil {
			return fn(ctx, m)
		}
		returned := false
		defer sp.guard(&returned)
		err = fn(ctx, m)
		returned = true
		sp.returned(err)
		return err
	}
}

// Dedupe hands to fn only messages that seen does not know as done; of the
// others it says that they are done, by a nil error. A message without an id
// is always handed on.
func Dedupe[M interface{ ID() string }](seen interface{ Seen(id string) bool }, fn func(ctx context.Context, m M) error) func(ctx context.Context, m M) error {
	return func(ctx context.Context, m M) error {
		if id := m.ID(); id != "" && seen.Seen(id) {
			return nil
		}
		return fn(ctx, m)
	}
}
