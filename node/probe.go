package node

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// The listener of the cache also tells that an instance lives. A host that
// refuses connections to it is up, and the instance is not: so a peer that fell
// silent had stopped, and was not cut off from us.

// probe asks the host of a silent peer whether it refuses connections to it.
func (n *Node) probe(peer heartbeat.InstanceID, addr netip.AddrPort) {
	c, err := net.DialTimeout("tcp", addr.String(), n.s.Lease()/4)
	if err == nil {
		_ = c.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = n.manager.Tell(election.Refused{Peer: peer})
	}
}
