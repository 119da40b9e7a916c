package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// maxStepNames bounds the steps that are kept by name: names are few, and a
// workload that makes one up for each message would fill the memory.
const maxStepNames = 4096

// stepsConfig is what steps needs.
type stepsConfig struct {
	Profiler *profiler.Profiler
	// Block: a full buffer refuses steps. Otherwise they are dropped and counted.
	Block bool
	// MaxOpen bounds the messages whose workflow has begun and not ended.
	MaxOpen int
	Master  func() bool         // is this instance master
	Status  func() admin.Status // names who else is
	Token   func() string
}

// steps makes hooks of what a workload that is not Go reports: the start of a
// step and its end come in two requests, so what is between them is kept here.
type steps struct {
	cfg stepsConfig

	mu   sync.Mutex // guards the rest
	made map[stepName]*profiler.Step
	open map[string]*openMessage
}

var _ admin.Steps = (*steps)(nil)

// stepName is what tells steps apart.
type stepName struct {
	kind, name, instance string
	fence                bool
}

// openMessage is one whose workflow has begun.
type openMessage struct {
	ctx      context.Context // of the workflow, in which its steps run
	span     profiler.Span
	workflow stepName
	steps    map[stepName]profiler.Span // begun and not ended; the names without fence
}

func newSteps(cfg stepsConfig) *steps {
	return &steps{cfg: cfg, made: map[stepName]*profiler.Step{}, open: map[string]*openMessage{}}
}

// What ends a workflow that nobody reported the end of.
var (
	errForgotten = errors.New("mastership ended")
	errAgain     = errors.New("begun anew")
)

// forget is called when mastership ends. What is open then is the successor's
// to finish: the workflows end here, as those of a library's work do when its
// context ends, and of the steps in them nothing is told.
func (s *steps) forget() {
	s.mu.Lock()
	open := s.open
	s.open = map[string]*openMessage{}
	s.mu.Unlock()
	for _, m := range open {
		m.span.End(&errForgotten)
	}
}

// Report takes steps, in order, as admin.Steps says.
func (s *steps) Report(ctx context.Context, list []admin.Step) (a admin.StepsAnswer, err error) {
	for _, st := range list {
		if !s.cfg.Master() {
			return a, s.notMaster(nil)
		}
		if s.cfg.Block && !s.cfg.Profiler.Room(st.ID) {
			return a, &admin.Error{Kind: admin.KindBusy, Detail: "the buffer of hook events is full", Mend: "send the rest a little later, see Retry-After"}
		}
		late, err := s.take(ctx, st, &a)
		if err != nil {
			return a, err
		}
		a.Taken++
		if late {
			a.Late++
		}
	}
	return a, nil
}

// take takes one step; late says that it told nothing.
func (s *steps) take(ctx context.Context, st admin.Step, a *admin.StepsAnswer) (late bool, err error) {
	name := stepName{kind: st.Kind, name: st.Step, instance: st.Instance}
	fenced := name
	fenced.fence = st.Fence
	step, err := s.step(fenced)
	if err != nil {
		return false, err
	}
	begun := st.Phase == admin.StepStarted
	if st.Kind == admin.StepWorkflow {
		if begun {
			return false, s.begin(step, name, st)
		}
		return false, s.end(step, name, st)
	}
	s.mu.Lock()
	m := s.open[st.ID]
	var span profiler.Span
	running := false
	if m != nil && !begun {
		span, running = m.steps[name]
		delete(m.steps, name)
	}
	s.mu.Unlock()
	switch {
	case m == nil && st.Fence:
		return false, &admin.Error{Kind: admin.KindRefused, Detail: fmt.Sprintf("no workflow is open here for the message %.64q", st.ID),
			Mend: "report the start of its workflow before that of a fenced producer"}
	case m == nil:
		return true, nil
	case !begun && running:
		span.End(cause(st))
	case !begun: // its start was not worth a report: one event stands for both
		_, span = step.Begin(m.ctx, st.ID)
		span.End(cause(st))
	case st.Fence:
		return false, s.fence(ctx, step, name, m, st, a)
	default:
		_, span = step.Begin(m.ctx, st.ID)
		s.running(m, name, span)
	}
	return false, nil
}

// begin opens a message. One that is open already begins anew: its worker died,
// say, and the message was delivered again. The first attempt has then failed,
// and so have its open steps; but whether a producer did nobody knows, and so
// nothing is told of it.
func (s *steps) begin(step *profiler.Step, name stepName, st admin.Step) error {
	payload, err := st.RawPayload()
	if err != nil {
		return err
	}
	s.mu.Lock()
	full := s.open[st.ID] == nil && len(s.open) >= s.cfg.MaxOpen
	s.mu.Unlock()
	if full {
		return &admin.Error{Kind: admin.KindFull, Detail: fmt.Sprintf("%d messages are open", s.cfg.MaxOpen),
			Mend: "report the end of workflows too, or raise failover.cache.max.in.flight"}
	}
	// The workflow outlives the request that began it.
	run, span := step.BeginPayload(context.Background(), st.ID, payload)
	s.mu.Lock()
	first := s.open[st.ID]
	s.open[st.ID] = &openMessage{ctx: run, span: span, workflow: name, steps: map[stepName]profiler.Span{}}
	var left []profiler.Span
	if first != nil {
		for of, span := range first.steps {
			if of.kind != admin.StepProducer {
				left = append(left, span)
			}
		}
		left = append(left, first.span)
	}
	s.mu.Unlock()
	for _, span := range left { // after the new start, so that the message is in flight all the while
		span.End(&errAgain)
	}
	return nil
}

