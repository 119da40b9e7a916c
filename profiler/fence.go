package profiler

import (
	"context"
	"errors"
	"fmt"
)

// What callers branch on.
var (
	ErrNotRunning = errors.New("profiler: Run does not run")
	ErrNoFencer   = errors.New("profiler: a fenced step, and no plugin is a fencer")
	ErrNoID       = errors.New("profiler: a fenced step, and the message has no id")
	ErrEnded      = errors.New("profiler: a fenced step of a message that has ended")
	ErrUntold     = errors.New("profiler: a fenced step of a message that is not told of: too many are in flight")
)

// fence asks every Fencer whether the step may run, and returns the context to
// run it with.
func (sp Span) fence(ctx context.Context) (context.Context, error) {
	fencers := sp.r.sh.p.fencers
	if len(fencers) == 0 {
		return nil, ErrNoFencer
	}
	r := sp.r
	if r.id == "" {
		return nil, ErrNoID
	}
	ctx, r.cancel = context.WithCancel(ctx)
	ev := Event{
		ID: r.id, Step: r.s, At: r.at,
		Order: r.order, Parent: r.parent, Attempt: r.attempt, Phase: Started,
	}
	for _, f := range fencers {
		next, err := ask(ctx, f, ev)
		if err != nil {
			return nil, err
		}
		if next != nil {
			ctx = next
		}
	}
	return ctx, nil
}

// ask makes an error of a Fencer's panic: a fence that broke has not agreed.
func ask(ctx context.Context, f Fencer, ev Event) (next context.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("profiler: fence of %v: %T panicked: %v", ev.Step, f, r)
		}
	}()
	return f.Fence(ctx, ev.ID, ev)
}
