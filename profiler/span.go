package profiler

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// How long a panic waits for the plugins to hear of it, and above which time
// the end of a step is worth a look at who calls it.
const (
	flushPanic = 100 * time.Millisecond
	longStep   = 100 * time.Microsecond
	maxText    = 8 << 10 // bytes of an error's text
)

// Span is one run of a step with one message. Its zero value does nothing.
type Span struct {
	s             *Step
	m             *message // nil: outside of any workflow
	sh            *shard
	id            string
	at            time.Duration
	cancel        context.CancelFunc // of a fenced step; nil: none
	order, parent uint32
	index         int32 // of the start in its shard's buffer; -1: it is not told
	gen           uint32
	attempt       uint16
}

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
	if s.fenced || s.kind == Workflow {
		return s.enterSlow(ctx, id, payload)
	}
	sp := Span{s: s, id: id, at: time.Since(s.p.base)}
	_ = sp.join(ctx) // late, and not fenced: fn runs and nobody hears of it
	if s.nest && sp.m != nil {
		ctx = &scope{Context: orBackground(ctx), m: sp.m, order: sp.order}
	}
	return ctx, sp, nil
}

func (s *Step) enterSlow(ctx context.Context, id string, payload []byte) (context.Context, Span, error) {
	sp := Span{s: s, id: id, at: time.Since(s.p.base)}
	ctx = orBackground(ctx)
	if s.kind == Workflow {
		ctx = sp.open(ctx, payload)
	} else if err := sp.join(ctx); err != nil {
		return ctx, Span{}, err
	} else if sp.m != nil {
		ctx = &scope{Context: ctx, m: sp.m, order: sp.order}
	}
	switch {
	case !s.fenced:
		return ctx, sp, nil
	case sp.s == nil:
		return ctx, Span{}, ErrUntold
	}
	fenced, err := sp.fence(ctx)
	if err != nil {
		sp.finish(Failed, time.Since(s.p.base), textOf(err))
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
// an error, the message has ended or is not told of, sp is zero.
func (sp *Span) join(ctx context.Context) error {
	p, parent := sp.s.p, uint32(0)
	var m *message
	if c := scopeOf(ctx); c != nil && c.m.p == p && (sp.id == "" || sp.id == c.m.id) {
		m, parent = c.m, c.order
		sp.id, sp.sh = m.id, m.sh
	} else {
		sp.sh = p.shard(sp.id)
	}
	sh := sp.sh
	sh.lock(p)
	if m == nil && sp.id != "" {
		if m = sh.open[sp.id]; m != nil {
			parent = 1
		}
	}
	sp.attempt = 1
	if m != nil {
		if m.ended {
			err := sh.ignore(m)
			sh.mu.Unlock()
			*sp = Span{}
			return err
		}
		m.order++
		sp.m, sp.order, sp.parent = m, m.order, parent
		if len(m.fails) > 0 {
			sp.attempt = m.attemptOf(sp.s)
		}
		if m.mute {
			sp.index = -1
			sh.dropped++
			sh.mu.Unlock()
			return nil
		}
	}
	n := sp.start(nil)
	sh.mu.Unlock()
	p.told(n, sh.limit)
	return nil
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

// start adds the step's start to the buffer if there is room, and returns how
// many events there are then, or 0. The shard is locked.
func (sp *Span) start(d *Detail) int {
	sh := sp.sh
	n := len(sh.buf)
	if n >= sh.limit || sh.closed {
		sh.dropped++
		sp.index = -1
		return 0
	}
	sh.buf = append(sh.buf, Event{
		ID: sp.id, Step: sp.s, At: sp.at, Detail: d,
		Order: sp.order, Parent: sp.parent, Attempt: sp.attempt, Phase: Started,
	})
	sh.events++
	sp.index, sp.gen = int32(n), sh.gen
	return n + 1
}

// End ends the run: completed, or failed if err points to an error. It may be
// nil.
//
// It must be deferred by itself, as at Begin: then it sees a panic, tells of it, waits
// until the plugins have heard (100 ms at most), and lets it go on with the
// same value. It sees runtime.Goexit too, at the end of a workflow, of a
// fenced step, and of any that took 100 µs; a shorter one is told as
// completed, since the look costs more than all the rest. Do and Wrap are
// exact for all.
func (sp Span) End(err *error) {
	if sp.s == nil {
		return // also for a panic, which passes by
	}
	if r := recover(); r != nil {
		sp.panicked(r)
		panic(r)
	}
	var e error
	if err != nil {
		e = *err
	}
	sp.end(e)
}

func (sp *Span) end(err error) {
	now := time.Since(sp.s.p.base)
	switch {
	case err != nil:
		sp.finish(Failed, now, textOf(err))
	case (sp.s.kind == Workflow || sp.s.fenced || now-sp.at >= longStep) && exiting():
		sp.finish(Exited, now, "")
	default:
		sp.finish(Completed, now, "")
	}
}

// exiting says whether runtime.Goexit called End. The stack above it: Callers,
// exiting, end, End.
func exiting() bool {
	var pc [1]uintptr
	return runtime.Callers(4, pc[:]) == 1 && runtime.FuncForPC(pc[0]-1).Name() == "runtime.Goexit"
}

// panicked tells of a panic with the value r and waits until it is heard.
func (sp *Span) panicked(r any) {
	sp.finish(Panicked, time.Since(sp.s.p.base), cut(fmt.Sprint("panic: ", r)))
	ctx, cancel := context.WithTimeout(context.Background(), flushPanic)
	defer cancel()
	_ = sp.s.p.Flush(ctx) // as far as it goes
}

// finish tells that the step has ended.
func (sp *Span) finish(phase Phase, now time.Duration, text string) {
	p, sh, m := sp.s.p, sp.sh, sp.m
	if sp.cancel != nil {
		sp.cancel()
	}
	var d *Detail
	if text != "" {
		d = &Detail{Err: text}
	}
	if sp.index < 0 {
		sh.lock(p) // may wait for room: the start was not told
	} else {
		sh.mu.Lock()
	}
	n := 0
	if m != nil && m.ended {
		sh.late++
	} else {
		n = sp.tell(phase, now, d)
		if m != nil {
			sp.settle(phase)
		}
	}
	sh.mu.Unlock()
	if n > 0 {
		p.told(n, sh.limit)
	}
}

// tell adds the step's end to the buffer, or makes its start there an end. It
// returns how many events there are if one was added. The shard is locked.
func (sp *Span) tell(phase Phase, now time.Duration, d *Detail) int {
	sh, m := sp.sh, sp.m
	if m != nil && m.mute {
		sh.dropped++
		return 0
	}
	if sp.index >= 0 && sp.gen == sh.gen && (m == nil || m.order == sp.order) && !sh.closed {
		// Nothing of the message began since: the two become one.
		e := &sh.buf[sp.index]
		e.Phase, e.At, e.Took = phase, now, now-sp.at
		if d != nil {
			if e.Detail != nil {
				d.Payload = e.Detail.Payload
			}
			e.Detail = d
		}
		return 0
	}
	if sh.closed || sp.index < 0 && len(sh.buf) >= sh.limit {
		sh.dropped++
		return 0
	}
	sh.buf = append(sh.buf, Event{
		ID: sp.id, Step: sp.s, At: now, Took: now - sp.at, Detail: d,
		Order: sp.order, Parent: sp.parent, Attempt: sp.attempt, Phase: phase,
	})
	sh.events++
	return len(sh.buf)
}

// settle keeps the message's books when a step of it has ended. The shard is
// locked.
func (sp *Span) settle(phase Phase) {
	m, sh := sp.m, sp.sh
	if phase != Completed {
		m.fail(sp.s)
	}
	if sp.s.kind != Workflow {
		return
	}
	if m.runs--; m.runs == 0 {
		m.ended = true
		delete(sh.open, m.id)
		sp.s.p.open.Add(-1)
	}
	if phase == Completed {
		delete(sh.failed, m.id)
	} else {
		sh.fail(m.id, sp.attempt)
	}
}

// textOf is err's text, whatever its Error method does.
func textOf(err error) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("error of type %T, whose Error panics", err)
		}
	}()
	if text = cut(err.Error()); text == "" {
		text = fmt.Sprintf("error of type %T without a text", err)
	}
	return text
}

func cut(text string) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
