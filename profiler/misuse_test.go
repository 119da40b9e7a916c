package profiler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// ways are the ways to run a function as a step.
var ways = []struct {
	name string
	run  func(s *profiler.Step, ctx context.Context, fn func(context.Context) error) error
}{
	{"Do", func(s *profiler.Step, ctx context.Context, fn func(context.Context) error) error {
		return s.Do(ctx, "m1", fn)
	}},
	{"Wrap", func(s *profiler.Step, ctx context.Context, fn func(context.Context) error) error {
		return profiler.Wrap(s, func(ctx context.Context, _ note) error { return fn(ctx) })(ctx, note{id: "m1"})
	}},
	{"Begin", func(s *profiler.Step, ctx context.Context, fn func(context.Context) error) (err error) {
		ctx, span := s.Begin(ctx, "m1")
		defer span.End(&err)
		return fn(ctx)
	}},
}

// note is a message.
type note struct {
	id   string
	body []byte
}

func (n note) ID() string      { return n.id }
func (n note) Payload() []byte { return n.body }

// A panic is heard of before it goes on, and goes on with its value.
func TestPanic(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := new(tape)
				p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
				synctest.Wait()
				flow, check := p.Workflow("orders"), p.Service("check")
				value := errors.New("boom")
				func() {
					defer func() {
						if got := recover(); got != value {
							t.Errorf("the panic went on with %v, want %v", got, value)
						}
						wantLines(t, tp, "m1 1/0 1 orders started", "m1 2/1 1 check panicked panic: boom", "m1 1/0 1 orders panicked panic: boom")
					}()
					_ = way.run(flow, t.Context(), func(ctx context.Context) error {
						return way.run(check, ctx, func(context.Context) error { panic(value) })
					})
				}()
				if s := p.Stats(); s.Open != 0 {
					t.Errorf("%d messages are in flight, want 0", s.Open)
				}
			})
		})
	}
}

// A panic waits for plugins, but no longer than 100 ms.
func TestPanicDoesNotWaitLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sl := newSleeper()
		defer sl.wake()
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{sl}, Patience: time.Hour})
		synctest.Wait()
		begin := time.Now()
		func() {
			defer func() { _ = recover() }()
			_ = p.Workflow("orders").Do(t.Context(), "m1", func(context.Context) error { panic("boom") })
		}()
		if got := time.Since(begin); got != 100*time.Millisecond {
			t.Errorf("the panic waited %v, want 100ms", got)
		}
		sl.wake()
	})
}

// A panic that nobody recovers ends the program as it would have without hooks,
// and its trace shows the line.
func TestUncaughtPanic(t *testing.T) {
	if os.Getenv("PROFILER_TEST_PANIC") != "" {
		p, err := profiler.New(profiler.Config{})
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Workflow("orders").Do(context.Background(), "m1", breaks)
		t.Fatal("the panic did not end the program") // and no child of a child
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestUncaughtPanic$")
	cmd.Env = append(os.Environ(), "PROFILER_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("the program ended with %v, want exit status 2", err)
	}
	for _, want := range []string{"panic: boom", "profiler_test.breaks(", "misuse_test.go:"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the trace does not show %q:\n%s", want, out)
		}
	}
}

func breaks(context.Context) error { panic("boom") }

func TestGoexit(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := new(tape)
				p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
				synctest.Wait()
				flow, check := p.Workflow("orders"), p.Service("check")
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = way.run(flow, t.Context(), func(ctx context.Context) error {
						return way.run(check, ctx, func(context.Context) error { time.Sleep(time.Millisecond); runtime.Goexit(); return nil })
					})
				}()
				<-ended
				flush(t, p)
				wantLines(t, tp, "m1 1/0 1 orders started", "m1 2/1 1 check exited", "m1 1/0 1 orders exited")
			})
		})
	}
}

// End in a deferred function cannot recover; the message is not taken for done
// all the same.
func TestEndInDeferredFunction(t *testing.T) {
	for name, test := range map[string]struct {
		how  func()
		want string
	}{
		"panics":       {func() { panic("boom") }, "m1 1/0 1 orders panicked panic"},
		"out of range": {func() { _ = make([]int, len(os.Args))[len(os.Args)] }, "m1 1/0 1 orders panicked panic"},
		"exits":        {runtime.Goexit, "m1 1/0 1 orders exited"},
		"returns":      {func() {}, "m1 1/0 1 orders completed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := new(tape)
				p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
				synctest.Wait()
				flow := p.Workflow("orders")
				go func() {
					defer func() { _ = recover() }()
					var err error
					_, span := flow.Begin(t.Context(), "m1")
					defer func() { span.End(&err) }()
					test.how()
				}()
				synctest.Wait()
				flush(t, p)
				wantLines(t, tp, test.want)
			})
		})
	}
}

