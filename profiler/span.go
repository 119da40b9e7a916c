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

// Span is one run of a step with one message. Its zero value does nothing. It
// may be copied; it ends once.
type Span struct {
	r   *run
	seq uint32 // r is this span's while it has this number
}

// run is what a span knows. A shard lends it to a span and takes it back at
// the end, so that a step allocates nothing.
type run struct {
	sh *shard // for ever the same

	// The span's while it lasts.
	s             *Step
	at            time.Duration
	m             *message // nil: outside of any workflow
	id            string
	cancel        context.CancelFunc // of a fenced step; nil: none
	order, parent uint32
	index         int32  // of the start in its shard's buffer; -1: it is not told
	gen           uint32 // which buffer that is
	attempt       uint16

	seq  uint32 // guarded by sh.mu, as the next one
	next *run   // that nobody has
}

// borrow takes a run that nobody has. The shard is locked.
func (sh *shard) borrow() *run {
	r := sh.free
	if r == nil {
		return &run{sh: sh}
	}
	sh.free = r.next
	return r
}

// give takes it back. The shard is locked.
func (sh *shard) give(r *run) {
	r.seq++
	r.s, r.m, r.id, r.cancel = nil, nil, "", nil
	r.next, sh.free = sh.free, r
}

// start adds the step's start to the buffer if there is room, and returns how
// many events there are then, or 0. The shard is locked.
func (r *run) start(d *Detail) int {
	sh := r.sh
	n := len(sh.buf)
	if n >= sh.limit || sh.closed || r.m != nil && r.m.mute {
		sh.dropped++
		r.index = -1
		return 0
	}
	sh.add(Event{
		ID: r.id, Step: r.s, At: r.at, Detail: d,
		Order: r.order, Parent: r.parent, Attempt: r.attempt, Phase: Started,
	})
	r.index, r.gen = int32(n), sh.gen
	return n + 1
}

// End ends the run: completed, or failed if err points to an error. It may be
// nil.
//
// It should be deferred by itself, as at Begin: then it sees a panic, tells of
// it, waits until the plugins have heard (100 ms at most), and lets it go on
// with the same value. If a function around it is deferred, a panic is told
// without its text and without waiting. That, and runtime.Goexit, it sees at
// the end of a workflow, of a fenced step, and of any that took 100 µs; a
// shorter one is told as completed, since the look costs more than all the
// rest. Do and Wrap are exact for all.
func (sp Span) End(err *error) {
	if sp.r == nil {
		return // also for a panic, which passes by
	}
	if r := recover(); r != nil {
		sp.panicked(r)
		panic(r)
	}
	if err != nil && *err != nil {
		sp.finish(Failed, textOf(*err), false)
		return
	}
	sp.finish(Completed, "", true)
}

// unwinding says what has called End if it was not a return: Exited for
// runtime.Goexit, Panicked for a panic that End could not recover because the
// function around it was deferred, and else Completed. The stack above it:
// Callers, unwinding, finish, End.
func unwinding() Phase {
	var pc [2]uintptr
	for i := range runtime.Callers(4, pc[:]) {
		switch runtime.FuncForPC(pc[i] - 1).Name() {
		case "runtime.Goexit":
			return Exited
		case "runtime.gopanic":
			return Panicked
		}
	}
	return Completed
}

// panicked tells of a panic with the value r and waits until it is heard.
func (sp Span) panicked(r any) {
	sp.finish(Panicked, cut(fmt.Sprint("panic: ", r)), false)
	ctx, cancel := context.WithTimeout(context.Background(), flushPanic)
	defer cancel()
	_ = sp.r.sh.p.Flush(ctx) // as far as it goes
}

// finish tells that the step has ended, once. look is for End: a Completed may
// be an Exited.
func (sp Span) finish(phase Phase, text string, look bool) {
	var d *Detail
	if text != "" {
		d = &Detail{Err: text}
	}
	r := sp.r
	sh := r.sh
	p := sh.p
	now := time.Since(p.base)
	sh.mu.Lock()
	if r.seq != sp.seq {
		sh.mu.Unlock()
		return
	}
	if look && (r.s.kind == Workflow || r.s.fenced || now-r.at >= longStep) {
		if phase = unwinding(); phase == Panicked {
			d = &Detail{Err: "panic"}
		}
	}
	if r.index < 0 && len(sh.buf) >= sh.limit && p.cfg.Overflow == Block {
		sh.wait() // the start was not told, so the end needs room
	}
	n := 0
	if m := r.m; m != nil && m.ended {
		sh.late++
	} else {
		n = r.tell(phase, now, d)
		if m != nil {
			r.settle(phase)
		}
	}
	cancel := r.cancel
	sh.give(r)
	sh.mu.Unlock()
	p.told(n, sh.limit)
	if cancel != nil {
		cancel()
	}
}

// tell adds the step's end to the buffer, or makes its start there an end. It
// returns how many events there are if one was added. The shard is locked.
func (r *run) tell(phase Phase, now time.Duration, d *Detail) int {
	m, sh := r.m, r.sh
	if r.index >= 0 && r.gen == sh.gen && (m == nil || m.order == r.order) && !sh.closed {
		// Nothing of the message began since: the two become one.
		e := &sh.buf[r.index]
		e.Phase, e.At, e.Took = phase, now, now-r.at
		if d != nil {
			if e.Detail != nil {
				d.Payload = e.Detail.Payload
			}
			e.Detail = d
		}
		return 0
	}
	if sh.closed || m != nil && m.mute || r.index < 0 && len(sh.buf) >= sh.limit {
		sh.dropped++
		return 0
	}
	sh.add(Event{
		ID: r.id, Step: r.s, At: now, Took: now - r.at, Detail: d,
		Order: r.order, Parent: r.parent, Attempt: r.attempt, Phase: phase,
	})
	return len(sh.buf)
}

// settle keeps the message's books when a step of it has ended. The shard is
// locked.
func (r *run) settle(phase Phase) {
	m, sh := r.m, r.sh
	if phase != Completed {
		m.fail(r.s)
	}
	if r.s.kind != Workflow {
		return
	}
	if m.runs--; m.runs == 0 {
		m.ended = true
		delete(sh.open, m.id)
		sh.p.open.Add(-1)
	}
	if phase == Completed {
		delete(sh.failed, m.id)
	} else {
		sh.fail(m.id, r.attempt)
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
