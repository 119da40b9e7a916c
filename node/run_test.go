package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// cluster are instances in this process, on lo.
type cluster struct {
	t    *testing.T
	port int
	dir  string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).Port
	_ = free.Close()
	dir, err := os.MkdirTemp("", "run") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &cluster{t, port, dir}
}

func (c *cluster) config(name string, set ...string) Config {
	return Config{
		Set: append([]string{
			"failover.name=" + name, fmt.Sprint("failover.cluster=run-", c.port), "failover.interface=lo", fmt.Sprint("failover.port=", c.port),
			"failover.delay=100", "failover.retries=5", "failover.state.dir=" + c.dir + "/" + name,
		}, set...),
		Environ:    []string{"HOME=" + c.dir},
		SocketPath: c.dir + "/" + name + ".sock",
	}
}

// instance is one that runs.
type instance struct {
	masters chan *Master
	stop    context.CancelFunc
	ended   chan error
}

// start runs an instance whose work waits for its end.
func (c *cluster) start(name string, work func(ctx context.Context, m *Master) error, set ...string) *instance {
	return c.run(c.config(name, set...), work)
}

func (c *cluster) run(cfg Config, work func(ctx context.Context, m *Master) error) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{masters: make(chan *Master, 8), stop: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.ended <- Run(ctx, cfg, func(ctx context.Context, m *Master) error {
			i.masters <- m
			return work(ctx, m)
		})
	}()
	c.t.Cleanup(func() { cancel(); <-done })
	return i
}

const patience = 20 * time.Second

func expect[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not in time", what)
		panic("unreachable")
	}
}

func idle(ctx context.Context, _ *Master) error { <-ctx.Done(); return nil }

// What was in flight at a hand-over is what the successor is told of, with the
// step that each message had reached.
func TestRunHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	published := make(chan struct{})
	a := c.start("a", func(ctx context.Context, m *Master) error {
		p := m.Profiler()
		orders, publish := p.Workflow("orders"), p.Producer("publish", profiler.Fence())
		if err := orders.Do(ctx, "done", func(ctx context.Context) error { return nil }); err != nil {
			return err
		}
		return orders.Do(ctx, "open", func(ctx context.Context) error {
			for { // until there is a slave
				err := publish.Do(ctx, "", func(ctx context.Context) error {
					if _, ok := ctx.Deadline(); !ok {
						t.Error("the step's context does not carry the guard's deadline")
					}
					return nil
				})
				if err == nil {
					break
				}
				if !errors.Is(err, cache.ErrNoReplica) {
					return err
				}
				time.Sleep(10 * time.Millisecond)
			}
			close(published)
			<-ctx.Done()
			return ctx.Err()
		})
	})
	first := expect(t, "a's mastership", a.masters)
	b := c.start("b", idle)
	expect(t, "the fence", published)
	a.stop()
	if err := expect(t, "a's end", a.ended); err != nil {
		t.Fatal(err)
	}
	m := expect(t, "b's mastership", b.masters)
	if !(m.Token() > first.Token()) {
		t.Errorf("token %s does not outrank %s", m.Token(), first.Token())
	}
	if !m.Seen("done") || m.Seen("open") || m.Seen("unknown") {
		t.Errorf("seen: done %v, open %v, unknown %v; want only the first", m.Seen("done"), m.Seen("open"), m.Seen("unknown"))
	}
	left := m.InFlight()
	if len(left) != 1 || left[0].ID != "open" || left[0].Workflow != "orders" || left[0].Step != "publish" || !left[0].Published("publish") {
		t.Fatalf("in flight: %+v, want the message open, at publish, which was done", left)
	}
	if err := m.Settle("open", mirror.Done); err != nil || !m.Seen("open") {
		t.Errorf("settle: %v; seen %v", err, m.Seen("open"))
	}
}

// Work that returns ends the run; one that fails is called again.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	times := 0
	i := c.start("a", func(context.Context, *Master) error {
		if times++; times == 1 {
			return errors.New("once")
		}
		return nil
	}, "failover.workload.restart.delay=1")
	if err := expect(t, "end", i.ended); err != nil || times != 2 {
		t.Errorf("%v after %d calls, want nil after 2", err, times)
	}
	broken := errors.New("broken")
	i = c.start("b", func(context.Context, *Master) error { return broken }, "failover.workload.restart=no")
	if err := expect(t, "end", i.ended); !errors.Is(err, broken) {
		t.Errorf("%v, want the work's own error", err)
	}
}

// Work that does not return when it must is told of to whom can end the process.
func TestRunAborts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	aborted, let := make(chan string, 1), make(chan struct{})
	cfg := c.config("a", "failover.workload.stop.timeout=50")
	cfg.Abort = func(why string) { aborted <- why; close(let) }
	i := c.run(cfg, func(context.Context, *Master) error { <-let; return nil })
	expect(t, "mastership", i.masters)
	i.stop()
	expect(t, "abort", aborted)
	if err := expect(t, "end", i.ended); err != nil {
		t.Error(err)
	}
}

func TestRunRefuses(t *testing.T) {
	c := newCluster(t)
	if err := Run(t.Context(), c.config("a"), nil); err == nil {
		t.Error("no work is no fault")
	}
	if err := Run(t.Context(), c.config("a", "com.adaptris.profiler.plugin.factory=failover,nonsense"), idle); err == nil {
		t.Error("an unknown plugin is no fault")
	}
	if err := Run(t.Context(), c.config("a", "failover.dealy=1"), idle); err == nil {
		t.Error("an unknown key is no fault")
	}
}
