package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
)

// The context of work ends with the guard, whether or not the election's
// goroutine says so; work that goes on all the same is told of.
func TestLibraryWatch(t *testing.T) {
	for _, tt := range []struct {
		name    string
		guard   time.Duration          // from now
		signal  func(r *reign)         // what the election says
		returns bool                   // at the end of its context
		cause   error                  // of that end
		expired bool                   // nobody had said so
		abort   bool                   // the process has to end
		set     func(*config.Settings) // may be nil
	}{
		{"the guard runs out", 20 * time.Millisecond, nil, true, cache.ErrNotMaster, true, false, nil},
		{"the guard ran out before", -time.Second, nil, true, cache.ErrNotMaster, true, false, nil},
		{"the guard runs out and the work goes on", 20 * time.Millisecond, nil, false, cache.ErrNotMaster, true, true, nil},
		{"lost", time.Hour, func(r *reign) { shut(r.lost) }, true, cache.ErrNotMaster, false, false, nil},
		{"lost and the work goes on", time.Hour, func(r *reign) { shut(r.lost) }, false, cache.ErrNotMaster, false, true, nil},
		{"planned", time.Hour, func(r *reign) { shut(r.stop) }, true, errHandedOver, false, false, nil},
		{"planned and the work goes on", time.Hour, func(r *reign) { shut(r.stop) }, false, errHandedOver, false, true,
			func(s *config.Settings) { s.Workload.StopTimeout = 20 * time.Millisecond }},
		{"planned, and lost meanwhile", time.Hour, func(r *reign) { shut(r.stop); shut(r.lost) }, false, nil, false, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := config.Load(config.Source{Hostname: "test", Environ: []string{"HOME=/"}, Sets: []string{"failover.workload.fence.timeout=20"}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.set != nil {
				tt.set(s)
			}
			aborted := make(chan string, 1)
			ctx, cancel := context.WithCancelCause(t.Context())
			r := &reign{cancel: cancel, stop: make(chan struct{}), lost: make(chan struct{}), done: make(chan struct{})}
			n := &Node{s: s, o: Options{Abort: func(why string) { aborted <- why; close(r.done) }}}
			w := &library{inbox: newInbox(), n: n}
			w.Guard(election.Guard{Epoch: 1, Until: now() + tt.guard})
			if tt.returns {
				go func() { <-ctx.Done(); close(r.done) }()
			}
			if tt.signal != nil {
				tt.signal(r)
			}
			w.watch(r)
			if cause := context.Cause(ctx); tt.cause != nil && !errors.Is(cause, tt.cause) {
				t.Errorf("the context ended with %v, want %v", cause, tt.cause)
			}
			if r.expired != tt.expired || (len(aborted) > 0) != tt.abort {
				t.Errorf("expired %v, aborted %v; want %v, %v", r.expired, len(aborted) > 0, tt.expired, tt.abort)
			}
		})
	}
}

// A guard that is renewed keeps the work going.
func TestLibraryRenewed(t *testing.T) {
	s, err := config.Load(config.Source{Hostname: "test", Environ: []string{"HOME=/"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	r := &reign{cancel: cancel, stop: make(chan struct{}), lost: make(chan struct{}), done: make(chan struct{})}
	w := &library{inbox: newInbox(), n: &Node{s: s}}
	first := now() + 20*time.Millisecond
	w.Guard(election.Guard{Epoch: 1, Until: first})
	watched := make(chan struct{})
	go func() { defer close(watched); w.watch(r) }()
	w.Guard(election.Guard{Epoch: 1, Until: first + time.Hour})
	timer := time.NewTimer(first - now() + 20*time.Millisecond) // past the first deadline
	defer timer.Stop()
	select {
	case <-ctx.Done():
		t.Errorf("ended: %v", context.Cause(ctx))
	case <-timer.C:
	}
	close(r.done)
	<-watched
}
