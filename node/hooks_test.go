package node

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// node makes an instance that does not run yet.
func (c *cluster) node(name string, work func(ctx context.Context, m *Master) error) *Node {
	c.t.Helper()
	cfg := c.config(name)
	s, err := config.Load(config.Source{Environ: cfg.Environ, Sets: cfg.Set, Hostname: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := New(Options{
		Settings: s, Environ: cfg.Environ, SocketPath: cfg.SocketPath, Work: work,
		Abort: func(why string) { c.t.Error(why) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// running runs it until stop is called, which returns when it has ended.
func (c *cluster) running(n *Node) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(stop)
	return stop
}

// The guard runs out, as when the process stood still, and the election has not
// said so: what the work leaves is in flight, and when the guard is renewed the
// work is called again and told of it.
func TestExpiredKeepsInFlight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		early bool // the guard is open again before the work has returned
	}{{"renewed before the work has returned", true}, {"renewed after it", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var n *Node
			open := func(until time.Duration) {
				n.work.Guard(election.Guard{Epoch: n.reign.Load(), Until: now() + until})
			}
			masters, begun, over := make(chan *Master, 8), make(chan struct{}), make(chan struct{})
			calls := 0
			c := newCluster(t)
			n = c.node("a", func(ctx context.Context, m *Master) error {
				if calls++; calls > 1 {
					masters <- m
					<-ctx.Done()
					return nil
				}
				return m.Profiler().Workflow("orders").Do(ctx, "o-17", func(ctx context.Context) error {
					close(begun)
					<-ctx.Done()
					over <- struct{}{} // nobody closes the guard after this
					if tt.early {
						open(time.Second)
					}
					return context.Cause(ctx)
				})
			})
			c.running(n)
			expect(t, "the first call", begun)
			for expired := false; !expired; { // the election renews it meanwhile
				n.work.(*library).guard.Store(&election.Guard{Epoch: n.reign.Load(), Until: now() - 1})
				select {
				case <-over:
					expired = true
				case <-time.After(50 * time.Microsecond):
				}
			}
			m := expect(t, "the second call", masters)
			if err := n.profiler.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			for when, left := range map[string][]mirror.Message{"at its start": m.InFlight(), "later": n.mirror.InFlight()} {
				if len(left) != 1 || left[0].ID != "o-17" || left[0].Error == "" {
					t.Errorf("in flight %s: %+v; want what the first call left", when, left)
				}
			}
			// What fails now fails for its own reasons.
			_ = m.Profiler().Workflow("orders").Do(t.Context(), "o-18", func(context.Context) error { return errNoStock })
			if err := n.profiler.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if msg, _ := n.mirror.Get("o-18"); msg.State != mirror.Failed {
				t.Errorf("a workflow that failed in the second call is %v", msg.State)
			}
		})
	}
}

const errNoStock = reported("no stock")

// Of several times at which work is being ended the first counts, until new
// work begins.
func TestEnding(t *testing.T) {
	var e ending
	if e.before(time.Now()) {
		t.Error("work is being ended before anybody said so")
	}
	e.begin()
	at := time.Now()
	e.begin()
	if !e.before(at) {
		t.Error("what failed between two ends is not interrupted")
	}
	e.over()
	if e.before(time.Now()) {
		t.Error("new work is being ended")
	}
	at = time.Now().Add(-time.Hour)
	if e.begin(); e.before(at) {
		t.Error("what failed before is interrupted")
	}
}

// A reign forgets what ran here in an earlier one: others may have done it since.
func TestOpenResetsMirror(t *testing.T) {
	c := newCluster(t)
	n := c.node("a", idle)
	defer n.close()
	r := &replicated{&noWork{n: n, wish: make(chan bool, 1)}, n}
	r.Open(1)
	n.mirror.Observe([]profiler.Event{{ID: "o-17", Step: n.profiler.Workflow("orders"), Order: 1, Attempt: 1, Phase: profiler.Started}})
	if runs := n.mirror.Stats().InFlight; runs != 1 {
		t.Fatalf("%d messages run, want 1", runs)
	}
	r.Epoch(2) // the reign goes on
	if runs := n.mirror.Stats().InFlight; runs != 1 {
		t.Errorf("%d messages run under a greater epoch, want 1", runs)
	}
	r.Open(3)
	if runs := n.mirror.Stats().InFlight; runs != 0 {
		t.Errorf("%d messages run at the start of a reign, want none", runs)
	}
}

// The end of mastership ends the workflows that a workload has reported the
// start of, and leaves their messages in flight.
func TestStoppedForgetsSteps(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	masters := make(chan *Master, 8)
	n := c.node("a", func(ctx context.Context, m *Master) error { masters <- m; return idle(ctx, m) })
	stop := c.running(n)
	expect(t, "a's mastership", masters)
	if _, err := n.steps.Report(t.Context(), parse("o-17 workflow orders started")); err != nil {
		t.Fatal(err)
	}
	b := c.start("b", idle)
	for { // until b is in step
		_, err := n.steps.Report(t.Context(), parse("o-17 producer publish started fence"))
		if err == nil {
			break
		}
		if admin.KindOf(err) != admin.KindNoReplica {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	n.steps.mu.Lock()
	kept := len(n.steps.open)
	n.steps.mu.Unlock()
	if told := n.profiler.Stats().Open; kept != 0 || told != 0 {
		t.Errorf("%d messages are open, %d in the profiler; want none", kept, told)
	}
	left := expect(t, "b's mastership", b.masters).InFlight()
	if len(left) != 1 || left[0].ID != "o-17" || left[0].Error != errForgotten.Error() {
		t.Errorf("in flight: %+v; want o-17, which was forgotten", left)
	}
}
