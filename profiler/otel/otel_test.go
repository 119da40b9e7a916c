package otel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a profiler with the plugin, and what was exported.
type rig struct {
	*profiler.Profiler
	plugin *Plugin
	rec    *tracetest.SpanRecorder
	stop   func()
}

func run(t *testing.T, messages int) *rig {
	t.Helper()
	r := &rig{rec: tracetest.NewSpanRecorder()}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(r.rec))
	var err error
	if r.plugin, err = New(Config{Provider: provider, Messages: messages}); err != nil {
		t.Fatal(err)
	}
	if r.Profiler, err = profiler.New(profiler.Config{Plugins: []profiler.Plugin{r.plugin}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.stop = func() {}
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// lines stops the profiler and tells of each span: name, status, attributes,
// and what is above it, sorted.
func (r *rig) lines(t *testing.T) []string {
	t.Helper()
	r.stop()
	names := map[string]string{}
	for _, s := range r.rec.Started() {
		names[s.SpanContext().SpanID().String()] = s.Name()
	}
	var lines []string
	for _, s := range r.rec.Ended() {
		line := s.Name()
		if s.Parent().IsValid() {
			line = names[s.Parent().SpanID().String()] + "/" + line
			if s.Parent().TraceID() != s.SpanContext().TraceID() {
				t.Errorf("%s is not in its parent's trace", s.Name())
			}
		}
		if s.Status().Code == codes.Error {
			line += " error: " + s.Status().Description
		}
		for _, a := range s.Attributes() {
			if a.Key != "interlok.step.kind" {
				line += fmt.Sprintf(" %s=%s", strings.TrimPrefix(string(a.Key), "interlok.step."), a.Value.String())
			}
		}
		if s.EndTime().Before(s.StartTime()) {
			t.Errorf("%s ends before it starts", s.Name())
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// flush makes that no later event is one with an earlier.
func (r *rig) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		err := r.Flush(ctx)
		if err == nil {
			return
		}
		if !errors.Is(err, profiler.ErrNotRunning) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestTree(t *testing.T) {
	for _, slow := range []bool{false, true} {
		r := run(t, 0)
		flush := func() {
			if slow { // each start and end is an event of its own
				r.flush(t)
			}
		}
		validate := r.Service("validate", profiler.Nest(), profiler.Instance("a"))
		lookup, publish := r.Service("lookup"), r.Producer("publish")
		r.flush(t)
		begun := time.Now()
		ctx, flow := r.Workflow("orders").Begin(t.Context(), "m1")
		flush()
		inner, v := validate.Begin(ctx, "")
		flush()
		_, l := lookup.Begin(inner, "")
		flush()
		l.End(nil)
		v.End(nil)
		flush()
		for _, err := range []error{errors.New("disk full"), nil} {
			_, p := publish.Begin(ctx, "")
			flush()
			p.End(&err)
		}
		flow.End(nil)
		_, short := r.Workflow("short").Begin(t.Context(), "m2")
		short.End(nil)
		_, alone := lookup.Begin(t.Context(), "")
		flush()
		alone.End(nil)
		equal(t, r.lines(t),
			"orders messaging.message.id=m1",
			"orders/validate messaging.message.id=m1 instance=a",
			"validate/lookup messaging.message.id=m1",
			"orders/publish error: disk full messaging.message.id=m1",
			"orders/publish messaging.message.id=m1 attempt=2",
			"short messaging.message.id=m2",
			"lookup messaging.message.id=")
		for _, s := range r.rec.Ended() {
			if s.StartTime().Before(begun.Add(-time.Minute)) || s.EndTime().After(time.Now().Add(time.Minute)) {
				t.Errorf("%s from %v to %v", s.Name(), s.StartTime(), s.EndTime())
			}
		}
		if len(r.plugin.messages)+r.plugin.order.Len() != 0 {
			t.Errorf("%d messages are left", len(r.plugin.messages))
		}
	}
}

func TestPanic(t *testing.T) {
	r := run(t, 0)
	func() {
		defer func() { _ = recover() }()
		_ = r.Workflow("orders").Do(t.Context(), "m1", func(context.Context) error { panic("out of cheese") })
	}()
	if got := r.lines(t); len(got) != 1 || !strings.HasPrefix(got[0], "orders error: ") || !strings.Contains(got[0], "out of cheese") {
		t.Errorf("got %q", got)
	}
}

// TestTwice: the same id twice at once is one message until both have ended.
func TestTwice(t *testing.T) {
	r := run(t, 0)
	flow, step := r.Workflow("orders"), r.Service("validate")
	_, a := flow.Begin(t.Context(), "m1")
	r.flush(t)
	ctx, b := flow.Begin(t.Context(), "m1")
	r.flush(t)
	a.End(nil)
	r.flush(t)
	_, s := step.Begin(ctx, "")
	s.End(nil)
	b.End(nil)
	got := r.lines(t)
	if len(got) != 3 || len(r.plugin.messages) != 0 {
		t.Errorf("%q, %d messages left", got, len(r.plugin.messages))
	}
	for _, s := range r.rec.Ended() {
		if s.SpanContext().TraceID() != r.rec.Ended()[0].SpanContext().TraceID() {
			t.Error("two traces")
		}
	}
}

// TestLost: what never ends is ended when there are too many, or by Close.
func TestLost(t *testing.T) {
	r := run(t, 2)
	flow := r.Workflow("orders")
	r.flush(t)
	for i := range 3 {
		flow.Begin(t.Context(), fmt.Sprint("m", i))
		r.flush(t)
	}
	if got := len(r.rec.Ended()); got != 1 || len(r.plugin.messages) != 2 {
		t.Errorf("%d ended, %d open", got, len(r.plugin.messages))
	}
	r.stop()
	r.plugin.Close()
	r.plugin.Close()
	want := []string{}
	for i := range 3 {
		want = append(want, fmt.Sprintf("orders messaging.message.id=m%d interlok.lost=true", i))
	}
	equal(t, r.lines(t), want...)
}

// TestHoles: no choice of lost events breaks it, or leaves something behind.
func TestHoles(t *testing.T) {
	p, err := profiler.New(profiler.Config{})
	if err != nil {
		t.Fatal(err)
	}
	flow, step := p.Workflow("w"), p.Service("s")
	all := []profiler.Event{
		{ID: "m", Step: flow, Order: 1, Phase: profiler.Started},
		{ID: "m", Step: step, Order: 2, Parent: 1, Phase: profiler.Started},
		{ID: "m", Step: step, Order: 3, Parent: 2, Phase: profiler.Completed},
		{ID: "m", Step: step, Order: 2, Parent: 1, Phase: profiler.Failed},
		{ID: "m", Step: flow, Order: 1, Phase: profiler.Completed},
	}
	for mask := range 1 << len(all) {
		rec := tracetest.NewSpanRecorder()
		plugin, err := New(Config{Provider: sdk.NewTracerProvider(sdk.WithSpanProcessor(rec))})
		if err != nil {
			t.Fatal(err)
		}
		for i, ev := range all {
			if mask&(1<<i) != 0 {
				plugin.Observe([]profiler.Event{ev})
			}
		}
		for _, m := range plugin.messages {
			if len(m.spans) == 0 {
				t.Errorf("mask %b: a message is kept for nothing", mask)
			}
		}
		plugin.Close()
		if s, e := len(rec.Started()), len(rec.Ended()); s != e || len(plugin.messages) != 0 {
			t.Errorf("mask %b: %d spans started, %d ended", mask, s, e)
		}
	}
}

func TestRegistered(t *testing.T) {
	plugins, err := profiler.Open("otel", profiler.PluginConfig{})
	if err != nil || len(plugins) != 1 {
		t.Fatalf("%v, %v", plugins, err)
	}
	if _, ok := plugins[0].(*Plugin); !ok {
		t.Errorf("got a %T", plugins[0])
	}
	if _, err := New(Config{Messages: -1}); err == nil {
		t.Error("a negative limit")
	}
}
