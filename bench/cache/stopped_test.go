//go:build linux

package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestStopped stops one slave with SIGSTOP under load. The master must not hold
// more for it than the ring, the other slave must not notice, and the woken one
// must be complete again by itself.
func TestStopped(t *testing.T) {
	measured(t)
	const rate, ring = 50_000, 64 << 20
	during := size(time.Minute, 10*time.Second)
	c := newCluster(t, config{Ring: ring}, 2)
	c.fill(asyncName, 100_000)
	c.caughtUp()
	stopped, other := c.slaves[0], c.slaves[1]
	paced := request{Op: "paced", Cache: asyncName, Keys: 100_000, Rate: rate}

	// What the other slave gets with both awake.
	paced.For = 3 * time.Second
	perSecond := func(puts <-chan answer, whole time.Duration, see func()) float64 {
		// The middle of the load: its ends are no part of the rate.
		time.Sleep(whole / 10)
		from, start := other.call(request{Op: "status"}).N, time.Now()
		for time.Since(start) < whole*8/10 {
			see()
			time.Sleep(100 * time.Millisecond)
		}
		to, took := other.call(request{Op: "status"}).N, time.Since(start)
		c.master.end(puts, "paced")
		return float64(to-from) / took.Seconds()
	}
	before := perSecond(c.master.begin(paced), paced.For, func() {})
	base := c.master.call(request{Op: "gc"})
	baseRSS := c.master.rss()

	paced.For = during
	puts := c.master.begin(paced)
	if err := stopped.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var live, rss int64
	during1 := perSecond(puts, during, func() {
		s := c.master.call(request{Op: "status"})
		live, rss = max(live, s.Live), max(rss, c.master.rss())
	})
	// Once more with nothing but what is held.
	live = max(live, c.master.call(request{Op: "gc"}).Live)
	if err := stopped.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	woken := time.Now()
	c.caughtUp()
	back := time.Since(woken)
	c.equal()
	after := c.master.call(request{Op: "status"})

	const room = 16 << 20 // segments being filled, buffers, what a collection has not found yet
	bound := base.Live - base.Ring + ring + room
	mib := func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	tab := table{title: "A stopped slave", head: []string{"what", "seen", "must", "reached"},
		note: fmt.Sprintf("One of two slaves gets SIGSTOP for %v under %d puts/s; the ring is 64 MiB.", during, rate)}
	word := func(ok bool, format string, args ...any) string {
		if !ok {
			t.Errorf(format, args...)
			return "MISSED"
		}
		return "must"
	}
	tab.row("live heap of the master, greatest; before", mib(live)+"; "+mib(base.Live), "≤ "+mib(bound),
		word(live <= bound, "the master's live heap grew to %s, must be %s at most", mib(live), mib(bound)))
	tab.row("ring before", mib(base.Ring))
	tab.row("resident memory of the master, greatest; before", mib(rss)+"; "+mib(baseRSS))
	ratio := during1 / before
	tab.row("the other slave's rate, and before", amount(during1)+"/s; "+amount(before)+"/s", "within 10 %",
		word(ratio > 0.9 && ratio < 1.1 || testing.Short() && ratio > 0.5, "the other slave's rate is %.2f of that before, must be within 10 %%", ratio))
	tab.row("times a slave fell off the ring; snapshots", fmt.Sprintf("%d; %d", after.Cuts-base.Cuts, after.Snapshots-base.Snapshots))
	tab.row("the woken one complete again after", back.Round(time.Millisecond).String(), "by itself", "must")
	tab.print(t, "stopped")
}
