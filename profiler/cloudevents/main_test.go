package cloudevents

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errShut = errors.New("not master")

// ear is a plugin that keeps what it hears, and a fence that can be shut.
type ear struct {
	mu       sync.Mutex
	events   []string
	payloads []string
	shut     error
	fenced   []string
}

func (e *ear) Observe(batch []profiler.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range batch {
		line := ev.ID + " " + ev.Step.Name() + " " + ev.Phase.String()
		if ev.Phase == profiler.Failed {
			line += ": " + ev.Detail.Err
		}
		if ev.Detail != nil && ev.Detail.Payload != nil {
			e.payloads = append(e.payloads, string(ev.Detail.Payload))
		}
		e.events = append(e.events, line)
	}
}

func (e *ear) Fence(ctx context.Context, id string, _ profiler.Event) (context.Context, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shut != nil {
		return nil, e.shut
	}
	e.fenced = append(e.fenced, id)
	return ctx, nil
}

// listen makes a profiler that runs until the test ends.
func listen(t *testing.T, e *ear) *profiler.Profiler {
	t.Helper()
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{e}, Payload: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

// heard flushes until no message is open, and returns the ends of steps.
func heard(t *testing.T, p *profiler.Profiler, e *ear) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.Stats().Open > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still open: %+v", p.Stats())
		}
	}
	return ends(t, p, e)
}

func ends(t *testing.T, p *profiler.Profiler, e *ear) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := p.Flush(ctx)
	for errors.Is(err, profiler.ErrNotRunning) && ctx.Err() == nil { // not yet
		runtime.Gosched()
		err = p.Flush(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.events), func(s string) bool { return strings.HasSuffix(s, " started") })
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("heard\n\t%q, want\n\t%q", got, want)
	}
}
