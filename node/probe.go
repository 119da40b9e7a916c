package node

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// The listener of the cache also tells that an instance lives. A host that
// refuses connections to it is up, and the instance is not: so a peer that fell
// silent had stopped, and was not cut off from us.

// probe asks the host of a silent peer whether it refuses connections to it.
func (n *Node) probe(peer heartbeat.InstanceID, addr netip.AddrPort) {
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
	_ = n.manager.Tell(election.Died{
		Obituary: heartbeat.Obituary{Instance: heartbeat.InstanceID(o.Instance), Secret: o.Secret},
		At:       now() - o.Age,
	})
}
