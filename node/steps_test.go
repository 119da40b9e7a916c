package node

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// recorder is a plugin that keeps what it hears as text, and a fence.
type recorder struct {
	mu    sync.Mutex // guards heard and agree
	heard []string
	// agree is what Fence does; nil: agree for a second.
	agree func(ctx context.Context) error
	stale bool          // Fence agrees when it is too late
	hold  chan struct{} // Observe waits until it is closed; nil: it does not
}

func (r *recorder) Observe(batch []profiler.Event) {
	if r.hold != nil {
		<-r.hold
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range batch {
		text := fmt.Sprintf("%s %s %s %s", e.ID, e.Step.Kind(), e.Step.Name(), e.Phase)
		if e.Attempt > 1 {
			text += fmt.Sprintf(" #%d", e.Attempt)
		}
		if e.Detail != nil {
			text += fmt.Sprintf(" %q", e.Detail.Err+string(e.Detail.Payload))
		}
		r.heard = append(r.heard, text)
	}
}

func (r *recorder) Fence(ctx context.Context, _ string, _ profiler.Event) (context.Context, error) {
	r.mu.Lock()
	agree := r.agree
	r.mu.Unlock()
	if agree != nil {
		if err := agree(ctx); err != nil {
			return nil, fmt.Errorf("fence: %w", err)
		}
	}
	if r.stale {
		return stale{ctx}, nil
	}
	in, cancel := context.WithTimeout(ctx, time.Second)
	context.AfterFunc(ctx, cancel)
	return in, nil
}

// stale is a context whose time is over, and whose timer has not noticed.
type stale struct{ context.Context }

func (stale) Deadline() (time.Time, bool) { return time.Now(), true }

// reporting is steps over a profiler that runs.
type reporting struct {
	*steps
	*recorder
	t      *testing.T
	p      *profiler.Profiler
	master bool
}

func newReporting(t *testing.T, change func(*stepsConfig, *profiler.Config)) *reporting {
	t.Helper()
	r := &reporting{recorder: &recorder{}, t: t, master: true}
	pc := profiler.Config{Plugins: []profiler.Plugin{r.recorder}, Payload: true}
	sc := stepsConfig{
		MaxOpen: 3, Master: func() bool { return r.master }, Token: func() string { return "0-a" },
		Status: func() admin.Status {
			return admin.Status{Instance: admin.Instance{ID: "1"}, Master: &admin.Master{ID: "2", Name: "b"}}
		},
	}
	if change != nil {
		change(&sc, &pc)
	}
	var err error
	if r.p, err = profiler.New(pc); err != nil {
		t.Fatal(err)
	}
	sc.Profiler = r.p
	r.steps = newSteps(sc)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for r.p.Flush(context.Background()) != nil { // until Run runs
		runtime.Gosched()
	}
	return r
}

// parse makes steps of lines such as "m1 producer publish started fence".
func parse(lines ...string) (list []admin.Step) {
	for _, line := range lines {
		w := strings.Fields(line)
		s := admin.Step{ID: w[0], Kind: w[1], Step: w[2], Phase: w[3]}
		for _, more := range w[4:] {
			switch {
			case more == "fence":
				s.Fence = true
			case s.Phase == admin.StepFailed:
				s.Error = more
			default:
				s.Payload = more
			}
		}
		list = append(list, s)
	}
	return list
}

func (r *reporting) report(lines ...string) (admin.StepsAnswer, error) {
	return r.Report(r.t.Context(), parse(lines...))
}

// must reports what has to be taken, all of it.
func (r *reporting) must(late int, lines ...string) admin.StepsAnswer {
	r.t.Helper()
	a, err := r.report(lines...)
	if err != nil || a.Taken != len(lines) || a.Late != late {
		r.t.Fatalf("%q: %+v %v; want all taken, %d late", lines, a, err, late)
	}
	return a
}

// refused reports what has to fail at the last line.
func (r *reporting) refused(kind admin.Kind, says string, lines ...string) {
	r.t.Helper()
	a, err := r.report(lines...)
	if admin.KindOf(err) != kind || !strings.Contains(err.Error(), says) || a.Taken != len(lines)-1 || a.Fence != nil {
		r.t.Errorf("%q: %+v %v (%s); want %s, %s", lines, a, err, admin.KindOf(err), kind, says)
	}
}

// hears compares what the plugin has heard since the last time.
func (r *reporting) hears(want ...string) {
	r.t.Helper()
	if err := r.p.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.mu().Lock()
	defer r.mu().Unlock()
	if !slices.Equal(r.heard, want) {
		r.t.Errorf("the plugin heard\n\t%s\nwant\n\t%s", strings.Join(r.heard, "\n\t"), strings.Join(want, "\n\t"))
	}
	r.heard = nil
}

func (r *reporting) mu() *sync.Mutex { return &r.recorder.mu }

func (r *reporting) openNow() (messages, told int) {
	r.steps.mu.Lock()
	defer r.steps.mu.Unlock()
	return len(r.open), r.p.Stats().Open
}

// TestStepsOfAMessage follows one message, its start and ends in requests of
// their own.
func TestStepsOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.must(0, "m1 workflow orders started hello")
		r.hears(`m1 WORKFLOW orders started "hello"`)
		r.must(0, "m1 service validate started")
		r.hears("m1 SERVICE validate started")
		r.must(0, "m1 service validate failed no-stock", "m1 service validate started")
		r.hears(`m1 SERVICE validate failed "no-stock"`, "m1 SERVICE validate started #2")
		a := r.must(0, "m1 service validate completed", "m1 service enrich completed", "m1 producer publish started fence")
		if a.Fence == nil || a.Fence.Token != "0-a" || a.Fence.ForMs != 1000 {
			t.Errorf("fence %+v, want token 0-a for 1000 ms", a.Fence)
		}
		time.Sleep(time.Hour) // the fence's time is over; its end is told all the same
		r.must(0, "m1 producer publish completed")
		r.must(0, "m1 workflow orders completed")
		r.hears("m1 SERVICE validate completed #2", "m1 SERVICE enrich completed", "m1 PRODUCER publish started", "m1 PRODUCER publish completed", "m1 WORKFLOW orders completed")
		// What comes after the end tells nothing, but for the workflow itself.
		r.must(2, "m1 service validate started", "m1 producer publish completed")
		r.hears()
		r.must(0, "m1 workflow orders completed")
		r.hears("m1 WORKFLOW orders completed")
		if n, told := r.openNow(); n != 0 || told != 0 {
			t.Errorf("%d messages are open, %d in the profiler", n, told)
		}
	})
}

