package node

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// The listener of the cache also tells that an instance lives. A host that
// refuses connections to it is up, and the instance is not: so a peer that fell
// silent had stopped, and was not cut off from us.

// maxProbes is how many silent peers are asked at once; the others wait. When a
// machine is so busy that all are late, each instance finds all others silent:
// were all asked at once, that would keep the machine busy.
const maxProbes = 4

// probes is who waits to be asked. The zero value is not usable.
type probes struct {
	slots chan struct{}

	mu     sync.Mutex // guards silent
	silent map[heartbeat.InstanceID]bool
}

func newProbes() *probes {
	return &probes{slots: make(chan struct{}, maxProbes), silent: map[heartbeat.InstanceID]bool{}}
}

// wants notes that a peer is to be asked.
func (p *probes) wants(peer heartbeat.InstanceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent[peer] = true
}

// heard notes that a peer need not be asked any more.
func (p *probes) heard(peer heartbeat.InstanceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.silent, peer)
}

// enter waits for the peer's turn, unless it is the followed master, and reports
// whether it is still to be asked; then leave must be called.
func (p *probes) enter(peer heartbeat.InstanceID, master bool) bool {
	if !master {
		p.slots <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := p.silent[peer]
	delete(p.silent, peer)
	if !wanted {
		p.leave(master)
	}
	return wanted
}

func (p *probes) leave(master bool) {
	if !master {
		<-p.slots
	}
}

// probe asks the host of a silent peer whether it refuses connections to it.
func (n *Node) probe(peer heartbeat.InstanceID, addr netip.AddrPort, master bool) {
	if !n.probes.enter(peer, master) {
		return
	}
	defer n.probes.leave(master)
	c, err := net.DialTimeout("tcp", addr.String(), n.s.Down()/4)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = n.manager.Tell(election.Refused{Peer: peer})
	}
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(n.s.Every())) // a live one waits to be asked
	if o, err := cache.ReadObituary(c); err == nil {
		n.died(o)
	}
}

// died passes on what a keeper says.
func (n *Node) died(o cache.Obituary) {
	_ = n.manager.Tell(death(o, now()))
}

// death is when and how an instance died, by what its keeper said just now.
func death(o cache.Obituary, now time.Duration) election.Died {
	return election.Died{
		Obituary: heartbeat.Obituary{Instance: heartbeat.InstanceID(o.Instance), Secret: o.Secret},
		At:       now - o.Age,
	}
}