// The context of another profiler's message is not ours.
func TestOtherProfiler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := new(tape), new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{ours}})
		q := start(t, profiler.Config{Plugins: []profiler.Plugin{theirs}})
		synctest.Wait()
		_ = q.Workflow("theirs").Do(t.Context(), "m1", func(ctx context.Context) error {
			return p.Service("check").Do(ctx, "m1", work(nil))
		})
		flush(t, p)
		flush(t, q)
		wantLines(t, ours, "m1 0/0 1 check completed")
		wantLines(t, theirs, "m1 1/0 1 theirs completed")
	})
}

// With Begin and End a short step does not see Goexit; its workflow does.
func TestGoexitOfShortSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
		synctest.Wait()
		begin, flow, check := ways[2].run, p.Workflow("orders"), p.Service("check")
		go func() {
			_ = begin(flow, t.Context(), func(ctx context.Context) error {
				return begin(check, ctx, func(context.Context) error { runtime.Goexit(); return nil })
			})
		}()
		synctest.Wait()
		flush(t, p)
		wantLines(t, tp, "m1 1/0 1 orders started", "m1 2/1 1 check completed", "m1 1/0 1 orders exited")
	})
}

func TestPayload(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 10<<20)
	for _, test := range []struct {
		name     string
		cfg      profiler.Config
		body     []byte
		want     []byte
		payloads uint64
	}{
		{"not asked for", profiler.Config{}, []byte("body"), nil, 0},
		{"kept", profiler.Config{Payload: true}, []byte("body"), []byte("body"), 0},
		{"as long as may be", profiler.Config{Payload: true, MaxPayload: 4}, []byte("body"), []byte("body"), 0},
		{"too long", profiler.Config{Payload: true, MaxPayload: 3}, []byte("body"), nil, 1},
		{"10 MiB", profiler.Config{Payload: true}, big, nil, 1},
		{"empty", profiler.Config{Payload: true}, []byte{}, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := new(tape)
				test.cfg.Plugins = []profiler.Plugin{tp}
				p := start(t, test.cfg)
				synctest.Wait()
				body := bytes.Clone(test.body)
				handle := profiler.Wrap(p.Workflow("orders"), func(ctx context.Context, n note) error {
					if msg, _ := profiler.From(ctx); !bytes.Equal(msg.Payload, test.want) {
						t.Errorf("the context has a payload of %d bytes, want %d", len(msg.Payload), len(test.want))
					}
					clear(n.body) // the copy is ours
					return errors.New("no")
				})
				_ = handle(t.Context(), note{"m1", body})
				flush(t, p)
				if len(tp.events) != 1 || tp.events[0].Phase != profiler.Failed {
					t.Fatalf("heard %v, want one event", tp.lines())
				}
				if got := tp.events[0].Detail; !bytes.Equal(got.Payload, test.want) || got.Err != "no" {
					t.Errorf("heard of %d bytes and %q, want %d bytes and \"no\"", len(got.Payload), got.Err, len(test.want))
				}
				if got := p.Stats().Payloads; got != test.payloads {
					t.Errorf("%d payloads were too long, want %d", got, test.payloads)
				}
			})
		})
	}
}

// A workflow without an id gets one of its own; other steps stay without.
func TestEmptyID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
		synctest.Wait()
		flow, check := p.Workflow("orders"), p.Service("check")
		var ids []string
		for range 2 {
			_ = flow.Do(t.Context(), "", func(ctx context.Context) error {
				ids = append(ids, profiler.ID(ctx))
				return check.Do(ctx, "", work(nil))
			})
		}
		_ = check.Do(t.Context(), "", work(nil))
		flush(t, p)
		if !strings.HasPrefix(ids[0], "unnamed-") || ids[0] == ids[1] {
			t.Errorf("the ids are %q; want two that differ", ids)
		}
		per := perMessage(tp.lines())
		for _, id := range ids {
			if got := len(per[id]); got != 3 {
				t.Errorf("heard %d events of %s, want 3", got, id)
			}
		}
		if got := len(tp.events); got != 7 {
			t.Errorf("heard %d events, want 7", got)
		}
		if got := p.Stats().Unnamed; got != 2 {
			t.Errorf("%d unnamed, want 2", got)
		}
	})
}

// The same id twice at once is one message, which ends with the last of the
// two.
func TestSameIDTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
		synctest.Wait()
		flow, check := p.Workflow("orders"), p.Service("check")
		ctx1, one := flow.Begin(t.Context(), "m1")
		ctx2, two := flow.Begin(t.Context(), "m1")
		_ = check.Do(ctx1, "", work(nil))
		one.End(nil)
		if !p.Running("m1") {
			t.Error("the message has ended with the first of its two workflows")
		}
		_ = check.Do(ctx2, "", work(nil))
		two.End(nil)
		flush(t, p)
		wantLines(t, tp,
			"m1 1/0 1 orders started", "m1 2/0 2 orders started", "m1 3/1 1 check completed", "m1 1/0 1 orders completed",
			"m1 4/2 1 check completed", "m1 2/0 2 orders completed")
		if s := p.Stats(); s.Repeated != 1 || s.Open != 0 || p.Running("m1") {
			t.Errorf("%d repeated, %d in flight; want 1, 0", s.Repeated, s.Open)
		}
	})
}

