package profiler_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// sleeper is a plugin that sleeps until it is woken.
type sleeper struct {
	tape
	once   sync.Once
	asleep chan struct{}
}

func newSleeper() *sleeper { return &sleeper{asleep: make(chan struct{})} }

func (s *sleeper) wake() { s.once.Do(func() { close(s.asleep) }) }

func (s *sleeper) Observe(batch []profiler.Event) {
	<-s.asleep
	s.tape.Observe(batch)
}

// anywhere is a Buffer that is as long on every machine; a shorter one is made
// longer where there are many processors. A plugin's queue is four times as
// long, and twice that for ends.
const anywhere = 1024

// A plugin that sleeps for ever keeps nobody from anything: with Drop nobody
// waits, with Block one waits once, until the plugin is found stuck.
func TestPluginSleeps(t *testing.T) {
	const n = 10 * anywhere
	for _, test := range []struct {
		name     string
		overflow profiler.Overflow
		most     time.Duration // that all the workflows waited
	}{
		{"drop", profiler.Drop, 0},
		{"block", profiler.Block, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sl, tp := newSleeper(), new(tape)
				var logged []string
				p, err := profiler.New(profiler.Config{
					Plugins: []profiler.Plugin{sl, tp}, Overflow: test.overflow, Buffer: anywhere,
					Log: func(text string) { logged = append(logged, text) },
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- p.Run(ctx) }()
				synctest.Wait()

				flow := p.Workflow("orders")
				begin := time.Now()
				var waited time.Duration
				for i := range n {
					before := time.Now()
					_ = flow.Do(t.Context(), fmt.Sprint("m", i), work(nil))
					waited += time.Since(before)
					time.Sleep(500 * time.Microsecond)
				}
				if waited > test.most {
					t.Errorf("the workflows waited %v in all, want at most %v", waited, test.most)
				}
				flush(t, p) // does not wait for the sleeper
				ends := 0
				for _, e := range tp.events {
					if e.Phase == profiler.Completed {
						ends++
					}
				}
				if ends != n {
					t.Errorf("the other plugin heard %d ends, want %d", ends, n)
				}
				if s := p.Stats(); s.Stuck != 1 || s.Dropped < anywhere || s.Dropped >= n {
					t.Errorf("%d times stuck, %d dropped", s.Stuck, s.Dropped)
				}
				cancel()
				if err := <-done; err == nil || !strings.Contains(err.Error(), "*profiler_test.sleeper is stuck") {
					t.Errorf("Run: %v", err)
				}
				if len(logged) != 1 || !strings.Contains(logged[0], "sleeper is stuck") {
					t.Errorf("logged %q", logged)
				}
				if got := time.Since(begin); got > 10*time.Second {
					t.Errorf("it took %v", got)
				}
				sl.wake() // the goroutine left behind ends now
				synctest.Wait()
			})
		})
	}
}

// loser is a sleeper that hears what it lost.
type loser struct {
	*sleeper
	lost uint64
}

func (l *loser) Lost(n uint64) { l.lost += n }

// A plugin that wakes up hears how much it lost. Of what did not fit, the ends
// of workflows are kept.
func TestPluginWakes(t *testing.T) {
	const n = 4 * anywhere // with a step in each: more than fits, and no more ends than are kept
	synctest.Test(t, func(t *testing.T) {
		l := &loser{sleeper: newSleeper()}
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{l}, Buffer: anywhere})
		synctest.Wait()
		flow, check := p.Workflow("orders"), p.Service("check")
		for i := range n {
			_ = flow.Do(t.Context(), fmt.Sprint("m", i), func(ctx context.Context) error {
				return check.Do(ctx, "", work(nil))
			})
			time.Sleep(3 * time.Millisecond)
		}
		l.wake()
		synctest.Wait() // no longer stuck
		flush(t, p)
		ends := 0
		for _, e := range l.events {
			if e.Step == flow && e.Phase == profiler.Completed {
				ends++
			}
		}
		if ends != n {
			t.Errorf("heard %d ends of %d messages", ends, n)
		}
		if got, s := uint64(len(l.events))+l.lost, p.Stats(); got != s.Events || l.lost < anywhere || l.lost != s.Dropped {
			t.Errorf("heard %d events, lost %d; %+v", len(l.events), l.lost, s)
		}
	})
}