// end ends a message. One that is not open is one that a predecessor left, or
// so short that only its end was reported.
func (s *steps) end(step *profiler.Step, name stepName, st admin.Step) error {
	s.mu.Lock()
	m := s.open[st.ID]
	if m != nil && m.workflow == name {
		delete(s.open, st.ID)
	}
	s.mu.Unlock()
	switch {
	case m == nil:
		_, span := step.Begin(context.Background(), st.ID)
		span.End(cause(st))
	case m.workflow != name:
		return &admin.Error{Kind: admin.KindRefused, Detail: fmt.Sprintf("the message %.64q is open in the workflow %.64q, not in %.64q", st.ID, m.workflow.name, name.name),
			Mend: "report the end with the workflow's name and instance as at its start"}
	default:
		m.span.End(cause(st))
	}
	return nil
}

// fence begins a producer once a successor would know of it.
func (s *steps) fence(ctx context.Context, step *profiler.Step, name stepName, m *openMessage, st admin.Step, a *admin.StepsAnswer) error {
	// The values are the message's, the patience is the request's.
	wait, stop := context.WithCancel(m.ctx)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	run, span := step.Begin(wait, st.ID)
	if run.Err() != nil {
		err := context.Cause(run)
		span.End(&err) // if it agreed after all: nobody is told, so nobody publishes
		return s.fenceError(ctx, err)
	}
	fence := &admin.StepsFence{Token: s.cfg.Token()}
	if until, ok := run.Deadline(); ok {
		if fence.ForMs = time.Until(until).Milliseconds(); fence.ForMs <= 0 {
			err := cache.ErrNotMaster
			span.End(&err)
			return s.notMaster(err)
		}
	}
	s.running(m, name, span)
	a.Fence = fence
	return nil
}

// fenceError is a fence that did not come through as the API tells it.
func (s *steps) fenceError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, cache.ErrNotMaster), errors.Is(err, cache.ErrClosed):
		return s.notMaster(err)
	case errors.Is(err, cache.ErrNoReplica):
		return &admin.Error{Kind: admin.KindNoReplica, Detail: "no slave is in step that could know of it; do not publish",
			Mend: "start a slave, or look at: interlok-ha cache stats", Err: err}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return &admin.Error{Kind: admin.KindTimeout, Detail: "the slaves did not confirm it in time; do not publish",
			Mend: "try again, or give it longer with timeoutMs", Err: err}
	case errors.Is(err, profiler.ErrEnded): // by another request, meanwhile
		return &admin.Error{Kind: admin.KindRefused, Detail: "the message has ended; do not publish", Err: err}
	case errors.Is(err, profiler.ErrNoFencer):
		return &admin.Error{Kind: admin.KindRefused, Detail: "there is no fence: the failover plugin is switched off", Mend: "name failover in com.adaptris.profiler.plugin.factory", Err: err}
	case errors.Is(err, cache.ErrFull), errors.Is(err, profiler.ErrUntold):
		return &admin.Error{Kind: admin.KindFull, Detail: "too many messages are in flight", Mend: "finish some, or raise failover.cache.max.in.flight", Err: err}
	}
	return fmt.Errorf("fence: %w", err)
}

// running keeps a step until its end is reported.
func (s *steps) running(m *openMessage, name stepName, span profiler.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.steps[name] = span
}

func (s *steps) notMaster(err error) error {
	e := &admin.Error{Kind: admin.KindNotMaster, Detail: "this instance is not master; stop working", Err: err}
	if st := s.cfg.Status(); st.Master != nil && st.Master.ID != st.Instance.ID {
		e.Detail = fmt.Sprintf("this instance is not master, %s is; stop working", st.Master.Name)
	}
	return e
}

// step is the profiler's step of that name, made at its first use.
func (s *steps) step(name stepName) (*profiler.Step, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.made[name]; st != nil {
		return st, nil
	}
	if len(s.made) >= maxStepNames {
		return nil, &admin.Error{Kind: admin.KindRefused, Detail: fmt.Sprintf("there are %d steps of different names already, %.64q is one too many", maxStepNames, name.name),
			Mend: "name a step after what it does; what differs from message to message goes into id"}
	}
	var options []profiler.StepOption
	if name.instance != "" {
		options = append(options, profiler.Instance(name.instance))
	}
	if name.fence {
		options = append(options, profiler.Fence())
	}
	makers := map[string]func(string, ...profiler.StepOption) *profiler.Step{
		admin.StepWorkflow: s.cfg.Profiler.Workflow, admin.StepChannel: s.cfg.Profiler.Channel, admin.StepConsumer: s.cfg.Profiler.Consumer,
		admin.StepService: s.cfg.Profiler.Service, admin.StepProducer: s.cfg.Profiler.Producer,
	}
	maker := makers[name.kind]
	if maker == nil {
		return nil, fmt.Errorf("a step of kind %q", name.kind)
	}
	st := maker(name.name, options...)
	s.made[name] = st
	return st, nil
}

// cause is a step's error as End takes it.
func cause(st admin.Step) *error {
	var err error
	if st.Phase == admin.StepFailed {
		err = reported(st.Error)
	}
	return &err
}

// reported is the error text of a workload.
type reported string

// Error is the text, or that there is none.
func (r reported) Error() string {
	if r == "" {
		return "failed, without a reason given"
	}
	return string(r)
}
