//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestJoiner has a slave join a master of many entries while puts go on, and
// looks at what an entry costs in memory.
func TestJoiner(t *testing.T) {
	measured(t)
	entries := size(1_000_000, 200_000)
	const rate = 100_000
	during := size(5*time.Second, 2*time.Second)
	c := newCluster(t, config{}, 1)
	empty := [2]answer{c.master.call(request{Op: "gc"}), c.slaves[0].call(request{Op: "gc"})}
	c.fill(asyncName, entries)
	c.caughtUp()
	full := [2]answer{c.master.call(request{Op: "gc"}), c.slaves[0].call(request{Op: "gc"})}
	tab := table{title: "A joiner", head: []string{"what", "seen", "must", "reached"},
		note: fmt.Sprintf("%d entries of 200 bytes, %d puts/s meanwhile.", entries, rate)}
	verdict := func(ok bool, format string, args ...any) string {
		if !ok {
			t.Errorf(format, args...)
			return "MISSED"
		}
		return "must"
	}
	for i, who := range []string{"master", "slave"} {
		grown := full[i].Live - empty[i].Live
		ring := full[i].Ring - empty[i].Ring
		per, bare := float64(grown)/float64(full[i].Entries), float64(grown-ring)/float64(full[i].Entries)
		held := size(per, bare) // beside few entries the ring is most of it
		tab.row("heap per entry, "+who+" (without its ring)", fmt.Sprintf("%.0f bytes (%.0f)", per, bare), "≤ 600",
			verdict(held <= 600, "%s: %.0f bytes of heap per entry, must be 600 at most", who, held))
	}

	paced := request{Op: "paced", Cache: asyncName, Keys: entries, Rate: rate, For: during}
	// In turns, for what is measured varies more from minute to minute than by
	// the joiner: before it comes, while it comes, and when it is one slave more.
	var without, with, after []answer
	var took []time.Duration
	for range size(3, 1) {
		without = append(without, c.master.call(paced))
		puts := c.master.begin(paced)
		time.Sleep(200 * time.Millisecond) // the load is going
		start := time.Now()
		c.cfg.Events = true
		s := c.spawn("joiner")
		c.cfg.Events = false
		if *profile != "" {
			for _, i := range []*instance{c.master, s} {
				i.call(request{Op: "profile", File: filepath.Join(*profile, "joiner-"+i.name+".pprof")})
			}
		}
		c.follow(s)
		// Complete: it holds what the master held when it asked, and the snapshot
		// is over.
		now := c.master.call(request{Op: "status"}).N
		s.call(request{Op: "reach", N: now})
		took = append(took, time.Since(start))
		if *profile != "" {
			for _, i := range []*instance{c.master, s} {
				i.call(request{Op: "profile"})
			}
		}
		with = append(with, c.master.end(puts, "paced"))
		c.equal()
		after = append(after, c.master.call(paced))
		c.equal()
		s.stop()
		c.slaves = c.slaves[:len(c.slaves)-1]
	}
	mid := median(took)
	of := func(all []answer, f func(answer) time.Duration) time.Duration {
		var d []time.Duration
		for _, a := range all {
			d = append(d, f(a))
		}
		return median(d)
	}
	rate1 := func(all []answer) string {
		var r []float64
		for _, a := range all {
			r = append(r, float64(a.N)/a.Took.Seconds())
		}
		return amount(median(r))
	}
	p99 := func(a answer) time.Duration { return a.P99 }
	p999 := func(a answer) time.Duration { return a.P999 }
	tab.row("joiner complete, its start included", mid.Round(time.Millisecond).String(), "< 3 s",
		verdict(mid < 3*time.Second || testing.Short(), "a joiner is complete after %v, must be below 3 s", mid))
	// One slave more is one process more for the same processors, joining or not:
	// what joining costs shows beside the same slaves when none of them joins.
	times := float64(of(with, p99)) / float64(of(after, p99))
	word := fmt.Sprintf("%.1f ×", times)
	ok := times <= 1.5 || testing.Short() // one sample of one short run
	tab.row("put p99 while it joins; afterwards, with as many slaves", fmt.Sprintf("%v; %v: %s", of(with, p99), of(after, p99), word), "≤ 1.5 ×",
		verdict(ok, "put p99 is %s that when nobody joins, must be 1.5 at most", word))
	tab.row("put p99 before, with one slave less", fmt.Sprintf("%v: %.1f ×", of(without, p99), float64(of(with, p99))/float64(of(without, p99))))
	tab.row("put p99.9 before; while; afterwards", fmt.Sprintf("%v; %v; %v", of(without, p999), of(with, p999), of(after, p999)))
	tab.row("puts/s before; while; afterwards", fmt.Sprintf("%s; %s; %s", rate1(without), rate1(with), rate1(after)))
	tab.print(t, "joiner")
}
