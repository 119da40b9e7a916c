// Package profilertest is what tests of adapters share: a plugin that keeps what
// it hears, and a profiler that runs as long as the test. Only tests import it.
package profilertest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// ErrShut is for Ear.Shut.
var ErrShut = errors.New("not master")

// Ear is a plugin that keeps what it hears, and a fence that can be shut. Its
// fields may be set before it hears anything, and read once [Heard] or [Ends] has
// returned.
type Ear struct {
	Payloads []string
	Shut     error    // the fence's answer
	Fenced   []string // ids

	mu     sync.Mutex // guards what is above and below
	events []string
}

// Observe keeps a batch.
func (e *Ear) Observe(batch []profiler.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range batch {
		line := ev.ID + " " + ev.Step.Name() + " " + ev.Phase.String()
		if ev.Phase == profiler.Failed {
			line += ": " + ev.Detail.Err
		}
		if ev.Detail != nil && ev.Detail.Payload != nil {
			e.Payloads = append(e.Payloads, string(ev.Detail.Payload))
		}
		e.events = append(e.events, line)
	}
}

// Answer is what the fence says from now on; nil: it agrees.
func (e *Ear) Answer(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Shut = err
}

// Fence agrees, unless it is shut, with a context of its own, as a guard's is.
func (e *Ear) Fence(ctx context.Context, id string, _ profiler.Event) (context.Context, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Shut != nil {
		return nil, e.Shut
	}
	e.Fenced = append(e.Fenced, id)
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	context.AfterFunc(ctx, cancel)
	return ctx, nil
}

// Listen makes a profiler that runs until the test ends.
func Listen(t testing.TB, e *Ear) *profiler.Profiler {
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

// Heard flushes until no message is open, and returns the ends of steps.
func Heard(t testing.TB, p *profiler.Profiler, e *Ear) []string {
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
	return Ends(t, p, e)
}

// Ends flushes and returns the ends of steps, in their order.
func Ends(t testing.TB, p *profiler.Profiler, e *Ear) []string {
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

// Equal fails the test unless got is want.
func Equal(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("heard\n\t%q, want\n\t%q", got, want)
	}
}
