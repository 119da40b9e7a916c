package hook

import (
	"context"
	"errors"
	"sync"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// This file is not part of the copy: a program that has a profiler requires our
// module.

// bound is a profiler and the steps that were made for it.
type bound struct {
	p     *profiler.Profiler
	steps sync.Map // *Step → *profiler.Step
}

type boundKey struct{}

// Context makes p hear the woven steps that run with the context, instead of
// the socket. Work that node.Run calls does this with its Master.Profiler.
func Context(ctx context.Context, p *profiler.Profiler) context.Context {
	return context.WithValue(ctx, boundKey{}, &bound{p: p})
}

func init() { direct = begin }

func begin(ctx context.Context, s *Step, id func() string) (context.Context, *Span) {
	b, ok := ctx.Value(boundKey{}).(*bound)
	if !ok {
		return ctx, nil
	}
	ctx, span := b.step(s).Begin(ctx, ask(id))
	sp := &Span{step: s}
	if s.fenced && ctx.Err() != nil {
		sp.refused = context.Cause(ctx)
	}
	sp.other = func(err *error, panicked, exited bool) {
		text := ""
		switch {
		case panicked:
			text = "panic"
		case exited:
			text = "runtime.Goexit"
		}
		if text != "" {
			e := errors.New(text)
			err = &e
		}
		span.End(err)
	}
	return ctx, sp
}

func (b *bound) step(s *Step) *profiler.Step {
	if made, ok := b.steps.Load(s); ok {
		return made.(*profiler.Step)
	}
	var opts []profiler.StepOption
	if s.fenced {
		opts = append(opts, profiler.Fence())
	}
	maker := b.p.Service
	switch s.kind {
	case Workflow:
		maker = b.p.Workflow
	case Channel:
		maker = b.p.Channel
	case Consumer:
		maker = b.p.Consumer
	case Producer:
		maker = b.p.Producer
	}
	made, _ := b.steps.LoadOrStore(s, maker(s.name, opts...))
	return made.(*profiler.Step)
}
