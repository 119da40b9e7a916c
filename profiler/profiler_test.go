package profiler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a plugin that keeps what it hears.
type tape struct {
	mu     sync.Mutex
	events []profiler.Event
}

func (t *tape) Observe(batch []profiler.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, batch...)
}

// lines are the events as "id order parent attempt step phase error".
func (t *tape) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, e := range t.events {
		line := fmt.Sprintf("%s %d/%d %d %s %v", e.ID, e.Order, e.Parent, e.Attempt, e.Step.Name(), e.Phase)
		if e.Detail != nil {
			line += " " + e.Detail.Err
			if e.Detail.Payload != nil {
				line += fmt.Sprintf(" [%s]", e.Detail.Payload)
			}
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// start runs a profiler until the test ends.
func start(t testing.TB, cfg profiler.Config) *profiler.Profiler {
	t.Helper()
	p, err := profiler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p
}

func flush(t testing.TB, p *profiler.Profiler) {
	t.Helper()
	for {
		switch err := p.Flush(context.Background()); {
		case err == nil:
			return
		case errors.Is(err, profiler.ErrNotRunning): // not yet
			continue
		default:
			t.Fatal(err)
		}
	}
}

func wantLines(t *testing.T, tp *tape, want ...string) {
	t.Helper()
	if got := tp.lines(); !slices.Equal(got, want) {
		t.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// work is a function that returns err.
func work(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestMessage(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(p *profiler.Profiler)
		want []string
	}{
		{"short steps are one event each", func(p *profiler.Profiler) {
			flow, check, out := p.Workflow("orders"), p.Service("check"), p.Producer("out")
			_ = flow.Do(context.Background(), "m1", func(ctx context.Context) error {
				_ = check.Do(ctx, "", work(nil))
				return out.Do(ctx, "m1", work(nil))
			})
		}, []string{"m1 1/0 1 orders started", "m1 2/1 1 check completed", "m1 3/1 1 out completed", "m1 1/0 1 orders completed"}},

		{"an empty workflow is one event", func(p *profiler.Profiler) {
			_ = p.Workflow("orders").Do(context.Background(), "m1", work(nil))
		}, []string{"m1 1/0 1 orders completed"}},

		{"errors and attempts", func(p *profiler.Profiler) {
			flow, check := p.Workflow("orders"), p.Service("check")
			for range 2 {
				_ = flow.Do(context.Background(), "m1", func(ctx context.Context) error {
					_ = check.Do(ctx, "", work(errors.New("no stock")))
					_ = check.Do(ctx, "", work(nil))
					return errors.New("late")
				})
			}
		}, []string{
			"m1 1/0 1 orders started", "m1 2/1 1 check failed no stock", "m1 3/1 2 check completed", "m1 1/0 1 orders failed late",
			"m1 1/0 2 orders started", "m1 2/1 1 check failed no stock", "m1 3/1 2 check completed", "m1 1/0 2 orders failed late",
		}},

		{"nested steps", func(p *profiler.Profiler) {
			flow, outer, inner := p.Workflow("orders"), p.Service("outer", profiler.Nest()), p.Service("inner")
			_ = flow.Do(context.Background(), "m1", func(ctx context.Context) error {
				return outer.Do(ctx, "", func(ctx context.Context) error { return inner.Do(ctx, "", work(nil)) })
			})
		}, []string{"m1 1/0 1 orders started", "m1 2/1 1 outer started", "m1 3/2 1 inner completed", "m1 2/1 1 outer completed", "m1 1/0 1 orders completed"}},

		{"a workflow in a workflow is a step of it", func(p *profiler.Profiler) {
			outer, inner := p.Workflow("outer"), p.Workflow("inner")
			_ = outer.Do(context.Background(), "m1", func(ctx context.Context) error { return inner.Do(ctx, "", work(nil)) })
		}, []string{"m1 1/0 1 outer started", "m1 2/1 1 inner completed", "m1 1/0 1 outer completed"}},

		{"without a context the id finds the message", func(p *profiler.Profiler) {
			_, span := p.Workflow("orders").Begin(context.Background(), "m1")
			_ = p.Service("check").Do(context.Background(), "m1", work(nil))
			span.End(nil)
		}, []string{"m1 1/0 1 orders started", "m1 2/1 1 check completed", "m1 1/0 1 orders completed"}},

		{"outside of any workflow", func(p *profiler.Profiler) {
			_, span := p.Channel("main").Begin(context.Background(), "")
			span.End(nil)
			_ = p.Consumer("in").Do(context.Background(), "m1", work(errors.New("gone")))
		}, []string{"0/0 1 main completed", "m1 0/0 1 in failed gone"}},

		{"late steps are ignored", func(p *profiler.Profiler) {
			check := p.Service("check")
			ctx, span := p.Workflow("orders").Begin(context.Background(), "m1")
			_, slow := check.Begin(ctx, "")
			span.End(nil)
			slow.End(nil)
			_ = check.Do(ctx, "", work(nil))
		}, []string{"m1 1/0 1 orders started", "m1 2/1 1 check started", "m1 1/0 1 orders completed"}},

		{"payloads are not kept unless asked for", func(p *profiler.Profiler) {
			_, span := p.Workflow("orders").BeginPayload(context.Background(), "m1", []byte("body"))
			span.End(nil)
		}, []string{"m1 1/0 1 orders completed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := new(tape)
				p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
				synctest.Wait()
				test.do(p)
				flush(t, p)
				for id, got := range perMessage(tp.lines()) {
					if want := perMessage(test.want)[id]; !slices.Equal(got, want) {
						t.Errorf("heard of %q\n\t%s\nwant\n\t%s", id, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
					}
				}
				if got := len(tp.lines()); got != len(test.want) {
					t.Errorf("heard %d events, want %d", got, len(test.want))
				}
			})
		})
	}
}

// perMessage sorts lines by their ids: the order between messages is not kept.
func perMessage(lines []string) map[string][]string {
	per := map[string][]string{}
	for _, line := range lines {
		id, _, _ := strings.Cut(line, " ")
		per[id] = append(per[id], line)
	}
	return per
}
