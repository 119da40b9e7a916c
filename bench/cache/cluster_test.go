//go:build linux

package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// cluster is one master and its slaves.
type cluster struct {
	t      testing.TB
	cfg    config
	master *instance
	slaves []*instance
}

// newCluster starts a master and slaves, and waits until all are in step.
func newCluster(t testing.TB, cfg config, slaves int) *cluster {
	t.Helper()
	c := &cluster{t: t, cfg: cfg}
	c.master = c.spawn("master")
	c.master.call(request{Op: "promote", Reign: c.master.id})
	for range slaves {
		c.join()
	}
	c.inStep(slaves, 20*time.Second)
	return c
}

func (c *cluster) spawn(name string) *instance {
	cfg := c.cfg
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	cfg.Name, cfg.Instance = name, hex.EncodeToString(id)
	if c.master != nil {
		cfg.Peers = []string{c.master.addr}
	}
	return spawn(c.t, cfg)
}

// join starts one more slave.
func (c *cluster) join() *instance {
	c.t.Helper()
	s := c.spawn(fmt.Sprintf("slave%d", len(c.slaves)+1))
	c.follow(s)
	return s
}

// follow makes an instance that was spawned a slave.
func (c *cluster) follow(s *instance) {
	c.t.Helper()
	s.call(request{Op: "follow", Reign: c.master.id, Addr: c.master.addr})
	c.slaves = append(c.slaves, s)
}

func (c *cluster) ids() (ids []string) {
	for _, s := range c.slaves {
		ids = append(ids, s.id)
	}
	return ids
}

// inStep waits until so many slaves are.
func (c *cluster) inStep(n int, within time.Duration) {
	c.t.Helper()
	var s answer
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		if s = c.master.call(request{Op: "status"}); s.InStep == n {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d slaves are in step after %v; %d follow", s.InStep, n, within, s.Followers)
		}
	}
}

// fast puts as fast as possible until all slaves have acknowledged the last,
// and returns puts per second.
func (c *cluster) fast(cache string, keys, count int) float64 {
	c.t.Helper()
	a := c.master.call(request{Op: "fast", Cache: cache, Keys: keys, Count: count, Slaves: c.ids()})
	return float64(a.N) / a.Took.Seconds()
}

// cpu is what the master and the average slave have used of the processor.
func (c *cluster) cpu() (master, slave time.Duration) {
	c.t.Helper()
	master = c.master.call(request{Op: "status"}).CPU
	for _, s := range c.slaves {
		slave += s.call(request{Op: "status"}).CPU
	}
	return master, slave / time.Duration(max(1, len(c.slaves)))
}

// waited is how long threads of the master and of the average slave were ready
// to run and did not: how busy the machine was.
func (c *cluster) waited() (master, slave time.Duration) {
	c.t.Helper()
	master = c.master.call(request{Op: "status"}).Waited
	for _, s := range c.slaves {
		slave += s.call(request{Op: "status"}).Waited
	}
	return master, slave / time.Duration(max(1, len(c.slaves)))
}

// fill puts each key once.
func (c *cluster) fill(cache string, keys int) float64 {
	c.t.Helper()
	return c.fast(cache, keys, keys)
}

// caughtUp waits until all slaves hold what the master does.
func (c *cluster) caughtUp() uint64 {
	c.t.Helper()
	n := c.master.call(request{Op: "status"}).N
	for _, s := range c.slaves {
		s.call(request{Op: "reach", N: n})
	}
	return n
}

// equal fails the test unless all hold the same entries, each written by the
// same record. (The log may have gone on: it also says who is in step.)
func (c *cluster) equal() {
	c.t.Helper()
	c.caughtUp()
	want := c.master.call(request{Op: "digest"})
	if want.Entries == 0 {
		c.t.Error("the master holds nothing")
	}
	for _, s := range c.slaves {
		if got := s.call(request{Op: "digest"}); got.Digest != want.Digest || got.Entries != want.Entries {
			c.t.Errorf("%s holds %d entries at %d with digest %s, the master %d at %d with %s",
				s.name, got.Entries, got.N, got.Digest, want.Entries, want.N, want.Digest)
		}
	}
}

func (c *cluster) watch() {
	c.t.Helper()
	for _, s := range c.slaves {
		s.call(request{Op: "watch"})
	}
}

func (c *cluster) unwatch(see func(answer)) {
	c.t.Helper()
	for _, s := range c.slaves {
		see(s.call(request{Op: "unwatch"}))
	}
}

// profiled runs f, with CPU profiles if they are asked for.
func (c *cluster) profiled(name string, f func()) {
	c.t.Helper()
	if *profile == "" {
		f()
		return
	}
	for _, i := range []*instance{c.master, c.slaves[0]} {
		i.call(request{Op: "profile", File: filepath.Join(*profile, name+"-"+i.name+".pprof")})
		defer i.call(request{Op: "profile"})
	}
	f()
}
