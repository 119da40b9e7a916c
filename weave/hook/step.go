package hook

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Kinds of steps.
const (
	Workflow = "workflow"
	Channel  = "channel"
	Consumer = "consumer"
	Service  = "service"
	Producer = "producer"
)

const (
	maxName = 1 << 10 // bytes of an id or a name
	maxText = 8 << 10 // of an error's text
)

// String is for code where the name string may mean something else.
type String = string

// Step is one place that messages pass. Woven code makes it once.
type Step struct {
	kind, name string
	fenced     bool
}

// New makes a step. Only a producer can be fenced.
func New(kind, name string, fenced bool) *Step {
	return &Step{kind: kind, name: name, fenced: fenced && kind == Producer}
}

// Span is one run of a step with one message. A nil Span does nothing.
type Span struct {
	step    *Step
	id      string
	refused error
	cancel  context.CancelFunc
	other   func(err *error, panicked, exited bool) // of a profiler
}

// idKey is the key of a message's id in a context.
type idKey struct{}

// direct starts a run with the profiler that a context carries, if one does.
var direct func(ctx context.Context, s *Step, id func() string) (context.Context, *Span)

// Begin starts a run of the step. The id of the message is asked for with id;
// if that is nil or gives none, the id in ctx counts. Work goes on with the
// context that is returned, and defers End. After Begin of a fenced step,
// Refused says whether it may run.
func (s *Step) Begin(ctx context.Context, id func() string) (context.Context, *Span) {
	if direct != nil && ctx != nil {
		if c, sp := direct(ctx, s, id); sp != nil {
			return c, sp
		}
	}
	r := theReporter()
	if r == nil {
		return ctx, nil
	}
	sp := &Span{step: s, id: ask(id)}
	outer := ""
	if ctx != nil {
		outer, _ = ctx.Value(idKey{}).(string)
	}
	if sp.id == "" {
		sp.id = outer
	}
	if sp.id == "" && s.kind == Workflow {
		sp.id = unnamed()
	}
	if sp.id == "" {
		if s.fenced {
			sp.refused = errors.New("interlok-ha: " + s.name + " is fenced, and its message has no id")
			return ctx, sp
		}
		return ctx, nil
	}
	if ctx != nil && sp.id != outer {
		ctx = context.WithValue(ctx, idKey{}, sp.id)
	}
	e := event{id: sp.id, step: s, phase: started}
	if !s.fenced {
		r.add(e)
		return ctx, sp
	}
	from := time.Now()
	left, err := r.fence(ctx, e)
	if err != nil {
		sp.refused = err
		return ctx, sp
	}
	if ctx != nil {
		ctx, sp.cancel = context.WithDeadline(ctx, from.Add(left))
	}
	return ctx, sp
}

// Refused is why a fenced step must not run, or nil.
func (sp *Span) Refused() error {
	if sp == nil {
		return nil
	}
	return sp.refused
}

// End ends the run: completed, or failed if err points to an error; it may be
// nil. It must be deferred by itself: then it sees panics and runtime.Goexit,
// and lets them pass.
func (sp *Span) End(err *error) {
	if sp == nil {
		return
	}
	if sp.cancel != nil {
		sp.cancel()
	}
	panicked, exited := unwinding()
	if sp.other != nil {
		sp.other(err, panicked, exited)
		return
	}
	if sp.refused != nil {
		return
	}
	e := event{id: sp.id, step: sp.step, phase: completed}
	switch {
	case panicked:
		e.phase, e.text = failed, "panic"
	case exited:
		e.phase, e.text = failed, "runtime.Goexit"
	case err != nil && *err != nil:
		e.phase, e.text = failed, textOf(*err)
	}
	r := theReporter()
	r.add(e)
	if panicked {
		r.flush(100 * time.Millisecond)
	}
}

// unwinding says who called End: a panic, runtime.Goexit or neither. Nothing is
// recovered, so a panic that ends the program prints what it always would. The
// stack: Callers, unwinding, End, its caller.
func unwinding() (panicked, exited bool) {
	var pc [1]uintptr
	if runtime.Callers(3, pc[:]) == 0 {
		return false, false
	}
	f, _ := runtime.CallersFrames(pc[:]).Next()
	return f.Function == "runtime.gopanic", f.Function == "runtime.Goexit"
}

// ask gets the id of a message. A message that is nil, or whose method panics,
// has none: the program will notice without our help.
func ask(id func() string) (text string) {
	if id == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	if text = id(); len(text) > maxName || !utf8.ValidString(text) {
		return ""
	}
	return text
}

// textOf is err's text, whatever its Error method does.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "an error whose text panics"
		}
	}()
	if text = err.Error(); len(text) > maxText {
		text = text[:maxText]
	}
	return text
}

var (
	count atomic.Uint64
	birth = time.Now().UnixNano()
)

// unnamed is an id for a message that has none.
func unnamed() string {
	return "unnamed-" + strconv.FormatInt(birth, 36) + "-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(count.Add(1), 10)
}

// Flush waits until all steps before it are reported, 100 ms at most. The woven
// main function defers it.
func Flush() {
	if r := theReporter(); r != nil {
		r.flush(100 * time.Millisecond)
	}
}