// TestStepsOneRequest has a whole way in one request: one event a step.
func TestStepsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.must(0, "m1 workflow w started", "m2 workflow w started", "m1 service s started", "m2 service s failed", "m1 service s completed",
			"m1 workflow w completed", "m2 workflow w failed bad")
		if err := r.p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string][]string{
			"m1": {"m1 WORKFLOW w started", "m1 SERVICE s completed", "m1 WORKFLOW w completed"},
			"m2": {"m2 WORKFLOW w started", `m2 SERVICE s failed "failed, without a reason given"`, `m2 WORKFLOW w failed "bad"`},
		} {
			got := slices.DeleteFunc(slices.Clone(r.heard), func(s string) bool { return !strings.HasPrefix(s, id) })
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", id, got, want)
			}
		}
	})
}

// TestStepsBegunAnew delivers a message again whose worker died: the first
// attempt fails after the second has begun, its open producer stays as it is.
func TestStepsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.must(0, "m1 workflow w started", "m1 service s started", "m1 producer p started fence")
		r.hears("m1 WORKFLOW w started", "m1 SERVICE s started", "m1 PRODUCER p started")
		r.must(0, "m1 workflow w started")
		r.hears("m1 WORKFLOW w started #2", `m1 SERVICE s failed "begun anew"`, `m1 WORKFLOW w failed "begun anew"`)
		r.must(0, "m1 producer p completed", "m1 workflow w completed") // of the second attempt: the first one's is forgotten
		r.hears("m1 PRODUCER p completed", "m1 WORKFLOW w completed #2")
		if n, told := r.openNow(); n != 0 || told != 0 {
			t.Errorf("%d messages are open, %d in the profiler", n, told)
		}
	})
}

func TestStepsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.refused(admin.KindRefused, "no workflow is open", "x producer p started fence")
		r.must(1, "x producer p started") // without a fence nothing is promised
		r.must(0, "m1 workflow w started")
		r.refused(admin.KindRefused, `open in the workflow "w", not in "v"`, "m1 service s completed", "m1 workflow v completed")
		r.must(0, "m2 workflow w started", "m3 workflow w started")
		r.refused(admin.KindFull, "3 messages are open", "m4 workflow w started")
		r.must(0, "m1 workflow w started") // open already, so no more than before
		r.must(0, "m1 workflow w completed", "m4 workflow w started")
	})
}

