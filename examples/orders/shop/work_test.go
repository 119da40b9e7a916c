package shop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// fakeMaster is a mastership without a cluster.
type fakeMaster struct {
	left    []mirror.Message
	seen    map[string]bool
	p       *profiler.Profiler
	mu      sync.Mutex
	settled []string
}

func (m *fakeMaster) Token() string                { return token9 }
func (m *fakeMaster) InFlight() []mirror.Message   { return m.left }
func (m *fakeMaster) Seen(id string) bool          { return m.seen[id] }
func (m *fakeMaster) Profiler() *profiler.Profiler { return m.p }
func (m *fakeMaster) Settle(id string, s mirror.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled = append(m.settled, fmt.Sprint(id, " ", s))
	return nil
}

// fence refuses for a while, or for ever.
type fence struct {
	mu      sync.Mutex
	refuses int // how often
	err     error
}

func (*fence) Observe([]profiler.Event) {}

func (f *fence) Fence(ctx context.Context, _ string, _ profiler.Event) (context.Context, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses > 0 {
		f.refuses--
		return ctx, fmt.Errorf("the fence: %w", f.err)
	}
	return ctx, nil
}

func hooks(t *testing.T, f *fence) *profiler.Profiler {
	t.Helper()
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{f}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func message(n int, payload bool, step string, steps ...mirror.Step) mirror.Message {
	o := newOrder(n)
	m := mirror.Message{ID: o.ID(), State: mirror.InFlight, Step: step, Steps: steps}
	if payload {
		m.Payload = o.payload()
	}
	return m
}

// Each message that was left gets what it asks for, once, and so does each that
// the source hands out again.
func TestWorkInherits(t *testing.T) {
	publish := func(p profiler.Phase) mirror.Step {
		return mirror.Step{Name: Publish, Kind: profiler.Producer, Phase: p}
	}
	source, sink := NewSource(), NewSink(ticks())
	for range 8 {
		source.Make()
	}
	for n := 1; n <= 7; n++ { // the old master took them; 7 it told nobody of
		if got := take(t, source, token1); got != n {
			t.Fatalf("took %d, want %d", got, n)
		}
	}
	for _, id := range []string{"2", "3", "4", "6"} {
		sink.Write(Write{ID: id, Token: token1})
	}
	m := &fakeMaster{p: hooks(t, &fence{refuses: 3, err: cache.ErrNoReplica}), seen: map[string]bool{"6": true}, left: []mirror.Message{
		message(1, true, "price"),
		message(2, true, Publish, publish(profiler.Started)),
		message(3, true, Publish, publish(profiler.Completed)),
		message(4, false, Publish, publish(profiler.Started)), // its bytes were not kept
		message(5, true, Publish, publish(profiler.Failed)),
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var got []string
	enough := func(s ...string) {
		mu.Lock()
		defer mu.Unlock()
		if got = append(got, s...); len(got) == 6 && sink.UpTo() == 8 {
			cancel()
		}
	}
	w := Work{Master: m, Instance: "b", Market: stand(t, Services{Source: source, Sink: sink, Wrote: func() { enough() }}), Settled: func(s Settlement) {
		enough(fmt.Sprintf("%s %s %s", s.ID, s.Did, s.Answer))
	}}
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{
		"1 done from the start taken", "2 published again repeat", "3 only closed ", "4 published again repeat",
		"5 done from the start taken", "6 only acknowledged ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if !slices.Equal(m.settled, []string{"3 done"}) {
		t.Errorf("written down as ended: %q", m.settled)
	}
	times := map[string]int{}
	for _, e := range sink.Books() {
		times[e.ID]++
	}
	for id, n := range map[string]int{"1": 1, "2": 2, "3": 1, "4": 2, "5": 1, "6": 1, "7": 1, "8": 1} {
		if times[id] != n {
			t.Errorf("invoice %s came %d times, want %d", id, times[id], n)
		}
	}
}

// Who is no master any more publishes nothing, and that is no failure.
func TestWorkDeposed(t *testing.T) {
	source, sink := NewSource(), NewSink(ticks())
	source.Make()
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &fence{refuses: 1 << 30, err: cache.ErrNotMaster}
	w := Work{Master: &fakeMaster{p: hooks(t, f)}, Market: stand(t, Services{Source: source, Sink: sink}), Found: func([]mirror.Message) {
		cancel(cache.ErrNotMaster)
	}}
	if err := w.Run(ctx); err != nil {
		t.Errorf("got %v", err)
	}
	if n := len(sink.Books()); n > 0 {
		t.Errorf("%d writes came", n)
	}
}

// A fence that fails for another reason ends the work.
func TestWorkFails(t *testing.T) {
	source, sink := NewSource(), NewSink(ticks())
	source.Make()
	cause := errors.New("the cause")
	w := Work{Master: &fakeMaster{p: hooks(t, &fence{refuses: 1, err: cause})}, Market: stand(t, Services{Source: source, Sink: sink})}
	if err := w.Run(t.Context()); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	if open := source.Open(); len(open) != 1 || len(sink.Books()) > 0 {
		t.Errorf("open %v, written %v", open, sink.Books())
	}
}
