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
	without := c.master.call(paced)
	var with []answer
	var took []time.Duration
	for range size(3, 1) {
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
		s.stop()
		c.slaves = c.slaves[:len(c.slaves)-1]
	}
	mid := median(took)
	var p99 []time.Duration
	var rates []float64
	for _, a := range with {
		p99 = append(p99, a.P99)
		rates = append(rates, float64(a.N)/a.Took.Seconds())
	}
	tab.row("joiner complete, its start included", mid.Round(time.Millisecond).String(), "< 3 s",
		verdict(mid < 3*time.Second || testing.Short(), "a joiner is complete after %v, must be below 3 s", mid))
	times := float64(median(p99)) / float64(without.P99)
	word := fmt.Sprintf("%.1f ×", times)
	ok := times <= 1.5 || testing.Short() // one sample of one short run
	tab.row("put p99 meanwhile; without", fmt.Sprintf("%v; %v: %s", median(p99), without.P99, word), "≤ 1.5 ×",
		verdict(ok, "put p99 is %s that without a joiner, must be 1.5 at most", word))
	tab.row("put p99.9 meanwhile; without", fmt.Sprintf("%v; %v", with[0].P999, without.P999))
	tab.row("puts/s meanwhile; without", fmt.Sprintf("%s; %s", amount(median(rates)), amount(float64(without.N)/without.Took.Seconds())))
	tab.print(t, "joiner")
}