// TestStepsFence has fences that do not come through: the producer is not open
// then, and the answer says what to do.
func TestStepsFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.must(0, "m1 workflow w started")
		r.hears("m1 WORKFLOW w started")
		for _, tt := range []struct {
			fence error
			kind  admin.Kind
			says  string
		}{
			{cache.ErrNotMaster, admin.KindNotMaster, "this instance is not master, b is; stop working"},
			{cache.ErrNoReplica, admin.KindNoReplica, "do not publish"},
			{cache.ErrFull, admin.KindFull, "too many messages"},
			{errors.New("odd"), admin.KindInternal, "fence: odd"},
		} {
			r.mu().Lock()
			r.agree = func(context.Context) error { return tt.fence }
			r.mu().Unlock()
			r.refused(tt.kind, tt.says, "m1 producer p started fence")
		}
		r.mu().Lock()
		r.agree, r.stale = nil, true
		r.mu().Unlock()
		r.refused(admin.KindNotMaster, "stop working", "m1 producer p started fence")
		r.mu().Lock()
		r.agree = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		r.mu().Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		a, err := r.Report(ctx, parse("m1 service s completed", "m1 producer p started fence", "m1 service s completed"))
		if admin.KindOf(err) != admin.KindTimeout || a.Taken != 1 || time.Since(began) != 5*time.Second {
			t.Errorf("a fence that nobody answers: %+v %v after %v", a, err, time.Since(began))
		}
		if err := r.p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.mu().Lock()
		defer r.mu().Unlock()
		failed := slices.DeleteFunc(slices.Clone(r.heard), func(s string) bool { return !strings.Contains(s, "PRODUCER p failed") })
		if len(failed) != 6 {
			t.Errorf("heard %q; want six producers that failed", r.heard)
		}
	})
}

// TestStepsNoFencer has no failover plugin: there is nobody to agree.
func TestStepsNoFencer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, func(_ *stepsConfig, pc *profiler.Config) { pc.Plugins = nil })
		r.refused(admin.KindRefused, "no fence", "m1 workflow w started", "m1 producer p started fence")
	})
}

func TestStepsNotMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.must(0, "m1 workflow w started", "m1 producer p started fence")
		r.hears("m1 WORKFLOW w started", "m1 PRODUCER p started")
		r.master = false
		r.forget()
		r.refused(admin.KindNotMaster, "b is; stop working", "m1 producer p completed")
		// The workflow ends here; of the producer nothing is told: it is open for the successor.
		r.hears(`m1 WORKFLOW w failed "mastership ended"`)
		if n, told := r.openNow(); n != 0 || told != 0 {
			t.Errorf("%d messages are open, %d in the profiler", n, told)
		}
	})
}

// TestStepsBusy has a plugin that does not keep up: with Block steps are turned
// away until it does, without it they are dropped.
func TestStepsBusy(t *testing.T) {
	const most = 1 << 16 // more than all buffers hold, which grow with the number of processors
	for _, block := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			hold := make(chan struct{})
			r := newReporting(t, func(sc *stepsConfig, pc *profiler.Config) {
				pc.Buffer, sc.Block, pc.Patience = 16, block, time.Hour
				if block {
					pc.Overflow = profiler.Block
				}
				pc.Plugins[0].(*recorder).hold = hold
			})
			ended := make(chan error, 1)
			taken := 0
			go func() {
				r.report("m1 workflow w started")
				for {
					a, err := r.report("m1 service s started")
					taken += a.Taken
					if err != nil || r.p.Stats().Dropped > 0 || taken == most {
						ended <- err
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
			err := <-ended
			if !block {
				if err != nil || r.p.Stats().Dropped == 0 {
					t.Errorf("drop: %v after %d steps, %d dropped", err, taken, r.p.Stats().Dropped)
				}
				close(hold)
				return
			}
			if admin.KindOf(err) != admin.KindBusy || taken < 16 || r.p.Stats().Dropped != 0 {
				t.Errorf("block: %v after %d steps, %d dropped", err, taken, r.p.Stats().Dropped)
			}
			close(hold)
			synctest.Wait()
			time.Sleep(time.Second)
			r.must(0, "m1 service s started")
		})
	}
}

func TestStepsTooManyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporting(t, nil)
		r.must(0, "m1 workflow w started")
		for i := range maxStepNames - 1 {
			r.must(0, fmt.Sprintf("m1 service s%d completed", i))
		}
		r.refused(admin.KindRefused, "one too many", "m1 service another completed")
		r.must(0, "m1 service s0 completed")
	})
}

// TestStepsAtOnce has many callers with messages of their own, and mastership
// that ends under them.
func TestStepsAtOnce(t *testing.T) {
	r := newReporting(t, func(sc *stepsConfig, _ *profiler.Config) { sc.MaxOpen = 1000 })
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 200 {
				id := fmt.Sprintf("m%d-%d", n, i)
				_, err := r.report(id+" workflow w started", id+" producer p started fence", id+" producer p completed", id+" workflow w completed")
				if k := admin.KindOf(err); err != nil && k != admin.KindRefused { // forgotten in between
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		r.forget()
		time.Sleep(100 * time.Microsecond) // spreads them out; nothing waits for it
	}
	wg.Wait()
	r.forget()
	if n, told := r.openNow(); n != 0 || told != 0 {
		t.Errorf("%d messages are open, %d in the profiler", n, told)
	}
}
