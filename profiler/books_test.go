package profiler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

type deaf struct{}

func (deaf) Observe([]Event) {}

// What has been heard is let go of, and failures are not remembered for ever.
func TestNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Plugins: []Plugin{deaf{}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		flow := p.Workflow("orders")
		const n = 20_000
		for i := range n {
			_ = flow.Do(ctx, fmt.Sprint("m", i), func(context.Context) error { return errors.New("no") })
			if i%100 == 0 {
				if err := p.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if heard := p.Stats().Events; heard != n {
			t.Errorf("%d events, want %d", heard, n)
		}
		zero := func(name string, events []Event) {
			for _, e := range events[:cap(events)] {
				if e != (Event{}) {
					t.Fatalf("%s still has %v", name, e)
				}
			}
		}
		for i := range p.shards {
			sh := &p.shards[i]
			if len(sh.failed) == 0 || len(sh.failed) > maxFailed || len(sh.open) != 0 {
				t.Errorf("a shard remembers %d failures and %d messages", len(sh.failed), len(sh.open))
			}
			zero("a shard", sh.buf)
			zero("a shard's spare", sh.spare)
		}
		for _, h := range p.hearers {
			zero("a queue", h.queue)
			zero("a queue's spare", h.spare)
		}
	})
}

// The number of attempts ends somewhere, and does not begin anew.
func TestManyAttempts(t *testing.T) {
	if got := more(1<<16 - 2); got != 1<<16-1 {
		t.Errorf("%d", got)
	}
	if got := more(1<<16 - 1); got != 1<<16-1 {
		t.Errorf("%d", got)
	}
}
