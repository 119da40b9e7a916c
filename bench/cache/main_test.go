//go:build linux

// Package main measures the cache: one master and its slaves as processes of
// this test binary on the loopback interface, beside Redis from Debian in the
// same run.
//
// Start with `make bench-cache`, or
//
//	go test -count=1 -v -timeout=60m ./bench/cache -measure
//
// Without -measure only [TestSmoke] runs. With -short all is measured once and
// briefly, as the CI does; then only what a busy machine cannot spoil is a
// failure. -profile DIR keeps CPU profiles of the master and of one slave.
//
// The figures are ratios within one run. They do not tell what another machine
// reaches, nor what a network between the instances costs.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	measure = flag.Bool("measure", false, "measure; without it only the smoke test runs")
	rounds  = flag.Int("rounds", 5, "rounds of ours and Redis in turns; their medians count")
	profile = flag.String("profile", "", "folder for CPU profiles of the master and of one slave")
	results = flag.String("results", "", "folder that keeps each table as markdown")
	noRedis = flag.Bool("no-redis", false, "leave Redis out: no ratios")
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleVerb {
		os.Exit(roleMain())
	}
	flag.Parse()
	for _, dir := range []*string{profile, results} {
		if *dir == "" {
			continue
		}
		// The test runs in its package's folder, and was perhaps called from another.
		if abs, err := filepath.Abs(*dir); err == nil {
			*dir = abs
		}
		if err := os.MkdirAll(*dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// measured skips what is not asked for.
func measured(t *testing.T) {
	t.Helper()
	if !*measure {
		t.Skip("needs -measure")
	}
}

// size is full, or short with -short.
func size[T any](full, short T) T {
	if testing.Short() {
		return short
	}
	return full
}

// TestSmoke has two slaves follow a master through some thousand puts of each
// kind, in the clear and with a key.
func TestSmoke(t *testing.T) {
	for _, tt := range []struct {
		name  string
		keyed bool
	}{{"plain", false}, {"key", true}} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, config{Keyed: tt.keyed}, 2)
			c.fast(asyncName, 5_000, 20_000)
			c.watch()
			if r := c.master.call(request{Op: "paced", Cache: asyncName, Keys: 1_000, Rate: 5_000, For: 300 * time.Millisecond}); r.N < 1_000 {
				t.Errorf("%d paced puts in 300 ms, want about 1,500", r.N)
			}
			c.caughtUp()
			c.unwatch(func(w answer) {
				if w.Gaps != 0 || w.N == 0 {
					t.Errorf("a slave saw %d puts and %d gaps", w.N, w.Gaps)
				}
			})
			if r := c.master.call(request{Op: "sync", Cache: syncName, Keys: 100, Putters: 8, For: 200 * time.Millisecond}); r.N == 0 {
				t.Error("no synchronous put")
			}
			c.equal()
		})
	}
}
