//go:build !linux

package mcast

import (
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// destination reads the address and the interface that a packet came to from
// its control messages.
func destination(oob []byte) (dst netip.Addr, index int) {
	var cm4 ipv4.ControlMessage
	if cm4.Parse(oob) == nil && cm4.Dst != nil {
		a, _ := netip.AddrFromSlice(cm4.Dst)
		return a.Unmap(), cm4.IfIndex
	}
	var cm6 ipv6.ControlMessage
	if cm6.Parse(oob) == nil && cm6.Dst != nil {
		a, _ := netip.AddrFromSlice(cm6.Dst)
		return a, cm6.IfIndex
	}
	return netip.Addr{}, 0
}

// more reports whether a packet waits in the group socket. As it is not known
// here, there is no rest.
func (c *sockets) more() bool { return true }

// held is how many bytes the group socket's buffer holds. Where there is no rest
// it does not matter.
func (c *sockets) held() int { return 0 }
