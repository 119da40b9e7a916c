package cache

import (
	"net"
	"net/netip"
	"time"
)

// haste is by how much a hasty network shortens deadlines. They stay longer than
// [fairTime].
const haste = 4

// hasty is this host's sockets, where who comes in has a part of the time that
// it would have. For tests that wait until it is over, and not for how long.
type hasty struct{ hostNetwork }

func (h hasty) Listen(bind netip.AddrPort) (net.Listener, net.PacketConn, error) {
	l, p, err := h.hostNetwork.Listen(bind)
	if err != nil {
		return nil, nil, err
	}
	return hastyListener{l}, p, nil
}

type hastyListener struct{ net.Listener }

func (l hastyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return hastyConn{c}, nil
}

type hastyConn struct{ net.Conn }

func (c hastyConn) NetConn() net.Conn                 { return c.Conn }
func (c hastyConn) SetDeadline(t time.Time) error     { return c.Conn.SetDeadline(sooner(t)) }
func (c hastyConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(sooner(t)) }

func sooner(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Now().Add(time.Until(t) / haste)
}
