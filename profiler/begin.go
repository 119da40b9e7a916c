package profiler

import (
	"context"
	"time"
)

// Begin starts a run of the step with the message id and returns the context
// to run it with. An empty id stands for the message that ctx belongs to; a
// workflow without either gets an id of its own. Each Begin needs one End:
//
//	ctx, span := step.Begin(ctx, id)
//	defer span.End(&err)
//
// A fenced step waits here. If it may not run, the context is cancelled and
// context.Cause tells why: look at it before the work. Do does that by itself.
func (s *Step) Begin(ctx context.Context, id string) (context.Context, Span) {
	if s == nil {
		return ctx, Span{}
	}
	return s.begin(ctx, id, nil)
}

// BeginPayload is Begin with the bytes of the message. A workflow keeps a copy
// if the profiler is told to keep payloads; all else ignores them.
func (s *Step) BeginPayload(ctx context.Context, id string, payload []byte) (context.Context, Span) {
	if s == nil {
		return ctx, Span{}
	}
	return s.begin(ctx, id, payload)
}

func (s *Step) begin(ctx context.Context, id string, payload []byte) (context.Context, Span) {
	ctx, sp, err := s.enter(ctx, id, payload)
	if err != nil {
		refused, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return refused, sp
	}
	return ctx, sp
}

// enter starts a run. After an error there is nothing to end.
func (s *Step) enter(ctx context.Context, id string, payload []byte) (context.Context, Span, error) {
	at := time.Since(s.p.base)
	if s.kind == Workflow || s.fenced {
		return s.enterSlow(ctx, id, payload, at)
	}
	sp, _ := s.join(ctx, id, at) // late, and not fenced: fn runs and nobody hears of it
	if s.nest && sp.r != nil && sp.r.m != nil {
		ctx = &scope{Context: orBackground(ctx), m: sp.r.m, order: sp.r.order}
	}
	return ctx, sp, nil
}

func (s *Step) enterSlow(ctx context.Context, id string, payload []byte, at time.Duration) (context.Context, Span, error) {
	ctx = orBackground(ctx)
	var sp Span
	var err error
	if s.kind == Workflow {
		ctx, sp, err = s.open(ctx, id, payload, at)
	} else if sp, err = s.join(ctx, id, at); err == nil && sp.r.m != nil {
		ctx = &scope{Context: ctx, m: sp.r.m, order: sp.r.order}
	}
	if !s.fenced {
		return ctx, sp, nil
	}
	if err != nil {
		return ctx, Span{}, err
	}
	fenced, err := sp.fence(ctx)
	if err != nil {
		sp.finish(Failed, textOf(err), false)
		return ctx, Span{}, err
	}
	return fenced, sp, nil
}

func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// join finds the message of a step and tells that the step has started. After
// an error, the message has ended or is not told of, and the span is zero.
func (s *Step) join(ctx context.Context, id string, at time.Duration) (Span, error) {
	p := s.p
	var m *message
	var parent uint32
	var sh *shard
	if c := scopeOf(ctx); c != nil && c.m.sh.p == p && (id == "" || id == c.m.id) {
		m, parent = c.m, c.order
		id, sh = m.id, m.sh
	} else {
		sh = p.shard(id)
	}
	sh.lock()
	if m == nil && id != "" {
		if m = sh.open[id]; m != nil {
			parent = 1
		}
	}
	if m != nil && m.ended {
		err := sh.ignore(m)
		sh.mu.Unlock()
		return Span{}, err
	}
	r := sh.borrow()
	r.s, r.at, r.m, r.id, r.order, r.parent, r.attempt = s, at, m, id, 0, parent, 1
	if m != nil {
		m.order++
		r.order = m.order
		if len(m.fails) > 0 {
			r.attempt = m.attemptOf(s)
		}
	}
	sp := Span{r: r, seq: r.seq}
	n := r.start(nil)
	sh.mu.Unlock()
	p.told(n, sh.limit)
	return sp, nil
}

// ignore counts a step of a message that nobody hears of any more.
func (sh *shard) ignore(m *message) error {
	if m.mute {
		sh.dropped++
		return ErrUntold
	}
	sh.late++
	return ErrEnded
}
