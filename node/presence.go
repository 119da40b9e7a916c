package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// The presence is a TCP listener whose only message is that it accepts. A host
// that refuses connections to it is up, and the instance is not: so a peer that
// fell silent had stopped, and was not cut off from us.

// openPresence listens on the bind address, or on that of the multicast.
func openPresence(own netip.Addr, bind netip.AddrPort) (net.Listener, error) {
	if !bind.IsValid() {
		bind = netip.AddrPortFrom(own, 0)
	}
	l, err := net.Listen("tcp", bind.String())
	if err != nil {
		return nil, fmt.Errorf("%w; choose another with failover.cache.bind", err)
	}
	return l, nil
}

// runPresence accepts and closes until ctx ends.
func (n *Node) runPresence(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = n.presence.Close() })
	defer stop()
	for {
		c, err := n.presence.Accept()
		switch {
		case err == nil:
			_ = c.Close()
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // out of descriptors, say: it will pass
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

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
