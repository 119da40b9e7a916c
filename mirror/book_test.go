package mirror

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// hooks are steps to make events of.
type hooks struct {
	orders, other, validate, publish, audit *profiler.Step
}

func newHooks(t testing.TB) hooks {
	t.Helper()
	p, err := profiler.New(profiler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return hooks{p.Workflow("orders"), p.Workflow("other"), p.Service("validate"), p.Producer("publish", profiler.Fence()), p.Producer("audit")}
}

// at is an event of message m at that many ms.
func at(ms int, s *profiler.Step, order uint32, phase profiler.Phase, took int) profiler.Event {
	e := profiler.Event{
		ID: "m", Step: s, At: time.Duration(ms) * time.Millisecond, Took: time.Duration(took) * time.Millisecond,
		Order: order, Attempt: 1, Phase: phase,
	}
	if order > 1 {
		e.Parent = 1
	}
	if phase == profiler.Failed {
		e.Detail = &profiler.Detail{Err: "no stock"}
	}
	return e
}

// told is a message in a line.
func told(m Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s/%s %d", m.State, m.Workflow, m.Step, m.Attempts)
	for _, s := range m.Steps {
		fmt.Fprintf(&b, " %s:%v#%d@%d", s.Name, s.Phase, s.Order, s.Attempt)
	}
	if m.Error != "" {
		b.WriteString(" " + m.Error)
	}
	return b.String()
}

// tape plays events to a book whose cache is a map.
type tape struct {
	book  book
	cache map[string]Message
	dirty []*flight
}

func newTape() *tape {
	t := &tape{cache: map[string]Message{}}
	t.book = book{flights: map[string]*flight{}, load: func(id string) (Message, bool) { m, ok := t.cache[id]; return m, ok }}
	return t
}

func (t *tape) observe(events ...profiler.Event) {
	for i := range events {
		if f := t.book.apply(&events[i]); f != nil {
			t.dirty = append(t.dirty, f)
		}
	}
	t.write()
}

func (t *tape) write() {
	for _, f := range t.dirty {
		if t.book.flights[f.ID] != f {
			continue
		}
		m := f.Message
		m.Steps = slices.Clone(m.Steps)
		t.cache[f.ID] = m
		if f.landed() {
			delete(t.book.flights, f.ID)
		}
	}
	t.dirty = nil
}

func (t *tape) fence(e profiler.Event) bool {
	f, ok := t.book.ahead(&e)
	t.dirty = append(t.dirty, f)
	t.write()
	return ok
}

func TestBook(t *testing.T) {
	h := newHooks(t)
	const start, done, failed = profiler.Started, profiler.Completed, profiler.Failed
	begin := at(1, h.orders, 1, start, 0)
	for _, tt := range []struct {
		name string
		play func(p *tape)
		want string // of message m in the cache
	}{
		{"begun", func(p *tape) { p.observe(begin) }, "in-flight orders/orders 1"},
		{"begun and ended in one event", func(p *tape) { p.observe(at(5, h.orders, 1, done, 4)) }, "done orders/orders 1"},
		{"failed", func(p *tape) { p.observe(begin, at(5, h.orders, 1, failed, 4)) }, "failed orders/orders 1 no stock"},
		{"panicked", func(p *tape) {
			e := at(5, h.orders, 1, profiler.Panicked, 4)
			e.Detail = &profiler.Detail{Err: "panic: boom"}
			p.observe(begin, e)
		}, "failed orders/orders 1 panic: boom"},
		{"exited", func(p *tape) { p.observe(begin, at(5, h.orders, 1, profiler.Exited, 4)) }, "failed orders/orders 1 exited"},
		{"an open service", func(p *tape) { p.observe(begin, at(2, h.validate, 2, start, 0)) }, "in-flight orders/validate 1 validate:started#2@1"},
		{"an ended service", func(p *tape) {
			p.observe(begin, at(2, h.validate, 2, start, 0), at(3, h.validate, 2, done, 1))
		}, "in-flight orders/validate 1"},
		{"short steps", func(p *tape) { p.observe(begin, at(3, h.validate, 2, done, 1), at(4, h.audit, 3, done, 1)) },
			"in-flight orders/audit 1 audit:completed#3@1"},
		{"a short step behind the fence that overtook it", func(p *tape) {
			p.observe(begin)
			p.fence(at(3, h.publish, 3, start, 0))
			p.observe(at(2, h.validate, 2, done, 1), at(3, h.publish, 3, start, 0))
		}, "in-flight orders/publish 1 publish:started#3@1"},
		{"a producer that failed is a doubt", func(p *tape) {
			p.observe(begin, at(2, h.audit, 2, start, 0), at(3, h.audit, 2, failed, 1))
		}, "in-flight orders/audit 1 audit:failed#2@1 no stock"},
		{"all of it in one batch", func(p *tape) {
			p.observe(begin, at(3, h.validate, 2, done, 1), at(3, h.publish, 3, start, 0), at(4, h.publish, 3, done, 1), at(5, h.orders, 1, done, 4))
		}, "done orders/publish 1"},
		{"late steps", func(p *tape) {
			p.observe(begin, at(5, h.orders, 1, done, 4), at(6, h.validate, 2, start, 0), at(7, h.validate, 2, done, 1), at(8, h.audit, 3, done, 1))
			p.observe(at(9, h.audit, 4, start, 0))
		}, "done orders/orders 1"},
		{"steps of a message that no workflow opened", func(p *tape) { p.observe(at(6, h.validate, 0, start, 0), at(7, h.audit, 0, done, 1)) }, "nothing"},
		{"a workflow in a workflow is a step", func(p *tape) {
			p.observe(begin, at(2, h.other, 2, start, 0))
		}, "in-flight orders/other 1 other:started#2@1"},

		{"a fence goes before the workflow's start", func(p *tape) {
			p.fence(at(2, h.publish, 2, start, 0))
		}, "in-flight /publish 1 publish:started#2@1"},
		{"and the start comes", func(p *tape) {
			p.fence(at(2, h.publish, 2, start, 0))
			p.observe(begin, at(2, h.publish, 2, start, 0))
		}, "in-flight orders/publish 1 publish:started#2@1"},
		{"and all the rest", func(p *tape) {
			p.fence(at(2, h.publish, 2, start, 0))
			p.observe(begin, at(2, h.publish, 2, start, 0), at(3, h.publish, 2, done, 1))
		}, "in-flight orders/publish 1 publish:completed#2@1"},
		{"its start and end are one event", func(p *tape) {
			p.fence(at(2, h.publish, 2, start, 0))
			p.observe(begin, at(3, h.publish, 2, done, 1))
		}, "in-flight orders/publish 1 publish:completed#2@1"},
		{"a fence goes before the end of an earlier run", func(p *tape) {
			p.observe(begin, at(2, h.audit, 2, done, 1))
			p.fence(at(12, h.publish, 2, start, 0))
			p.observe(at(5, h.orders, 1, done, 4))
		}, "in-flight orders/publish 2 publish:started#2@2"},
		{"and the run goes on", func(p *tape) {
			p.observe(begin, at(2, h.audit, 2, done, 1))
			p.fence(at(12, h.publish, 2, start, 0))
			p.observe(at(5, h.orders, 1, done, 4), at(11, h.orders, 1, start, 0), at(12, h.publish, 2, start, 0))
		}, "in-flight orders/publish 2 publish:started#2@2"},
		{"a fence in the run after one that failed", func(p *tape) {
			p.observe(begin, at(2, h.audit, 2, done, 1))
			p.fence(at(12, h.publish, 2, start, 0))
			p.observe(at(5, h.orders, 1, failed, 4), at(11, h.orders, 1, start, 0))
		}, "in-flight orders/publish 2 audit:completed#2@1 publish:started#2@2 no stock"},
		{"a fence outside of any workflow", func(p *tape) {
			e := at(2, h.publish, 0, start, 0)
			p.fence(e)
			p.observe(e, at(3, h.publish, 0, done, 1))
		}, "done /publish 1"},
		{"one that failed", func(p *tape) {
			p.fence(at(2, h.publish, 0, start, 0))
			p.observe(at(3, h.publish, 0, failed, 1))
		}, "failed /publish 1 publish:failed#0@1 no stock"},
		{"a fence in a workflow whose start was lost", func(p *tape) {
			e := at(2, h.publish, 2, start, 0)
			p.fence(e)
			p.observe(e, at(3, h.publish, 2, done, 1))
		}, "in-flight /publish 1 publish:completed#2@1"},
		{"and the workflow ends", func(p *tape) {
			e := at(2, h.publish, 2, start, 0)
			p.fence(e)
			p.observe(e, at(3, h.publish, 2, done, 1), at(5, h.orders, 1, done, 4))
		}, "done orders/publish 1"},
		{"the lost start is of the run after one that was heard", func(p *tape) {
			p.observe(begin)
			p.fence(at(12, h.publish, 2, start, 0))
			p.observe(at(5, h.orders, 1, done, 4), at(13, h.publish, 2, done, 1))
		}, "in-flight orders/publish 2 publish:completed#2@2"},
		{"a lost start, and a fence that was outside of it", func(p *tape) {
			p.fence(at(1, h.publish, 0, start, 0))
			p.fence(at(2, h.publish, 2, start, 0))
			p.observe(at(3, h.publish, 2, done, 1), at(4, h.publish, 0, done, 3))
		}, "in-flight /publish 1 publish:completed#0@1 publish:completed#2@1"},
		{"a fence that its workflow does not wait for", func(p *tape) {
			p.observe(begin, at(5, h.orders, 1, done, 4))
			p.fence(at(3, h.publish, 2, start, 0))
			p.observe(at(9, h.publish, 2, done, 6))
		}, "done orders/publish 2"},
		{"one whose workflow failed", func(p *tape) {
			p.observe(begin, at(5, h.orders, 1, failed, 4))
			p.fence(at(3, h.publish, 2, start, 0))
			p.observe(at(9, h.publish, 2, done, 6))
		}, "in-flight orders/publish 2 publish:completed#2@2 no stock"},
		{"a fence that was refused", func(p *tape) {
			e := at(2, h.publish, 2, start, 0)
			p.fence(e)
			p.dirty = append(p.dirty, p.book.refuse(&e))
			p.observe(begin, at(3, h.publish, 2, failed, 1))
		}, "in-flight orders/orders 1 no stock"},
		{"one in a workflow whose start was lost", func(p *tape) {
			e := at(2, h.publish, 2, start, 0)
			p.fence(e)
			p.dirty = append(p.dirty, p.book.refuse(&e))
			p.observe(at(3, h.publish, 2, failed, 1))
		}, "in-flight /publish 1 no stock"},
		{"one outside of any workflow", func(p *tape) {
			e := at(2, h.publish, 0, start, 0)
			p.fence(e)
			p.dirty = append(p.dirty, p.book.refuse(&e))
			p.observe(at(3, h.publish, 0, failed, 1))
		}, "failed /publish 1 no stock"},

		{"again after it was done", func(p *tape) {
			p.observe(begin, at(2, h.audit, 2, done, 1), at(5, h.orders, 1, done, 4), at(11, h.orders, 1, start, 0))
		}, "in-flight orders/orders 2"},
		{"again after it failed: what was published is known", func(p *tape) {
			p.observe(begin, at(2, h.audit, 2, done, 1), at(5, h.orders, 1, failed, 4))
			p.observe(at(11, h.orders, 1, start, 0))
		}, "in-flight orders/orders 2 audit:completed#2@1 no stock"},
		{"again after a predecessor's death", func(p *tape) {
			p.cache["m"] = Message{ID: "m", State: InFlight, Workflow: "orders", Step: "publish", Attempts: 7, Steps: []Step{
				{"validate", profiler.Service, start, 2, 7}, {"publish", profiler.Producer, start, 3, 7},
			}}
			p.observe(begin, at(2, h.publish, 2, start, 0))
		}, "in-flight orders/publish 8 publish:started#3@7 publish:started#2@8"},
		{"and done", func(p *tape) {
			p.cache["m"] = Message{ID: "m", State: InFlight, Attempts: 7, Steps: []Step{{"publish", profiler.Producer, start, 3, 7}}}
			p.observe(begin, at(9, h.orders, 1, done, 8))
		}, "done orders/orders 8"},

		{"twice at once, one has ended", func(p *tape) {
			second := at(2, h.orders, 2, start, 0)
			second.Parent = 0
			p.observe(begin, second, at(5, h.orders, 1, done, 4))
		}, "in-flight orders/orders 2"},
		{"twice at once, both have ended, one well", func(p *tape) {
			second, end := at(2, h.orders, 2, start, 0), at(6, h.orders, 2, failed, 4)
			second.Parent, end.Parent = 0, 0
			p.observe(begin, second, at(5, h.orders, 1, done, 4), end)
		}, "done orders/orders 2"},
		{"an end that was lost", func(p *tape) {
			p.observe(begin)
			p.book.lost()
			p.observe(at(11, h.orders, 1, start, 0), at(15, h.orders, 1, done, 4))
		}, "done orders/orders 2"},
		{"a start that was lost", func(p *tape) {
			p.observe(at(3, h.validate, 2, done, 1), at(5, h.orders, 1, done, 4))
		}, "done orders/orders 1"},

		{"interrupted", func(p *tape) {
			p.book.interrupted = func(time.Time) bool { return true }
			p.observe(begin, at(2, h.validate, 2, start, 0), at(5, h.orders, 1, failed, 4))
		}, "in-flight orders/validate 1 validate:started#2@1 no stock"},
		{"done all the same", func(p *tape) {
			p.book.interrupted = func(time.Time) bool { return true }
			p.observe(begin, at(2, h.validate, 2, start, 0), at(5, h.orders, 1, done, 4))
		}, "done orders/validate 1"},
		{"interrupted, but it went on here", func(p *tape) {
			p.book.interrupted = func(time.Time) bool { return true }
			p.observe(begin, at(2, h.validate, 2, start, 0), at(5, h.orders, 1, failed, 4))
			p.book.interrupted = nil
			p.observe(at(11, h.orders, 1, start, 0))
		}, "in-flight orders/orders 2 no stock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTape()
			tt.play(p)
			got := "nothing"
			if m, ok := p.cache["m"]; ok {
				got = told(m)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			f := p.book.flights["m"]
			if inFlight := p.cache["m"].State == InFlight; inFlight != (f != nil) {
				t.Errorf("in flight in the cache: %v, here: %v", inFlight, f != nil)
			}
			if f != nil && len(f.marks) != len(f.Steps) {
				t.Errorf("%d marks of %d steps", len(f.marks), len(f.Steps))
			}
		})
	}
}

// A message that publishes without end keeps what fits, and all that is open.
func TestBookBounds(t *testing.T) {
	h := newHooks(t)
	p := newTape()
	p.observe(at(1, h.orders, 1, profiler.Started, 0), at(2, h.audit, 2, profiler.Started, 0))
	for i := range 1000 {
		p.observe(at(10+i, h.audit, uint32(3+i), profiler.Completed, 1))
	}
	m := p.cache["m"]
	if len(m.Steps) != 1+maxEnded || m.Steps[0].Order != 2 || m.Steps[maxEnded].Order != 1002 {
		t.Errorf("%d steps, %+v … %+v; want the open one and the last %d", len(m.Steps), m.Steps[0], m.Steps[len(m.Steps)-1], maxEnded)
	}
	open := 0
	for i := range 1000 {
		if p.fence(at(2000+i, h.publish, uint32(2000+i), profiler.Started, 0)) {
			open++
		}
	}
	if m := p.cache["m"]; len(m.Steps) > MaxSteps || open != maxOpen-1-maxEnded {
		t.Errorf("%d fences of 1000 found room, %d steps in all", open, len(m.Steps))
	}
	if _, err := p.cache["m"].MarshalBinary(); err != nil {
		t.Error(err)
	}
}

// Texts that are too long are cut, not refused.
func TestBookCuts(t *testing.T) {
	p := newTape()
	pr, err := profiler.New(profiler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 2*MaxError)
	e := at(5, pr.Workflow(long), 1, profiler.Failed, 4)
	e.Detail.Err = long
	p.observe(e)
	m := p.cache["m"]
	if len(m.Workflow) != MaxName || len(m.Step) != MaxName || len(m.Error) != MaxError {
		t.Errorf("workflow %d, step %d, error %d bytes", len(m.Workflow), len(m.Step), len(m.Error))
	}
	if _, err := m.MarshalBinary(); err != nil {
		t.Error(err)
	}
}
