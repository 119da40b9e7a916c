//go:build linux

package netns

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const promoted = "Promoted to Master node"

// slow are settings whose lease of 3 s is long enough to tell a timer from the
// crash path.
var slow = []string{"failover.delay=300", "failover.retries=10"}

// byTimer is the least time from a cut to the next reign by timers alone: the
// last heartbeat got through up to one delay before.
const byTimer = 9 * 300 * time.Millisecond

// firewall loads rules into the namespace of a node: they hold for what comes
// in to it and for what goes out.
func (w *network) firewall(i int, rules ...string) {
	w.t.Helper()
	text := "table inet ilha {\n"
	for _, hook := range []string{"input", "output"} {
		text += fmt.Sprintf("chain %s { type filter hook %s priority 0; policy accept; iifname lo accept; oifname lo accept;\n", hook, hook)
		for _, r := range rules {
			text += r + ";\n"
		}
		text += "}\n"
	}
	w.in(w.space(i), "nft", text+"}")
}

// cachePort is where every instance's cache listens, each in its namespace.
const cachePort = 7946

// firewalled starts three instances whose caches listen on a known port.
func firewalled(t *testing.T, set ...string) (*network, *lab.Cluster, *lab.Instance) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("no nft here (Debian: nftables)")
	}
	w := newNetwork(t, 3)
	c := lab.New(t, append(set, slow...)...)
	for i := 1; i <= 3; i++ {
		w.start(c, i, fmt.Sprintf("failover.cache.bind=%s:%d", w.addr(i), cachePort))
	}
	// A keeper stays for as long as somebody may ask for its word: let the nodes
	// end in order, and wait.
	t.Cleanup(func() {
		for _, i := range c.Others(nil) {
			i.Signal(syscall.SIGTERM)
		}
		for _, i := range c.Others(nil) {
			i.Exit(soon)
		}
		lab.Wait(t, "the last keeper ends", soon, func() bool { return len(c.Descendants()) == 0 })
	})
	m := c.Settled(2 * soon)
	c.WaitSpans(1)
	m.WaitStatus("two slaves in step", soon, func(s admin.Status) bool { return s.Cache != nil && len(s.Cache.InSync) == 2 })
	return w, c, m
}

// TestFirewallAtTheStream drops or rejects what goes to and from the master's
// cache, while its heartbeats go on: nobody takes over, however the connection
// ends.
func TestFirewallAtTheStream(t *testing.T) {
	t.Parallel()
	for _, verdict := range []string{"drop", "reject with tcp reset"} {
		t.Run(verdict, func(t *testing.T) {
			t.Parallel()
			w, c, m := firewalled(t)
			w.firewall(number(m), fmt.Sprintf("tcp dport %d %s", cachePort, verdict), fmt.Sprintf("tcp sport %d %s", cachePort, verdict))
			lab.Never(t, "another reigns", 2*byTimer, func() bool { return c.Promotions() > 1 })
			if now := c.Settled(soon); now != m {
				t.Errorf("%s is master, want %s still", now.Name, m.Name)
			}
			if n := len(c.Spans()); n != 1 {
				t.Errorf("%d commands ran, want 1", n)
			}
		})
	}
}

// TestFirewallAroundTheMaster drops or rejects all that goes to and from the
// master: it is alive and works. A refused connection is no proof that it is
// dead, so that the timers decide, and its command has ended before the next
// starts.
func TestFirewallAroundTheMaster(t *testing.T) {
	t.Parallel()
	for _, verdict := range []string{"drop", "reject"} {
		for _, quorum := range []string{"0", "2"} {
			t.Run(verdict+" quorum "+quorum, func(t *testing.T) {
				t.Parallel()
				w, c, m := firewalled(t, "failover.quorum="+quorum)
				others := c.Others(m)
				cut := time.Now()
				rules := []string{verdict}
				if verdict == "reject" {
					rules = []string{"meta l4proto tcp reject with tcp reset", "reject"}
				}
				w.firewall(number(m), rules...)
				next := c.Settled(2*soon, others...)
				up := next.WaitLog(promoted, 1, soon)
				if took := up.Time.Add(time.Millisecond).Sub(cut); took < byTimer {
					t.Errorf("%s reigns %v after the cut, want %v at least", next.Name, took, byTimer)
				}
				c.WaitSpans(2)
				c.NoOverlap()
			})
		}
	}
}