// breaker is a plugin that does something bad each time.
type breaker struct{ how func() }

func (b breaker) Observe([]profiler.Event) { b.how() }

func TestPluginBreaks(t *testing.T) {
	for _, test := range []struct {
		name string
		how  func()
	}{
		{"panics", func() { panic("bad plugin") }},
		{"exits", runtime.Goexit},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tp := new(tape)
				logged := 0
				p := start(t, profiler.Config{
					Plugins: []profiler.Plugin{breaker{test.how}, tp},
					Log:     func(string) { logged++; panic("bad logger") },
				})
				synctest.Wait()
				flow := p.Workflow("orders")
				for i := range 3 {
					if err := flow.Do(t.Context(), fmt.Sprint("m", i), work(nil)); err != nil {
						t.Error(err)
					}
					flush(t, p)
				}
				if got := len(tp.events); got != 3 {
					t.Errorf("the other plugin heard %d events, want 3", got)
				}
				if got := p.Stats().Panics; got != 3 || logged != 3 {
					t.Errorf("%d panics, %d logged; want 3", got, logged)
				}
			})
		})
	}
}

// A plugin that uses hooks itself, and a plugin that spoils its batch.
func TestPluginMeddles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		var p *profiler.Profiler
		meddle := observer(func(batch []profiler.Event) {
			clear(batch)
			if p.Stats().Events < 100 {
				for range 10 {
					_ = p.Service("meddle").Do(t.Context(), "", work(nil))
				}
			}
		})
		p = start(t, profiler.Config{Plugins: []profiler.Plugin{meddle, tp}, Buffer: 16, Overflow: profiler.Block})
		synctest.Wait()
		_ = p.Workflow("orders").Do(t.Context(), "m1", work(nil))
		time.Sleep(time.Minute)
		flush(t, p)
		if got := perMessage(tp.lines())["m1"]; len(got) != 1 {
			t.Errorf("heard %q", got)
		}
		if got := p.Stats().Events; got < 100 {
			t.Errorf("%d events", got)
		}
	})
}

type observer func([]profiler.Event)

func (o observer) Observe(batch []profiler.Event) { o(batch) }

// With Drop and nobody to take the events, new messages are not told, and what
// was told to have started is told to have ended.
func TestDrop(t *testing.T) {
	tp := new(tape)
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{tp}, Buffer: 1})
	if err != nil {
		t.Fatal(err)
	}
	flow, check := p.Workflow("orders"), p.Service("check")
	var ends []func()
	for i := range 1000 {
		ctx, span := flow.Begin(t.Context(), fmt.Sprint("m", i))
		_, step := check.Begin(ctx, "")
		ends = append(ends, func() { step.End(nil); span.End(nil) })
	}
	for _, end := range ends {
		end()
	}
	stats := p.Stats()
	if stats.Open != 0 {
		t.Errorf("%d in flight", stats.Open)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	started, ended := map[string]bool{}, map[string]bool{}
	for _, e := range tp.events {
		key := fmt.Sprint(e.ID, e.Order)
		if e.Phase == profiler.Started {
			started[key] = true
		} else {
			ended[key] = true
		}
	}
	for key := range started {
		if !ended[key] {
			t.Errorf("%s started and did not end", key)
		}
	}
	if len(started) == 0 || stats.Dropped == 0 || stats.Untold == 0 || uint64(len(tp.events)) != stats.Events {
		t.Errorf("%d started, heard %d; %+v", len(started), len(tp.events), stats)
	}
}

