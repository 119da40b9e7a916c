package mirror

import (
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// maxEnded is how many ended producers a message keeps. Of a workflow that
// publishes without end only the last ones are known.
const maxEnded = 32

// maxOpen is how many steps of a message may be open at a time.
const maxOpen = MaxSteps - maxEnded

// book is what runs here, message by message. It has no clock, lock or cache:
// events go in, and it says which message they changed.
type book struct {
	flights map[string]*flight
	// load is what the cache says of a message: of an earlier attempt, here or
	// by a predecessor.
	load func(id string) (Message, bool)
	// interrupted reports whether the work here was being ended at that time:
	// what failed then is not finished, and stays in flight.
	interrupted func(at time.Time) bool
}

// flight is a message that is in flight here, or has just landed.
type flight struct {
	Message
	marks []mark // one for each of Steps
	runs  int    // of its workflow: more than one if the same id runs twice at once
	begun time.Duration
	done  bool // one of the runs that overlap has completed
	// ahead: a fence told of a step before the start of its workflow was heard.
	// If none is, the step alone is the message.
	ahead bool
	// inside: with ahead, such a step is in a workflow, whose start is on its way
	// or was lost. The workflow runs until its own end is heard.
	inside  bool
	refused []mark // steps that a fence did not let run
	unsure  bool   // events were lost since its start
	dirty   bool   // changed since it was last written
}

// mark tells apart the runs of a step.
type mark struct {
	order uint32
	start time.Duration
}

func (f *flight) landed() bool { return f.State != InFlight }

// apply takes an event in and returns the message that it changed, or nil.
func (b *book) apply(e *profiler.Event) *flight {
	if e.ID == "" || e.Step == nil {
		return nil
	}
	f := b.flights[e.ID]
	switch {
	case e.Step.Kind() == profiler.Workflow && e.Parent == 0:
		if e.Phase == profiler.Started {
			return b.begin(f, e)
		}
		return b.end(f, e)
	case f == nil || f.landed():
		return nil // late, or of a message that no workflow has opened
	case e.Phase == profiler.Started:
		if f.runs == 0 && !f.ahead || !f.start(e) {
			return nil
		}
	case !f.stop(e):
		return nil
	default:
		b.settle(f, e.Phase)
	}
	f.Updated = e.Time().UnixMilli()
	return f
}

// ahead takes in the start of a fenced step, which goes before all that waits
// to be observed. It reports whether there was room for the step.
func (b *book) ahead(e *profiler.Event) (*flight, bool) {
	f := b.flights[e.ID]
	if f == nil || f.landed() {
		f = b.open(e.ID)
		over := f.done && f.Updated >= e.Time().UnixMilli() // its workflow did not wait for it
		f.ahead, f.inside, f.begun = true, e.Order > 0 && !over, e.At
		f.Begun = uint64(max(0, e.At))
		f.Started = e.Time().UnixMilli()
	} else if e.Order > 0 {
		f.inside = true
	}
	f.Updated = e.Time().UnixMilli()
	return f, f.start(e)
}

// refuse takes back what ahead noted: the step does not run. Its end may be
// told all the same, as a failure.
func (b *book) refuse(e *profiler.Event) *flight {
	f := b.flights[e.ID]
	if f == nil {
		return nil
	}
	m := mark{e.Order, e.At}
	if i := slices.Index(f.marks, m); i >= 0 {
		f.remove(i)
	}
	f.refused = append(f.refused, m)
	if len(f.refused) > maxEnded {
		f.refused = f.refused[1:]
	}
	return f
}

// lost notes that events were not heard: a workflow that seems to run may have
// ended.
func (b *book) lost() {
	for _, f := range b.flights {
		f.unsure = true
	}
}

// open starts an attempt at a message.
func (b *book) open(id string) *flight {
	f := &flight{Message: Message{ID: id}}
	var old Message
	landed, ok := b.flights[id]
	if ok { // not yet written
		old = landed.Message
	} else {
		old, ok = b.load(id)
	}
	if ok {
		f.Attempts, f.Workflow = old.Attempts, old.Workflow
		f.Payload, f.Error = old.Payload, old.Error
		if old.State != InFlight {
			f.Updated = old.Updated
		}
		f.done = old.State == Done
		if old.State != Done {
			f.inherit(old.Steps)
		}
	}
	f.State = InFlight
	f.Attempts++
	b.flights[id] = f
	return f
}

// inherit keeps of earlier attempts what shows outside.
func (f *flight) inherit(steps []Step) {
	for _, s := range steps {
		if s.Publish() {
			f.add(s, mark{start: -1})
		}
	}
}

// begin is the start of a workflow.
func (b *book) begin(f *flight, e *profiler.Event) *flight {
	switch {
	case f == nil || f.landed():
		f = b.open(e.ID)
		f.done = false
	case f.ahead:
		f.ahead, f.done = false, false
	default: // the same id twice at once, or an end that was not heard
		f.Attempts++
		if f.unsure {
			f.runs = 0
		}
		if f.runs == 0 {
			f.done = false
			f.Steps, f.marks = f.kept(func(s Step, _ mark) bool { return s.Publish() })
		}
	}
	f.unsure = false
	f.runs++
	f.begun = e.At
	f.Begun = uint64(max(0, e.At))
	f.Workflow = short(e.Step.Name())
	if !slices.ContainsFunc(f.Steps, func(s Step) bool { return s.Attempt == f.Attempts }) {
		f.Step = f.Workflow // else a fence was ahead
	}
	f.Started = e.Time().UnixMilli()
	f.Updated = f.Started
	if e.Detail != nil && e.Detail.Payload != nil {
		f.Payload = slices.Clone(e.Detail.Payload)
	}
	return f
}

// end is the end of a workflow.
func (b *book) end(f *flight, e *profiler.Event) *flight {
	if f == nil || f.landed() { // short, or its start was not heard
		f = b.open(e.ID)
		f.done = false
		f.begun = e.At - e.Took
		f.Begun = uint64(max(0, f.begun))
		f.Workflow, f.Step = short(e.Step.Name()), short(e.Step.Name())
		f.Started = e.Time().Add(-e.Took).UnixMilli()
	} else if f.ahead {
		// A fence of the next run went before this end and its start.
		f.Workflow, f.done = short(e.Step.Name()), false
	}
	f.runs = max(0, f.runs-1)
	f.Updated = e.Time().UnixMilli()
	f.Error = ""
	if e.Phase == profiler.Completed {
		f.done = true
	} else {
		f.Error = reason(e)
		if b.interrupted != nil && b.interrupted(e.Time()) {
			return f // its successor finds it
		}
	}
	if f.runs > 0 {
		return f
	}
	later := func(m mark) bool { return m.start > e.At }
	if !slices.ContainsFunc(f.marks, later) {
		b.land(f, e.Phase)
		return f
	}
	// A fence of the next run was here first: what is left is that run's.
	f.ahead = true
	f.Attempts++
	f.Steps, f.marks = f.kept(func(s Step, m mark) bool { return later(m) || !f.done && s.Publish() })
	f.inside = false
	for i, m := range f.marks {
		if later(m) {
			f.Steps[i].Attempt = f.Attempts
			f.inside = f.inside || m.order > 0
		}
	}
	return f
}

// land ends a message.
func (b *book) land(f *flight, phase profiler.Phase) {
	f.State = Failed
	if f.done || phase == profiler.Completed {
		f.State, f.Error = Done, ""
	}
	f.Steps, f.marks = f.kept(func(s Step, _ mark) bool { return s.Publish() })
	if f.State == Done {
		f.Steps, f.marks = nil, nil
	}
}

// settle ends a message that is no more than fenced steps outside of any
// workflow, when the last of them has ended.
func (b *book) settle(f *flight, phase profiler.Phase) {
	if !f.ahead || f.inside || f.runs > 0 || slices.ContainsFunc(f.Steps, func(s Step) bool { return s.Phase == profiler.Started && s.Attempt == f.Attempts }) {
		return
	}
	b.land(f, phase)
}

// start notes an open step; it reports whether that is news and there is room.
func (f *flight) start(e *profiler.Event) bool {
	m := mark{e.Order, e.At}
	if slices.Contains(f.marks, m) {
		return true // the fence told it before
	}
	if slices.Contains(f.refused, m) {
		return false
	}
	f.Step = short(e.Step.Name())
	return f.add(Step{f.Step, e.Step.Kind(), profiler.Started, e.Order, f.Attempts}, m)
}

// stop notes the end of a step; it reports whether that is news.
func (f *flight) stop(e *profiler.Event) bool {
	m := mark{e.Order, e.At - e.Took}
	if e.Phase != profiler.Completed {
		f.Error = reason(e)
	}
	if i := slices.Index(f.refused, m); i >= 0 {
		f.refused = slices.Delete(f.refused, i, i+1)
		return true
	}
	i := slices.Index(f.marks, m)
	if i < 0 {
		if f.runs == 0 {
			return false
		}
		name := short(e.Step.Name())
		if !slices.ContainsFunc(f.marks, func(m mark) bool { return m.order > e.Order }) {
			f.Step = name // else a fence was ahead
		}
		if e.Step.Kind() == profiler.Producer {
			f.add(Step{name, e.Step.Kind(), e.Phase, e.Order, f.Attempts}, m)
		}
		return true
	}
	if !f.Steps[i].Publish() {
		f.remove(i)
		return true
	}
	f.Steps[i].Phase = e.Phase
	f.trim()
	return true
}

// add appends a step if there is room.
func (f *flight) add(s Step, m mark) bool {
	f.Steps, f.marks = append(f.Steps, s), append(f.marks, m)
	f.trim()
	if len(f.Steps) <= maxOpen {
		return true
	}
	f.remove(len(f.Steps) - 1)
	return false
}

// trim forgets the oldest of too many producers whose end is known.
func (f *flight) trim() {
	ended := 0
	for i := range f.Steps {
		if f.Steps[i].Phase != profiler.Started {
			ended++
		}
	}
	for i := 0; ended > maxEnded; i++ {
		if f.Steps[i].Phase != profiler.Started {
			f.remove(i)
			ended--
			i--
		}
	}
}

func (f *flight) remove(i int) {
	f.Steps, f.marks = slices.Delete(f.Steps, i, i+1), slices.Delete(f.marks, i, i+1)
}

// kept are the steps that keep accepts.
func (f *flight) kept(keep func(Step, mark) bool) (steps []Step, marks []mark) {
	for i, s := range f.Steps {
		if keep(s, f.marks[i]) {
			steps, marks = append(steps, s), append(marks, f.marks[i])
		}
	}
	return steps, marks
}

// reason is why a step did not complete.
func reason(e *profiler.Event) string {
	text := e.Phase.String()
	if e.Detail != nil && e.Detail.Err != "" {
		text = e.Detail.Err
	}
	return text[:min(len(text), MaxError)]
}

func short(name string) string { return name[:min(len(name), MaxName)] }
