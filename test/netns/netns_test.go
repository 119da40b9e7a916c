//go:build linux

package netns

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// three starts a cluster of three and waits for its master, whose number comes
// with it.
func three(t *testing.T, set ...string) (w *network, c *lab.Cluster, m *lab.Instance) {
	t.Helper()
	w = newNetwork(t, 3)
	c = lab.New(t, append(set, lab.Fast...)...)
	for i := 1; i <= 3; i++ {
		w.start(c, i)
	}
	m = c.Settled(2 * soon)
	c.WaitSpans(1)
	for _, o := range c.Others(m) {
		o.WaitStatus("hears both others", soon, func(s admin.Status) bool { return len(s.Peers) == 2 })
	}
	// Confirmation takes one heartbeat more each way.
	start := m.MustStatus().Packets.Received
	m.WaitStatus("hears everybody again", soon, func(s admin.Status) bool { return s.Packets.Received >= start+6 })
	return w, c, m
}

func reigns(s admin.Status) bool { return s.Instance.State == admin.StateMaster }

// TestPartitionWithoutQuorum cuts the master off from the two others: it finds
// itself isolated and steps down, so that one master is left, and is a slave
// after the heal.
func TestPartitionWithoutQuorum(t *testing.T) {
	t.Parallel()
	w, c, m := three(t)
	others := c.Others(m)
	w.cut(number(m))
	next := c.Settled(soon, others...)
	m.WaitLog("Isolated", 1, soon)
	m.WaitStatus("steps down", soon, func(s admin.Status) bool { return !reigns(s) })
	lab.Never(t, "the isolated one claims", 2*time.Second, func() bool { return m.Count("Promoted to Master node") > 1 })
	w.heal(number(m))
	if now := c.Settled(soon); now != next {
		t.Errorf("%s is master after the heal, want %s", now.Name, next.Name)
	}
	if n := c.Promotions(); n != 2 {
		t.Errorf("%d promotions, want 2", n)
	}
}

// TestSlaveCutOff cuts one slave off: nothing changes hands, then or after.
func TestSlaveCutOff(t *testing.T) {
	t.Parallel()
	w, c, m := three(t)
	slave := c.Others(m)[0]
	w.cut(number(slave))
	slave.WaitStatus("knows no master", soon, func(s admin.Status) bool { return s.Master == nil })
	lab.Never(t, "it claims", 2*time.Second, func() bool { return c.Promotions() > 1 })
	w.heal(number(slave))
	if now := c.Settled(soon); now != m {
		t.Errorf("%s is master, want %s still", now.Name, m.Name)
	}
	if n := len(c.Spans()); n != 1 {
		t.Errorf("%d commands ran, want 1", n)
	}
}

// TestPartitionWithQuorum cuts the master off, again and again: never do two
// commands run at once, and each time the majority has a master.
func TestPartitionWithQuorum(t *testing.T) {
	t.Parallel()
	w, c, m := three(t, "failover.quorum=2")
	rounds := 2
	if lab.Full() {
		rounds = 50
	}
	for range rounds {
		others := c.Others(m)
		ran := len(c.Spans())
		w.cut(number(m))
		next := c.Settled(2*soon, others...)
		c.WaitSpans(ran + 1)
		m.WaitStatus("reigns no more", soon, func(s admin.Status) bool { return !reigns(s) })
		c.NoOverlap()
		w.heal(number(m))
		if now := c.Settled(2 * soon); now != next {
			t.Fatalf("%s is master after the heal, want %s", now.Name, next.Name)
		}
		m = next
	}
	// Everybody alone: nobody has a majority, so nobody works.
	for i := 1; i <= 3; i++ {
		w.cut(i)
	}
	lab.Wait(t, "no command runs where all are alone", soon, func() bool { return len(c.Descendants()) == 0 })
	for i := 1; i <= 3; i++ {
		w.heal(i)
	}
	c.Settled(2 * soon)
	c.NoOverlap()
}

// TestOneWay lets a master hear nobody, then be heard by nobody. One master is
// left each time, and one after the heal.
func TestOneWay(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"deaf", "mute"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			for _, set := range []string{"failover.quorum=0", "failover.quorum=2"} {
				w, c, m := three(t, set)
				others := c.Others(m)
				if way == "deaf" {
					w.cutIn(number(m))
				} else {
					w.cutOut(number(m))
				}
				switch {
				case way == "deaf" && set == "failover.quorum=0":
					// The others hear it, so they stay slaves; it is isolated
					// and steps down; then one of them takes over.
					m.WaitStatus("steps down", soon, func(s admin.Status) bool { return !reigns(s) })
					c.Settled(2*soon, others...)
				default:
					c.Settled(2*soon, others...)
					m.WaitStatus("steps down", soon, func(s admin.Status) bool { return !reigns(s) })
				}
				w.heal(number(m))
				c.Settled(2 * soon)
				if set == "failover.quorum=2" {
					c.NoOverlap()
				}
			}
		})
	}
}

