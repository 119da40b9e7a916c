package cachetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
)

// lab runs a story on instances a, b, c …, of which a is the master.
func lab(t *testing.T, instances int, cfg LabConfig, story func(l *Lab, at []*Instance)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if len(cfg.Caches) == 0 {
			cfg.Caches = []cache.Spec{{Name: "sync", Eternal: true, Synchronous: true}, {Name: "async", Eternal: true}}
		}
		cfg.Debug = *debug
		l := NewLab(cfg)
		var at []*Instance
		for n := range instances {
			at = append(at, l.Start(string(rune('a'+n))))
		}
		l.Elect(at[0])
		time.Sleep(time.Second)
		story(l, at)
		l.Check()
		l.Close()
		report(t, l)
	})
}

// load runs clients that put into both caches until the returned function is
// called.
func load(l *Lab, clients int, pause time.Duration) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for n := range clients {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		wg.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Duration(1 + rng.Int64N(int64(pause))))
				for _, i := range l.Writers() {
					_, _ = i.Put(ctx, []string{"sync", "async"}[rng.IntN(2)], fmt.Sprint("k", rng.IntN(100)), 50, false)
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// TestQuiet: under load and without faults nobody falls out of step.
func TestQuiet(t *testing.T) {
	for _, pause := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(fmt.Sprint(pause), func(t *testing.T) {
			lab(t, 3, LabConfig{Seed: 1}, func(l *Lab, at []*Instance) {
				l.Fabric.SetLink(Link{Delay: 800 * time.Microsecond, Jitter: 100 * time.Microsecond})
				stop := load(l, 5, pause)
				time.Sleep(20 * time.Second)
				stop()
				if n := at[0].events[cache.EventOutOfStep]; n > 0 {
					l.Fail("slaves fell out of step %d times", n)
				}
			})
		})
	}
}