// A workflow that never ends stays in flight. Only so many may: the next one
// runs as with hooks switched off, but a fenced step of it does not.
func TestNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp, agrees{}}, Open: 2})
		synctest.Wait()
		flow, publish := p.Workflow("orders"), p.Producer("publish", profiler.Fence())
		_, first := flow.Begin(t.Context(), "m1")
		flow.Begin(t.Context(), "m2")
		ran := false
		err := flow.Do(t.Context(), "m3", func(ctx context.Context) error {
			ran = true
			if got := profiler.ID(ctx); got != "m3" {
				t.Errorf("the context is that of %q", got)
			}
			return publish.Do(ctx, "", work(nil))
		})
		if !ran || !errors.Is(err, profiler.ErrUntold) {
			t.Errorf("ran: %v, error %v; want ErrUntold from the fenced step", ran, err)
		}
		if s := p.Stats(); s.Open != 2 || s.Untold != 1 {
			t.Errorf("%d in flight, %d untold; want 2 and 1", s.Open, s.Untold)
		}
		first.End(nil)
		if err := flow.Do(t.Context(), "m3", func(ctx context.Context) error { return publish.Do(ctx, "", work(nil)) }); err != nil {
			t.Errorf("with room again: %v", err)
		}
		flush(t, p)
		if got := len(perMessage(tp.lines())["m2"]); got != 1 || !p.Running("m2") {
			t.Errorf("heard %d events of the message that never ends; in flight: %v", got, p.Running("m2"))
		}
	})
}

// A span ends once, whatever becomes of its copies.
func TestEndTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
		synctest.Wait()
		flow, check := p.Workflow("orders"), p.Service("check")
		ctx, one := flow.Begin(t.Context(), "m1")
		_, two := flow.Begin(t.Context(), "m1")
		_, a := check.Begin(ctx, "")
		again := a
		a.End(nil)
		_, b := check.Begin(ctx, "")
		again.End(nil) // not b's end
		one.End(nil)
		one.End(nil) // not two's end
		if !p.Running("m1") {
			t.Error("the second end of one span ended another")
		}
		b.End(nil)
		two.End(nil)
		flush(t, p)
		wantLines(t, tp, "m1 1/0 1 orders started", "m1 2/0 2 orders started", "m1 3/1 1 check completed",
			"m1 4/1 1 check completed", "m1 1/0 1 orders completed", "m1 2/0 2 orders completed")
	})
}

// An error that panics when it is asked for its text, and one without a text.
func TestOddErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}})
		synctest.Wait()
		flow := p.Workflow("orders")
		for i, err := range []error{(*oddError)(nil), errors.New(""), errors.New(strings.Repeat("é", 10_000))} {
			if got := flow.Do(t.Context(), fmt.Sprint("m", i), work(err)); got != err {
				t.Errorf("the error became %v", got)
			}
		}
		flush(t, p)
		for _, e := range tp.events {
			want := map[string]string{
				"m0": "error of type *profiler_test.oddError, whose Error panics",
				"m1": "error of type *errors.errorString without a text",
				"m2": strings.Repeat("é", 4096),
			}[e.ID]
			if e.Phase != profiler.Failed || e.Detail.Err != want {
				t.Errorf("%s %v: %q, want %q", e.ID, e.Phase, e.Detail.Err, want)
			}
		}
		if len(tp.events) != 3 {
			t.Errorf("heard %d events, want 3", len(tp.events))
		}
	})
}

type oddError struct{ text string }

func (e *oddError) Error() string { return e.text }

// Steps of a profiler whose Run has ended still run, and count.
func TestAfterRun(t *testing.T) {
	tp := new(tape)
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{tp}, Overflow: profiler.Block})
	if err != nil {
		t.Fatal(err)
	}
	flow, check := p.Workflow("orders"), p.Service("check")
	ctx, span := flow.Begin(t.Context(), "m1") // before Run: heard later
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(stopped); err != nil {
		t.Fatal(err)
	}
	wantLines(t, tp, "m1 1/0 1 orders started")
	if err := check.Do(ctx, "", work(errors.New("no"))); err == nil || err.Error() != "no" {
		t.Errorf("the error became %v", err)
	}
	span.End(nil)
	if s := p.Stats(); s.Dropped != 3 || s.Open != 0 {
		t.Errorf("%d dropped, %d in flight; want 3, 0", s.Dropped, s.Open)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, profiler.ErrNotRunning) {
		t.Errorf("Flush: %v", err)
	}
	if err := p.Run(t.Context()); err == nil {
		t.Error("Run ran twice")
	}
}
