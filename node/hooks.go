package node

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/log"
	"github.com/interlok-ha/interlok-ha/profiler/metrics"
)

// openProfiler makes the hooks and the plugins that the settings name.
func (n *Node) openProfiler() (err error) {
	n.mirror, err = mirror.New(mirror.Config{
		Cache: n.cache, Guard: n.guard, Interrupted: n.ending.before, Log: n.o.Log,
	})
	if err != nil {
		return err
	}
	n.metrics = metrics.New()
	given := map[string]profiler.Plugin{
		"failover": n.mirror, "metrics": n.metrics, "log": log.New(n.o.Log),
	}
	maps.Copy(given, n.o.Plugins)
	tell := func(text string) { n.o.Log.Warn().Msg(text) }
	plugins, err := profiler.Open(strings.Join(n.s.Profiler.Plugins, ","), profiler.PluginConfig{Log: tell, Given: given})
	if err != nil {
		return fmt.Errorf("com.adaptris.profiler.plugin.factory: %w", err)
	}
	overflow := profiler.Drop
	if n.s.Profiler.Overflow == config.OverflowBlock {
		overflow = profiler.Block
	}
	n.profiler, err = profiler.New(profiler.Config{Plugins: plugins, Overflow: overflow, Payload: n.s.Profiler.Payload, Log: tell})
	n.steps = newSteps(stepsConfig{
		Profiler: n.profiler, Block: overflow == profiler.Block, MaxOpen: n.s.Cache.MaxInFlight,
		Master: func() bool { return n.manager.Guard().Open() }, Status: n.Status,
		Token: func() string { return n.token(n.reign.Load()) },
	})
	return err
}

// ending is since when work is being ended.
type ending struct{ since atomic.Pointer[time.Time] }

// begin notes that work is being ended from now on. Of several the first counts:
// what failed after it may have failed because of it.
func (e *ending) begin() {
	now := time.Now()
	e.since.CompareAndSwap(nil, &now)
}

// over is for new work, once all that the old one's hooks told was flushed.
func (e *ending) over() { e.since.Store(nil) }

// before reports whether that time is later.
func (e *ending) before(at time.Time) bool {
	since := e.since.Load()
	return since != nil && !at.Before(*since)
}

// guard is the permission to work.
func (n *Node) guard() (open bool, until time.Duration) {
	g := n.manager.Guard()
	return g.Open(), g.Until()
}

// flushTime is how long the last events of stopped work may take to the cache.
const flushTime = 100 * time.Millisecond

// workStopped says that nothing of the work runs any more, once what its hooks
// told is in the cache: the log is sealed after it. It does not block.
func (n *Node) workStopped() {
	if n.profiler == nil {
		n.manager.WorkStopped()
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		forgotten := make(chan struct{})
		go func() { // with overflow=block it may wait for a slow plugin
			defer close(forgotten)
			n.steps.forget()
		}()
		select {
		case <-forgotten:
		case <-ctx.Done():
		}
		n.flushHooks(ctx)
		n.manager.WorkStopped()
	}()
}

// flushHooks waits until what the hooks told is in the cache.
func (n *Node) flushHooks(ctx context.Context) {
	if err := n.profiler.Flush(ctx); err != nil {
		n.o.Log.Warn().Err(err).Msg("The last events of the work may not be in the cache")
	}
}
