package cachetest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// maxDatagram is UDP's over IPv4.
const maxDatagram = 65507

// socket is for datagrams. What arrives at a full one is lost, as is what is
// sent to nobody.
type socket struct {
	host            *Host
	addr            netip.AddrPort
	queue           []datagram // by arrival
	closed          bool
	readBy, writeBy time.Time
	changed         *signal
}

type datagram struct {
	data []byte
	from netip.AddrPort
	at   time.Time
}

var _ net.PacketConn = (*socket)(nil)

// ReadFrom implements [net.PacketConn].
func (u *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	f := u.host.f
	for {
		f.mu.Lock()
		now := time.Now()
		wait := u.readBy
		switch {
		case u.closed:
			f.mu.Unlock()
			return 0, nil, u.fault("read", net.ErrClosed)
		case u.host.m.stalled:
			wait = time.Time{}
		case !u.readBy.IsZero() && !now.Before(u.readBy):
			f.mu.Unlock()
			return 0, nil, u.fault("read", os.ErrDeadlineExceeded)
		case len(u.queue) > 0 && !now.Before(u.queue[0].at):
			d := u.queue[0]
			u.queue = u.queue[1:]
			f.mu.Unlock()
			return copy(p, d.data), net.UDPAddrFromAddrPort(d.from), nil
		case len(u.queue) > 0:
			wait = earlier(wait, u.queue[0].at)
		}
		woken := u.changed.c
		f.mu.Unlock()
		_ = sleep(context.Background(), woken, wait)
	}
}

// WriteTo implements [net.PacketConn]. An error means that this socket is
// closed, or the address none; never that nobody is there.
func (u *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	f := u.host.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for u.host.m.stalled && !u.closed {
		woken := u.changed.c
		f.mu.Unlock()
		<-woken
		f.mu.Lock()
	}
	now := time.Now()
	udp, ok := to.(*net.UDPAddr)
	switch {
	case u.closed:
		return 0, u.fault("write", net.ErrClosed)
	case !u.writeBy.IsZero() && !now.Before(u.writeBy):
		return 0, u.fault("write", os.ErrDeadlineExceeded)
	case !ok:
		return 0, u.fault("write", syscall.EAFNOSUPPORT)
	case len(p) > maxDatagram:
		return 0, u.fault("write", syscall.EMSGSIZE)
	}
	at := udp.AddrPort()
	m := f.at(at.Addr().Unmap())
	if m == nil || !f.open(way{u.host.m, m}) {
		return len(p), nil
	}
	dst := m.sockets[at.Port()]
	if dst == nil {
		return len(p), nil
	}
	copies := 1
	if f.chance(f.link.Loss) {
		copies--
	}
	if f.chance(f.link.Double) {
		copies++
	}
	for range copies {
		arrives := now.Add(f.delay())
		if f.chance(f.link.Reorder) {
			arrives = arrives.Add(time.Duration(f.rng.Int64N(int64(10*f.link.Delay) + 1)))
		}
		dst.take(datagram{data: slices.Clone(p), from: u.addr, at: arrives})
	}
	return len(p), nil
}

func (u *socket) take(d datagram) {
	if len(u.queue) >= u.host.f.link.Queue {
		return
	}
	i := len(u.queue)
	for i > 0 && u.queue[i-1].at.After(d.at) {
		i--
	}
	u.queue = slices.Insert(u.queue, i, d)
	u.changed.wake()
}

func (f *Fabric) chance(p float64) bool { return p > 0 && f.rng.Float64() < p }

func (u *socket) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Addr: u.LocalAddr(), Err: err}
}

// Close implements [net.PacketConn].
func (u *socket) Close() error {
	u.host.f.mu.Lock()
	defer u.host.f.mu.Unlock()
	if u.closed {
		return u.fault("close", net.ErrClosed)
	}
	u.close()
	return nil
}

func (u *socket) close() {
	if u.closed {
		return
	}
	u.closed = true
	u.queue = nil
	delete(u.host.m.sockets, u.addr.Port())
	u.changed.wake()
}

// LocalAddr implements [net.PacketConn].
func (u *socket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(u.addr) }

// SetDeadline implements [net.PacketConn].
func (u *socket) SetDeadline(t time.Time) error { return u.deadlines(&t, &t) }

// SetReadDeadline implements [net.PacketConn].
func (u *socket) SetReadDeadline(t time.Time) error { return u.deadlines(&t, nil) }

// SetWriteDeadline implements [net.PacketConn].
func (u *socket) SetWriteDeadline(t time.Time) error { return u.deadlines(nil, &t) }

func (u *socket) deadlines(read, write *time.Time) error {
	u.host.f.mu.Lock()
	defer u.host.f.mu.Unlock()
	if u.closed {
		return u.fault("set", net.ErrClosed)
	}
	if read != nil {
		u.readBy = *read
	}
	if write != nil {
		u.writeBy = *write
	}
	u.changed.wake()
	return nil
}
