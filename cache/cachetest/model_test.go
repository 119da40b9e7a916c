package cachetest

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

var (
	seed      = flag.Uint64("seed", 1, "first seed")
	schedules = flag.Int("schedules", 60, "random schedules")
	debug     = flag.Bool("debug", false, "with the caches' own logs")
	lines     = flag.Int("lines", 60, "lines of the log to print of a schedule that failed; 0: all")
)

// TestModel runs random schedules. What must be true is checked by [Lab.Check]
// and [Lab.Final].
func TestModel(t *testing.T) {
	var mu sync.Mutex
	total := map[string]int{}
	t.Run("seed", func(t *testing.T) {
		for n := range uint64(*schedules) {
			t.Run(fmt.Sprint(*seed+n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					l := Schedule(*seed+n, *debug)
					report(t, l)
					mu.Lock()
					defer mu.Unlock()
					for what, n := range l.Count {
						total[what] += n
					}
				})
			})
		}
	})
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%8d %s", total[what], what)
	}
	if *schedules < 60 {
		return
	}
	// A search that never gets anywhere proves nothing.
	for _, what := range []string{"promotions", "deposed", "forks", "hand-overs", "epochs raised", "orphans expected", "synchronous puts", "cache.snapshot"} {
		if total[what] == 0 {
			t.Errorf("no schedule had any %s", what)
		}
	}
	if total["copies not checked"] > total["copies checked"]/50 {
		t.Errorf("%d of %d copies could not be checked", total["copies not checked"], total["copies checked"])
	}
}

func report(t *testing.T, l *Lab) {
	t.Helper()
	faults := l.Faults()
	if len(faults) == 0 {
		return
	}
	log := l.Log
	if *lines > 0 && len(log) > *lines {
		log = log[len(log)-*lines:]
	}
	t.Errorf("%s\nreplay: go test ./cache/cachetest -run 'TestModel' -schedules 1 -seed %d -lines 0\n%s", faults[0], l.cfg.Seed, strings.Join(log, "\n"))
}
