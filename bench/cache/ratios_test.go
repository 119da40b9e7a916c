//go:build linux

package main

import (
	"fmt"
	"testing"
	"time"
)

// TestRatios measures replication in rounds, ours and Redis in turns, and holds
// the medians against the bar.
func TestRatios(t *testing.T) {
	measured(t)
	n := size(*rounds, 3)
	// As many entries as a cache has by default.
	plain := newCluster(t, config{Max: 100_000}, 2)
	keyed := newCluster(t, config{Max: 100_000, Keyed: true}, 2)
	var r *redis
	if !*noRedis {
		r = startRedis(t)
	}
	const many, few = 100_000, 1_000
	for _, c := range []*cluster{plain, keyed} {
		c.fill(asyncName, many)
		c.fill(syncName, many)
	}
	if r != nil {
		r.pipelined(many, 2*many)
	}

	seen := map[string][]float64{}
	note := func(what string, v float64) { seen[what] = append(seen[what], v) }
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	count := size(2_000_000, 600_000)
	redisCount := size(800_000, 300_000)
	during := size(2*time.Second, 600*time.Millisecond)
	gaps := 0

	for round := range n {
		began := time.Now()
		for _, k := range []struct {
			word string
			keys int
		}{{"100k", many}, {"1k", few}} {
			m0, s0 := plain.cpu()
			plain.profiled("async-"+k.word, func() { note("async "+k.word, plain.fast(asyncName, k.keys, count)) })
			m1, s1 := plain.cpu()
			note("cpu master "+k.word, us(m1-m0)/float64(count))
			note("cpu slave "+k.word, us(s1-s0)/float64(count))
			if r != nil {
				note("redis "+k.word, r.pipelined(k.keys, redisCount))
			}
			keyed.profiled("async-key-"+k.word, func() { note("async key "+k.word, keyed.fast(asyncName, k.keys, count)) })
		}
		for _, p := range []int{64, 1} {
			word := fmt.Sprint(p)
			plain.profiled("sync-"+word, func() {
				a := plain.master.call(request{Op: "sync", Cache: syncName, Keys: many, Putters: p, For: during})
				note("sync "+word, float64(a.N)/a.Took.Seconds())
				note("sync p50 "+word, us(a.P50))
				note("sync p99 "+word, us(a.P99))
			})
			if r != nil {
				a := r.wait(p, many, during)
				note("wait "+word, float64(a.N)/a.Took.Seconds())
				note("wait p50 "+word, us(a.P50))
				note("wait p99 "+word, us(a.P99))
			}
			a := keyed.master.call(request{Op: "sync", Cache: syncName, Keys: many, Putters: p, For: during})
			note("sync key "+word, float64(a.N)/a.Took.Seconds())
			note("sync key p50 "+word, us(a.P50))
		}
		for _, rate := range []int{100_000, 300_000} {
			word := fmt.Sprint(rate)
			plain.profiled("lag-"+word, func() {
				plain.watch()
				m0, s0 := plain.waited()
				taken := stolen(t)
				a := plain.master.call(request{Op: "paced", Cache: asyncName, Keys: many, Rate: rate, For: during})
				note("rate "+word, float64(a.N)/a.Took.Seconds())
				plain.caughtUp()
				m1, s1 := plain.waited()
				note("waited master "+word, 100*(m1-m0).Seconds()/a.Took.Seconds())
				note("waited slave "+word, 100*(s1-s0).Seconds()/a.Took.Seconds())
				note("stolen "+word, 100*(stolen(t)-taken).Seconds()/a.Took.Seconds())
				worst := answer{}
				plain.unwatch(func(w answer) {
					gaps += w.Gaps
					if w.N != a.N {
						t.Errorf("a slave saw %d of %d puts at %d/s", w.N, a.N, rate)
					}
					worst.P50, worst.P99 = max(worst.P50, w.P50), max(worst.P99, w.P99)
					worst.WindowP99 = max(worst.WindowP99, w.WindowP99)
				})
				note("lag "+word, us(worst.WindowP99))
				note("lag p50 "+word, us(worst.P50))
				note("lag p99 "+word, us(worst.P99))
			})
		}
		t.Logf("round %d of %d: %.1f s", round+1, n, time.Since(began).Seconds())
	}
	plain.equal()
	keyed.equal()

	mid := func(what string) float64 {
		if len(seen[what]) == 0 {
			return 0
		}
		return median(seen[what])
	}
	tab := table{title: "Replication", head: []string{"what", "ours", "Redis", "ratio", "must", "aim", "reached"},
		note: fmt.Sprintf("One master, two slaves, 200 bytes a value, loopback, medians of %d rounds.", n)}
	// In short rounds on a busy machine 0.4 of the bar shows that nothing is
	// broken; more is for a quiet one.
	slack := size(1.0, 0.4)
	ratio := func(what, ours, theirs, unit string, must, aim float64) {
		a, b := mid(ours), mid(theirs)
		if b == 0 {
			tab.row(what, amount(a)+unit, "-", "-", "", "", "")
			return
		}
		have := a / b
		word := "aim"
		low := must < aim // the more the better
		switch {
		case low && have < must*slack || !low && have > must/slack:
			word = "MISSED"
			t.Errorf("%s: %.2f of Redis, must be %v", what, have, must*slack)
		case low && have < must || !low && have > must:
			word = "nearly" // with -short
		case low && have < aim || !low && have > aim:
			word = "must"
		}
		tab.row(what, amount(a)+unit, amount(b)+unit, fmt.Sprintf("%.2f", have), fmt.Sprint(must), fmt.Sprint(aim), word)
	}
	ratio("asynchronous, 100,000 keys", "async 100k", "redis 100k", "/s", 3, 6)
	ratio("asynchronous, 1,000 keys", "async 1k", "redis 1k", "/s", 5, 9)
	for _, w := range []string{"100k", "1k"} {
		tab.row("processor time per put, master and each slave, "+w, fmt.Sprintf("%.2f µs, %.2f µs", mid("cpu master "+w), mid("cpu slave "+w)))
	}
	share := func(what, ours, theirs string, must float64) {
		have, word := mid(ours)/mid(theirs), "must"
		if have < must {
			word = "nearly"
		}
		if have < must*slack {
			word = "MISSED"
			t.Errorf("%s: %.2f of that without a key, must be %v", what, have, must*slack)
		}
		tab.row(what, amount(mid(ours))+"/s", "-", fmt.Sprintf("%.2f of plain", have), fmt.Sprint(must), "", word)
	}
	share("with a key, 100,000 keys", "async key 100k", "async 100k", 0.6)
	share("with a key, 1,000 keys", "async key 1k", "async 1k", 0.6)
	ratio("synchronous, 64 putters; SET + WAIT 2", "sync 64", "wait 64", "/s", 4, 7)
	ratio("synchronous, 1 putter, p50", "sync p50 1", "wait p50 1", " µs", 0.7, 0.5)
	tab.row("synchronous, 1 putter", amount(mid("sync 1"))+"/s", amount(mid("wait 1"))+"/s")
	tab.row("synchronous, 1 putter, p99", amount(mid("sync p99 1"))+" µs", amount(mid("wait p99 1"))+" µs")
	tab.row("synchronous, 64 putters, p50", amount(mid("sync p50 64"))+" µs", amount(mid("wait p50 64"))+" µs")
	tab.row("synchronous, 64 putters, p99", amount(mid("sync p99 64"))+" µs", amount(mid("wait p99 64"))+" µs")
	tab.row("synchronous with a key, 64 putters", amount(mid("sync key 64"))+"/s")
	tab.row("synchronous with a key, 1 putter, p50", amount(mid("sync key p50 1"))+" µs")
	for _, l := range []struct {
		rate string
		must time.Duration
	}{{"100000", 2 * time.Millisecond}, {"300000", 5 * time.Millisecond}} {
		p99, word := mid("lag "+l.rate), "must"
		if p99 >= us(l.must) {
			word = "MISSED"
			if testing.Short() {
				word = "late" // says more of the machine than of the cache
			} else {
				t.Errorf("p99 lag at %s/s: %.0f µs, must be below %v", l.rate, p99, l.must)
			}
		}
		tab.row("lag at "+l.rate+"/s, p99 of windows of 100 ms (p50)", fmt.Sprintf("%s µs (%s)", amount(p99), amount(mid("lag p50 "+l.rate))), "-", "",
			"< "+l.must.String(), "", word)
		tab.row("p99 of the whole", amount(mid("lag p99 "+l.rate))+" µs")
		tab.row("processor time that the host took meanwhile", fmt.Sprintf("%.0f %% of one", mid("stolen "+l.rate)))
		tab.row("rate that was reached", amount(mid("rate "+l.rate))+"/s")
		tab.row("meanwhile ready and without a processor", fmt.Sprintf("master %.0f %%, a slave %.0f %%", mid("waited master "+l.rate), mid("waited slave "+l.rate)))
	}
	if gaps > 0 {
		t.Errorf("%d gaps", gaps)
	}
	tab.row("gaps", fmt.Sprint(gaps), "-", "", "0", "", map[bool]string{true: "must", false: "MISSED"}[gaps == 0])
	tab.print(t, "ratios")
}
