package profiler_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestEventIs64Bytes(t *testing.T) {
	if got := unsafe.Sizeof(profiler.Event{}); got != 64 {
		t.Errorf("an event has %d bytes, want 64", got)
	}
}

func TestNoAllocations(t *testing.T) {
	p := start(t, profiler.Config{Plugins: []profiler.Plugin{observer(func([]profiler.Event) {})}, Overflow: profiler.Block})
	flush(t, p)
	ctx, span := p.Workflow("orders").Begin(context.Background(), "m1")
	defer span.End(nil)
	check := p.Service("check")
	nothing := work(nil)
	wrapped := profiler.Wrap(check, func(context.Context, *note) error { return nil })
	m := &note{id: "m1"}
	var none *profiler.Step
	for _, test := range []struct {
		name string
		step func()
	}{
		{"Do", func() { _ = check.Do(ctx, "", nothing) }},
		{"Do without the context", func() { _ = check.Do(context.Background(), "m1", nothing) }},
		{"Do outside of any workflow", func() { _ = check.Do(context.Background(), "m2", nothing) }},
		{"Begin", func() { _ = ways[2].run(check, ctx, nothing) }},
		{"Wrap", func() { _ = wrapped(ctx, m) }},
		{"disabled", func() { _ = none.Do(ctx, "", nothing); _ = ways[2].run(none, ctx, nothing) }},
	} {
		// The plugins' goroutines may allocate while they warm up.
		if got := testing.AllocsPerRun(5000, test.step); got != 0 {
			t.Errorf("%s: %v allocations a step", test.name, got)
		}
	}
}

// A nil Profiler and all that comes from it do nothing.
func TestDisabled(t *testing.T) {
	var p *profiler.Profiler
	for _, s := range []*profiler.Step{p.Channel("a"), p.Workflow("a"), p.Consumer("a"), p.Service("a"), p.Producer("a", profiler.Fence())} {
		if s != nil || s.Name() != "" || s.Instance() != "" || s.Kind() != 0 || s.Fenced() || s.String() != "none" {
			t.Errorf("a nil profiler made %v", s)
		}
		for _, way := range ways {
			want := errors.New("no")
			if err := way.run(s, t.Context(), func(ctx context.Context) error {
				if profiler.ID(ctx) != "" || ctx != t.Context() {
					t.Error("it has another context")
				}
				return want
			}); err != want {
				t.Errorf("%s: error %v", way.name, err)
			}
		}
		_, span := s.BeginPayload(t.Context(), "m1", nil)
		span.End(nil)
	}
	if p.Stats() != (profiler.Stats{}) || p.Flush(t.Context()) != nil || p.Running("m1") {
		t.Error("a nil profiler does something")
	}
	if _, ok := profiler.From(t.Context()); ok {
		t.Error("there is a message")
	}
}

func TestStep(t *testing.T) {
	p, err := profiler.New(profiler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		step *profiler.Step
		kind profiler.Kind
		text string
	}{
		{p.Channel("a"), profiler.Channel, "CHANNEL a"},
		{p.Workflow("a"), profiler.Workflow, "WORKFLOW a"},
		{p.Consumer("a"), profiler.Consumer, "CONSUMER a"},
		{p.Service("a"), profiler.Service, "SERVICE a"},
		{p.Producer("a"), profiler.Producer, "PRODUCER a"},
	} {
		if test.step.Kind() != test.kind || test.step.String() != test.text || test.step.Name() != "a" || test.step.Fenced() {
			t.Errorf("%v, want %s", test.step, test.text)
		}
	}
	s := p.Producer("out", profiler.Fence(), profiler.Instance("queue-7"), profiler.Nest())
	if !s.Fenced() || s.Instance() != "queue-7" {
		t.Errorf("fenced %v, instance %q", s.Fenced(), s.Instance())
	}
	if got := profiler.Kind(99).String() + profiler.Phase(99).String() + profiler.Exited.String(); got != "UNKNOWNunknownexited" {
		t.Error(got)
	}
}

// Code without a context may pass none.
func TestNoContext(t *testing.T) {
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{agrees{}}})
	if err != nil {
		t.Fatal(err)
	}
	var none context.Context
	for _, s := range []*profiler.Step{p.Workflow("a"), p.Service("a"), p.Service("a", profiler.Nest()), p.Producer("a", profiler.Fence())} {
		for _, way := range ways {
			if err := way.run(s, none, work(errRan)); err != errRan && way.name != "Begin" {
				t.Errorf("%s: %v", way.name, err)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	_, err := profiler.New(profiler.Config{
		Buffer: -1, Flush: -1, Patience: -1, Open: -1, MaxPayload: -1, Overflow: 2, Plugins: []profiler.Plugin{nil},
	})
	if err == nil {
		t.Fatal("no fault")
	}
	for _, field := range []string{"Buffer", "Flush", "Patience", "Open", "MaxPayload", "Overflow", "Plugins[0]"} {
		if !strings.Contains(err.Error(), "Config."+field+" ") {
			t.Errorf("nothing about %s in %v", field, err)
		}
	}
}

func TestDedupe(t *testing.T) {
	var handled []string
	fn := profiler.Dedupe(seen{"m1": true, "": true}, func(_ context.Context, n note) error {
		handled = append(handled, n.id)
		return errRan
	})
	for id, want := range map[string]error{"m1": nil, "m2": errRan, "": errRan} {
		if err := fn(t.Context(), note{id: id}); err != want {
			t.Errorf("%q: %v, want %v", id, err, want)
		}
	}
	if len(handled) != 2 {
		t.Errorf("handled %q", handled)
	}
}

type seen map[string]bool

func (s seen) Seen(id string) bool { return s[id] }
