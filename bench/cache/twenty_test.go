//go:build linux

package main

import (
	"fmt"
	"testing"
	"time"
)

// TestTwenty runs twenty instances on one host.
func TestTwenty(t *testing.T) {
	measured(t)
	slaves := size(19, 9)
	during := size(10*time.Second, 3*time.Second)
	c := newCluster(t, config{}, slaves)
	c.fill(asyncName, 10_000)
	c.caughtUp()
	tab := table{title: "Twenty instances", head: []string{"load", "puts/s reached", "master, of a core", "master per slave", "a slave, of a core", "in step"},
		note: fmt.Sprintf("One master and %d slaves on one host.", slaves)}
	for _, rate := range []int{0, 1_000, 10_000} {
		m0, s0 := c.cpu()
		start := time.Now()
		reached := 0.0
		if rate == 0 {
			time.Sleep(during) // what is measured is the passing of time
		} else {
			a := c.master.call(request{Op: "paced", Cache: asyncName, Keys: 10_000, Rate: rate, For: during})
			reached = float64(a.N) / a.Took.Seconds()
		}
		took := time.Since(start).Seconds()
		m1, s1 := c.cpu()
		c.caughtUp()
		c.inStep(slaves, 10*time.Second)
		m, s := 100*(m1-m0).Seconds()/took, 100*(s1-s0).Seconds()/took
		tab.row(fmt.Sprintf("%d/s", rate), amount(reached), fmt.Sprintf("%.2f %%", m), fmt.Sprintf("%.3f %%", m/float64(slaves)),
			fmt.Sprintf("%.3f %%", s), fmt.Sprintf("%d of %d", slaves, slaves))
	}
	c.equal()
	if s := c.master.call(request{Op: "status"}); s.Members != slaves+1 {
		t.Errorf("gossip of the master knows %d members, want %d", s.Members, slaves+1)
	}
	tab.print(t, "twenty")
}