// A message whose start is not told stays untold when there is room again.
func TestUntold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{tp}, Buffer: 1})
		if err != nil {
			t.Fatal(err)
		}
		check := p.Service("check")
		for range 100 { // all in m1's shard
			_ = check.Do(t.Context(), "m1", work(nil))
		}
		ctx, span := p.Workflow("orders").Begin(t.Context(), "m1")
		running, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(running) }()
		flush(t, p)
		before := p.Stats()
		_ = check.Do(ctx, "", work(nil))
		span.End(nil)
		flush(t, p)
		if s := p.Stats(); s.Untold != 1 || s.Open != 0 || s.Dropped != before.Dropped+3 || s.Events != before.Events {
			t.Errorf("%+v, before %+v", s, before)
		}
		_ = p.Workflow("orders").Do(t.Context(), "m1", work(nil)) // the next attempt is told
		flush(t, p)
		if got := tp.lines(); got[len(got)-1] != "m1 1/0 1 orders completed" {
			t.Errorf("heard %q last", got[len(got)-1])
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Who flushes is let go when the plugin is found stuck, and when Run ends; a
// plugin that woke up can be found stuck again.
func TestFlushOfStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{})
		p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{observer(func([]profiler.Event) { <-wake })}})
		if err != nil {
			t.Fatal(err)
		}
		running, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- p.Run(running) }()
		synctest.Wait()
		check := p.Service("check")
		for times := uint64(1); times <= 2; times++ {
			_ = check.Do(t.Context(), "m1", work(nil))
			flushed := make(chan error, 1)
			go func() { flushed <- p.Flush(context.Background()) }()
			time.Sleep(2 * time.Second)
			select {
			case err := <-flushed:
				t.Fatalf("Flush did not wait: %v", err)
			default:
			}
			_ = check.Do(t.Context(), "m1", work(nil)) // it is noticed with the next events
			time.Sleep(time.Second)
			if err := <-flushed; err != nil {
				t.Errorf("Flush: %v", err)
			}
			if got := p.Stats().Stuck; got != times {
				t.Errorf("stuck %d times, want %d", got, times)
			}
			wake <- struct{}{} // the first batch
			wake <- struct{}{} // the second
			synctest.Wait()
		}
		_ = check.Do(t.Context(), "m1", work(nil))
		flushed := make(chan error, 1)
		go func() { flushed <- p.Flush(context.Background()) }()
		synctest.Wait()
		cancel()
		if err := <-flushed; !errors.Is(err, profiler.ErrNotRunning) {
			t.Errorf("Flush: %v, want ErrNotRunning", err)
		}
		close(wake)
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// Many goroutines, a small buffer and Block: all is heard, and in order.
func TestBlockHearsAll(t *testing.T) {
	tp := new(tape)
	p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}, Buffer: 1, Overflow: profiler.Block})
	flush(t, p)
	flow, check, out := p.Workflow("orders"), p.Service("check"), p.Producer("out")
	const workers, each = 8, 200
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				_ = flow.Do(context.Background(), fmt.Sprintf("m%d-%d", w, i), func(ctx context.Context) error {
					for range 3 {
						_ = check.Do(ctx, "", work(nil))
					}
					return out.Do(ctx, "", work(errors.New("no")))
				})
			}
		})
	}
	wg.Wait()
	flush(t, p)
	if s := p.Stats(); s.Dropped+s.Late+s.Untold != 0 || s.Events != uint64(len(tp.events)) {
		t.Errorf("heard %d; %+v", len(tp.events), s)
	}
	ended := 0
	last := map[string]uint32{}
	for _, e := range tp.events {
		order := e.Order
		if order == 1 && e.Phase != profiler.Started {
			order, ended = 6, ended+1
		}
		if order < last[e.ID] {
			t.Fatalf("%s: %d after %d", e.ID, order, last[e.ID])
		}
		last[e.ID] = order
	}
	if ended != workers*each || len(last) != workers*each {
		t.Errorf("heard of %d messages and %d ends, want %d", len(last), ended, workers*each)
	}
}

// Events wait for no longer than Flush, and an idle profiler does nothing.
func TestFlushInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := new(tape)
		p := start(t, profiler.Config{Plugins: []profiler.Plugin{tp}, Flush: 5 * time.Millisecond})
		synctest.Wait()
		_, span := p.Workflow("orders").Begin(t.Context(), "m1")
		time.Sleep(4 * time.Millisecond)
		synctest.Wait()
		wantLines(t, tp)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantLines(t, tp, "m1 1/0 1 orders started")
		span.End(nil)
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		wantLines(t, tp, "m1 1/0 1 orders started", "m1 1/0 1 orders completed")
		e := tp.events[1]
		if e.Took != 5*time.Millisecond || e.At != e.Took || !e.Time().Equal(p.Base().Add(e.At)) {
			t.Errorf("took %v until %v", e.Took, e.At)
		}
	})
}
