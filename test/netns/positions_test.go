//go:build linux

package netns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// newLine starts three instances of the 3.3 design, each on a host of its own.
func newLine(t *testing.T) (*network, *lab.Cluster, []*lab.Instance) {
	const timeout = 3 * time.Second
	w := newNetwork(t, 3)
	c := lab.NewPings(t, false, "failover.ping.interval.seconds="+(timeout/5).String(), "failover.instance.timeout.seconds="+timeout.String())
	var all []*lab.Instance
	for i := 1; i <= 3; i++ {
		all = append(all, c.Run(lab.Run{
			Name: fmt.Sprintf("n%d", i), Interface: "eth0", Prefix: []string{"ip", "netns", "exec", w.space(i)},
			Command: []string{"sleep", "1000"},
		}))
	}
	return w, c, all
}

// TestPositionsPartition cuts a master of the 3.3 design off: each side has one
// then, as that design must. After the heal one of them reigns, and its cache
// is everybody's, whatever the caches' own epochs were.
func TestPositionsPartition(t *testing.T) {
	t.Parallel()
	w, c, all := newLine(t)
	m, _ := c.SettledLine(all...)
	for round := range 2 {
		key := func(side string) string { return fmt.Sprintf("%s%d", side, round) }
		m.WaitStatus("all in step", 2*soon, func(s admin.Status) bool { return len(s.Cache.InSync) == 2 })
		c.Do("cache", "put", key("before"), "v", "--instance", m.Name)

		w.cut(number(m))
		other, _ := c.SettledLine(c.Others(m)...)
		m.WaitStatus("it reigns alone", soon, func(s admin.Status) bool { return reigns(s) && len(s.Peers) == 0 })
		c.Do("cache", "put", key("here"), "v", "--instance", m.Name)
		c.Do("cache", "put", key("there"), "v", "--instance", other.Name)

		w.heal(number(m))
		healed := time.Now()
		next, _ := c.SettledLine(all...)
		t.Logf("settled %v after the heal", time.Since(healed).Round(time.Millisecond))
		if next != m && next != other {
			t.Errorf("%s reigns, want one of the two that did", next.Name)
		}
		next.WaitStatus("all in step", 4*soon, func(s admin.Status) bool { return len(s.Cache.InSync) == 2 })
		c.Do("cache", "put", key("after"), "v", "--instance", next.Name)
		own := "there"
		if next == m {
			own = "here"
		}
		for _, i := range all {
			for _, side := range []string{"before", own, "after"} {
				if a := c.CLI("cache", "get", key(side), "--instance", i.Name); a.Code != 0 || !strings.Contains(a.Stdout, "v") {
					t.Errorf("%s has %s = %q, exit %d %s", i.Name, key(side), a.Stdout, a.Code, a.Stderr)
				}
			}
			if n := i.Count("panic"); n != 0 || i.Ended() {
				t.Errorf("%s: panics %d, ended %v", i.Name, n, i.Ended())
			}
		}
		m = next
	}
}

// TestPositionsAnotherAddress does the same as TestAnotherAddress: here no
// heartbeat tells where a cache is, only gossip does.
func TestPositionsAnotherAddress(t *testing.T) {
	t.Parallel()
	w, c, all := newLine(t)
	m, line := c.SettledLine(all...)
	carried(t, c, "before")
	for _, i := range []*lab.Instance{m, line[0]} {
		next := fmt.Sprintf("%s.%d", subnet, 100+number(i))
		w.readdress(number(i), next)
		i.WaitLog("The cache listens at the interface's other address", 1, soon)
		carried(t, c, "at "+next)
		if now, _ := c.SettledLine(all...); now != m {
			t.Errorf("%s is master, want %s as before", now.Name, m.Name)
		}
	}
}
