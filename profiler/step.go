package profiler

// StepOption changes a step that is being made.
type StepOption func(*Step)

// Fence makes a step wait until every Fencer among the plugins agreed, each
// time before it runs. What that is worth and what it costs stands at Fencer.
func Fence() StepOption { return func(s *Step) { s.fenced = true } }

// Instance tells apart steps of one name.
func Instance(id string) StepOption { return func(s *Step) { s.instance = id } }

// Nest makes the step the parent of those begun with its context. It costs an
// allocation for each run. Workflows and fenced steps nest anyway; for all
// others the parent is the next one around them that does.
func Nest() StepOption { return func(s *Step) { s.nest = true } }

// Step is one place that messages pass, made once and used by any number of
// goroutines. A nil Step is a hook switched off: it runs what it is handed and
// tells nobody.
type Step struct {
	p              *Profiler
	name, instance string
	kind           Kind
	fenced, nest   bool
}

// Channel makes a step around workflows. It belongs to no message.
func (p *Profiler) Channel(name string, opts ...StepOption) *Step {
	return p.step(Channel, name, opts)
}

// Workflow makes a step that opens a message when it begins, and with whose
// end the message ends.
func (p *Profiler) Workflow(name string, opts ...StepOption) *Step {
	return p.step(Workflow, name, opts)
}

// Consumer makes a step that takes messages from somewhere.
func (p *Profiler) Consumer(name string, opts ...StepOption) *Step {
	return p.step(Consumer, name, opts)
}

// Service makes a step that does something with a message.
func (p *Profiler) Service(name string, opts ...StepOption) *Step {
	return p.step(Service, name, opts)
}

// Producer makes a step that gives messages to somebody.
func (p *Profiler) Producer(name string, opts ...StepOption) *Step {
	return p.step(Producer, name, opts)
}

func (p *Profiler) step(kind Kind, name string, opts []StepOption) *Step {
	if p == nil {
		return nil
	}
	s := &Step{p: p, name: name, kind: kind}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Name is the name that the step was made with.
func (s *Step) Name() string {
	if s == nil {
		return ""
	}
	return s.name
}

// Instance is what tells apart steps of one name; mostly empty.
func (s *Step) Instance() string {
	if s == nil {
		return ""
	}
	return s.instance
}

// Kind says what sort of step it is; 0 for a nil Step.
func (s *Step) Kind() Kind {
	if s == nil {
		return 0
	}
	return s.kind
}

// Fenced says whether the step waits for Fencers.
func (s *Step) Fenced() bool { return s != nil && s.fenced }

// String is kind and name, as in "SERVICE validate".
func (s *Step) String() string {
	if s == nil {
		return "none"
	}
	return s.kind.String() + " " + s.name
}