// TestCardDown takes the master's card down and brings it back: the others have
// a new master, and the old one is a slave of it again without a restart.
func TestCardDown(t *testing.T) {
	t.Parallel()
	for _, quorum := range []int{0, 2} {
		t.Run(fmt.Sprintf("quorum %d", quorum), func(t *testing.T) {
			t.Parallel()
			w, c, m := three(t, fmt.Sprintf("failover.quorum=%d", quorum))
			w.down(number(m))
			next := c.Settled(2*soon, c.Others(m)...)
			m.WaitStatus("reigns no more", soon, func(s admin.Status) bool { return !reigns(s) })
			w.up(number(m))
			if now := c.Settled(2 * soon); now != next {
				t.Errorf("%s is master, want %s", now.Name, next.Name)
			}
			if quorum > 0 {
				c.NoOverlap()
			}
		})
	}
}

// TestAnotherAddress gives the master's card another address, and then a slave's:
// both are heard from it, and so is the cache, without a restart.
func TestAnotherAddress(t *testing.T) {
	t.Parallel()
	for _, quorum := range []int{0, 2} {
		t.Run(fmt.Sprintf("quorum %d", quorum), func(t *testing.T) {
			t.Parallel()
			w, c, m := three(t, fmt.Sprintf("failover.quorum=%d", quorum))
			for _, i := range []*lab.Instance{m, c.Others(m)[0]} {
				next := fmt.Sprintf("%s.%d", subnet, 100+number(i))
				w.readdress(number(i), next)
				for _, o := range c.Others(i) {
					o.WaitStatus("hears it from "+next, soon, func(s admin.Status) bool {
						for _, p := range s.Peers {
							if p.Name == i.Name && strings.HasPrefix(p.Address, next+":") {
								return true
							}
						}
						return false
					})
				}
				if now := c.Settled(2 * soon); now != m {
					t.Errorf("%s is master, want %s as before", now.Name, m.Name)
				}
				carried(t, c, "at "+next)
				if s := i.MustStatus(); reigns(s) && !strings.HasPrefix(s.Master.Address, next+":") {
					t.Errorf("the master says that it is at %s, want %s", s.Master.Address, next)
				}
			}
			if quorum > 0 {
				c.NoOverlap()
			}
		})
	}
}

// carried puts at the master, which has all slaves in step again, and wants all
// to hold it.
func carried(t *testing.T, c *lab.Cluster, key string) {
	t.Helper()
	others := len(c.Others(nil)) - 1
	var m *lab.Instance
	lab.Wait(t, "all are in step", 2*soon, func() bool {
		for _, i := range c.Others(nil) {
			if s, err := i.Status(); err == nil && reigns(s) && len(s.Cache.InSync) == others {
				m = i
				return true
			}
		}
		return false
	})
	c.Do("cache", "put", key, "v", "--instance", m.Name)
	for _, i := range c.Others(nil) {
		lab.Wait(t, i.Name+" holds "+key, 2*soon, func() bool { return c.CLI("cache", "get", key, "--instance", i.Name).Code == 0 })
		i.WaitStatus("has no alarm about its address", soon, func(s admin.Status) bool {
			return !slices.ContainsFunc(s.Alarms, func(a string) bool { return strings.Contains(a, "address") })
		})
	}
}

// TestNoRoute has hosts whose one card has no route but that to its own network,
// and whose settings name no card.
func TestNoRoute(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 2)
	c := lab.New(t, lab.Fast...)
	for i := 1; i <= 2; i++ {
		w.in(w.space(i), "ip", "route", "del", "224.0.0.0/4", "dev", "eth0")
		w.start(c, i, "failover.interface=")
	}
	m := c.Settled(2 * soon)
	for _, i := range c.Others(nil) {
		i.WaitStatus("hears the other", soon, func(s admin.Status) bool { return len(s.Peers) == 1 })
	}
	if n := c.Promotions(); n != 1 {
		t.Errorf("%d promotions, want 1 of %s", n, m.Name)
	}
}

// TestUnicastPeers has a network that carries no multicast: configured peers
// find each other, elect, and survive the death of the master.
func TestUnicastPeers(t *testing.T) {
	t.Parallel()
	w := newNetwork(t, 3)
	for i := 1; i <= 3; i++ {
		w.bridge(i, "mcast_flood", "off")
	}
	c := lab.New(t, lab.Fast...)
	for i := 1; i <= 3; i++ {
		peers := ""
		for j := 1; j <= 3; j++ {
			if j != i {
				peers += w.addr(j) + ";"
			}
		}
		w.start(c, i, "failover.peers="+peers)
	}
	m := c.Settled(2 * soon)
	c.WaitSpans(1)
	for _, i := range c.Others(nil) {
		i.WaitStatus("hears both peers", soon, func(s admin.Status) bool { return len(s.Peers) == 2 })
	}
	if n := c.Promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
	m.KillHard()
	c.Settled(2 * soon)
	c.WaitSpans(2)
	c.NoOverlap()
}
