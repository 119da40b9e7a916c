//go:build linux

package main

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// sight is what the watcher heard of one instance.
type sight struct {
	name    string
	follows heartbeat.InstanceID
	reigns  bool
	packets int
}

// change is the begin of a reign, as it was heard.
type change struct {
	at   time.Time
	name string
	id   heartbeat.InstanceID
}

// watcher listens to a cluster's group and is no instance. It knows the newest
// instance of each name.
type watcher struct {
	c *lab.Cluster

	mu      sync.Mutex // guards what follows
	all     map[heartbeat.InstanceID]*sight
	newest  map[string]heartbeat.InstanceID
	changes []change
	claims  map[heartbeat.InstanceID]uint64 // of whom a claim was heard, and the last epoch it claimed
	claimed int                             // how many claims, repetitions not counted
	first   time.Time                       // when the first packet was heard
	group   int                             // packets heard
}

// watch listens until the test ends.
func watch(t *testing.T, c *lab.Cluster) *watcher {
	t.Helper()
	w := &watcher{
		c: c, all: map[heartbeat.InstanceID]*sight{}, newest: map[string]heartbeat.InstanceID{},
		claims: map[heartbeat.InstanceID]uint64{},
	}
	codec, err := heartbeat.NewCodec(c.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := mcast.Open(mcast.Config{Group: c.Group, Port: c.Port, Interface: "lo", TTL: 1, LeavePort: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var p heartbeat.Packet
		_ = conn.Run(ctx, func(b []byte, _ netip.AddrPort, multicast bool) {
			if multicast && codec.Open(b, &p) == nil {
				w.hear(&p, time.Now())
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = conn.Close()
	})
	return w
}

func (w *watcher) hear(p *heartbeat.Packet, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.group++; w.first.IsZero() {
		w.first = now
	}
	s := w.all[p.Instance]
	if s == nil {
		s = &sight{name: p.Name}
		w.all[p.Instance] = s
		w.newest[p.Name] = p.Instance
	}
	s.packets++
	s.follows = p.Master.Instance
	reigns := p.State == heartbeat.StateMaster || p.State == heartbeat.StateDraining
	if reigns && !s.reigns {
		w.changes = append(w.changes, change{now, p.Name, p.Instance})
	}
	s.reigns = reigns
	if p.Kind == heartbeat.KindClaim && w.claims[p.Instance] != p.Epoch {
		w.claims[p.Instance] = p.Epoch
		w.claimed++
	}
}

// settled reports whether exactly one of the instances given reigns, and the
// newest of each name follows it.
func (w *watcher) settled(of []*lab.Instance) (master *lab.Instance, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var id heartbeat.InstanceID
	for _, i := range of {
		if s := w.all[w.newest[i.Name]]; s != nil && s.reigns {
			if master != nil {
				return nil, false
			}
			master, id = i, w.newest[i.Name]
		}
	}
	if master == nil {
		return nil, false
	}
	for _, i := range of {
		if s := w.all[w.newest[i.Name]]; s == nil || s.follows != id {
			return nil, false
		}
	}
	return master, true
}

// reigns is the changes so far, and how many claims were made.
func (w *watcher) reigns() (list []change, claimed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes), w.claimed
}

// known is the newest instance of a name; it changes when a restarted one is heard.
func (w *watcher) known(name string) heartbeat.InstanceID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest[name]
}

// tally is how many packets were heard of each name, and of all.
func (w *watcher) tally() (each map[string]int, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	each = map[string]int{}
	for _, s := range w.all {
		each[s.name] += s.packets
	}
	return each, w.group
}
