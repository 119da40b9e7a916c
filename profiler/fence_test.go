package profiler_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// agrees is a Fencer that always does.
type agrees struct{}

func (agrees) Observe([]profiler.Event) {}

func (agrees) Fence(ctx context.Context, _ string, _ profiler.Event) (context.Context, error) {
	return ctx, nil
}

// fencer is a Fencer that does what it is told.
type fencer struct {
	tape
	asked []string
	fence func(ctx context.Context, ev profiler.Event) (context.Context, error)
}

func (f *fencer) Fence(ctx context.Context, id string, ev profiler.Event) (context.Context, error) {
	msg, _ := profiler.From(ctx)
	f.asked = append(f.asked, id+" "+msg.Workflow.Name()+" "+ev.Step.String())
	return f.fence(ctx, ev)
}

func TestFence(t *testing.T) {
	refusal := errors.New("not master")
	type key struct{}
	for _, test := range []struct {
		name  string
		fence func(ctx context.Context, ev profiler.Event) (context.Context, error)
		want  error // nil: runs
		last  string
	}{
		{"agrees", func(ctx context.Context, _ profiler.Event) (context.Context, error) {
			return context.WithValue(ctx, key{}, "guard"), nil
		}, nil, "m1 2/1 1 publish completed"},
		{"agrees with no context", func(context.Context, profiler.Event) (context.Context, error) { return nil, nil }, nil, "m1 2/1 1 publish completed"},
		{"refuses", func(ctx context.Context, _ profiler.Event) (context.Context, error) { return ctx, refusal }, refusal, "m1 2/1 1 publish failed not master"},
		{"panics", func(context.Context, profiler.Event) (context.Context, error) { panic("bad fencer") }, errAny,
			"m1 2/1 1 publish failed profiler: fence of PRODUCER publish: *profiler_test.fencer panicked: bad fencer"},
	} {
		for _, way := range ways {
			t.Run(test.name+"/"+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &fencer{fence: test.fence}
					p := start(t, profiler.Config{Plugins: []profiler.Plugin{agrees{}, f}})
					synctest.Wait()
					flow, publish := p.Workflow("orders"), p.Producer("publish", profiler.Fence())
					var ran context.Context
					var err error
					_ = flow.Do(t.Context(), "m1", func(ctx context.Context) error {
						err = way.run(publish, ctx, func(ctx context.Context) error {
							if way.name == "Begin" && ctx.Err() != nil {
								return context.Cause(ctx)
							}
							ran = ctx
							if profiler.ID(ctx) != "m1" || ctx.Err() != nil {
								t.Errorf("runs with id %q, %v", profiler.ID(ctx), ctx.Err())
							}
							return nil
						})
						return nil
					})
					flush(t, p)
					if (ran != nil) != (test.want == nil) {
						t.Errorf("ran: %v", ran != nil)
					}
					if test.want == errAny && err == nil || test.want != errAny && !errors.Is(err, test.want) {
						t.Errorf("error %v, want %v", err, test.want)
					}
					if want := []string{"m1 orders PRODUCER publish"}; !slices.Equal(f.asked, want) {
						t.Errorf("asked %q, want %q", f.asked, want)
					}
					if test.name == "agrees" && ran.Value(key{}) != "guard" {
						t.Error("it did not run with the Fencer's context")
					}
					if ran != nil && ran.Err() == nil && test.name == "agrees" {
						t.Error("the context lives on after the step")
					}
					wantLines(t, &f.tape, "m1 1/0 1 orders started", test.last, "m1 1/0 1 orders completed")
				})
			})
		}
	}
}

var errAny = errors.New("any error")

// What is refused without asking anybody.
func TestFenceRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		plugins []profiler.Plugin
		do      func(flow, publish *profiler.Step) error
		want    error
	}{
		{"no fencer", []profiler.Plugin{new(tape)}, func(flow, publish *profiler.Step) error {
			return flow.Do(context.Background(), "m1", func(ctx context.Context) error { return publish.Do(ctx, "", forbidden) })
		}, profiler.ErrNoFencer},
		{"no id", []profiler.Plugin{agrees{}}, func(_, publish *profiler.Step) error {
			return publish.Do(context.Background(), "", forbidden)
		}, profiler.ErrNoID},
		{"message ended", []profiler.Plugin{agrees{}}, func(flow, publish *profiler.Step) error {
			ctx, span := flow.Begin(context.Background(), "m1")
			span.End(nil)
			return publish.Do(ctx, "", forbidden)
		}, profiler.ErrEnded},
		{"Begin, message ended", []profiler.Plugin{agrees{}}, func(flow, publish *profiler.Step) (err error) {
			ctx, span := flow.Begin(context.Background(), "m1")
			span.End(nil)
			ctx, late := publish.Begin(ctx, "")
			defer late.End(&err)
			return context.Cause(ctx)
		}, profiler.ErrEnded},
		{"none of it, outside of any workflow", []profiler.Plugin{agrees{}}, func(_, publish *profiler.Step) error {
			return publish.Do(context.Background(), "m1", work(nil))
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := profiler.New(profiler.Config{Plugins: test.plugins})
			if err != nil {
				t.Fatal(err)
			}
			if err := test.do(p.Workflow("orders"), p.Producer("publish", profiler.Fence())); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

var errRan = errors.New("it ran")

func forbidden(context.Context) error { return errRan }

// A Fencer that waits makes its step wait, and no other one.
func TestFenceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fencer{fence: func(ctx context.Context, _ profiler.Event) (context.Context, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{f}})
		synctest.Wait()
		publish, check := p.Producer("publish", profiler.Fence()), p.Service("check")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = p.Workflow("orders").Do(ctx, "m1", func(ctx context.Context) error {
			done := make(chan error, 1)
			go func() { done <- publish.Do(ctx, "", forbidden) }()
			synctest.Wait()
			before := time.Now()
			_ = check.Do(ctx, "", work(nil))
			if time.Since(before) != 0 {
				t.Error("another step waited")
			}
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) || time.Since(before) != time.Minute {
				t.Errorf("error %v after %v", err, time.Since(before))
			}
			return nil
		})
	})
}
