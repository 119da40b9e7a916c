package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxGossipStreams is how many streams of others memberlist reads at once.
	maxGossipStreams = 16
	streamTimeout    = 5 * time.Second
)

var (
	errLeft      = errors.New("gossip has ended")
	errNoAnswer  = errors.New("no answer in time")
	errDead      = errors.New("the instance is dead, says its keeper")
	errUnreached = errors.New("not reached")
)

// transport is the port as memberlist sees it.
type transport struct {
	port  *port
	net   Network
	label string
	in    chan *memberlist.Packet
	conns chan net.Conn
	slots chan struct{} // of streams of others
	done  chan struct{} // closed by Shutdown
	ctx   context.Context
	hang  context.CancelFunc // ends streams that we opened

	mu   sync.Mutex // guards what follows
	open map[net.Conn]struct{}
	shut bool
	// memberlist waits for the answers to its probes on goroutines that its
	// Shutdown does not end. These are the times at which they do end.
	probe, relay time.Time
	score        func() int // how many probe intervals more than one a probe takes
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(p *port, n Network, label string) *transport {
	ctx, hang := context.WithCancel(context.Background())
	return &transport{
		port: p, net: n, label: label, in: make(chan *memberlist.Packet), conns: make(chan net.Conn),
		slots: make(chan struct{}, maxGossipStreams), done: make(chan struct{}), ctx: ctx, hang: hang,
		open: make(map[net.Conn]struct{}),
	}
}

// packet hands a datagram to memberlist.
func (t *transport) packet(p *memberlist.Packet) {
	select {
	case t.in <- p:
	case <-t.done:
	}
}

// stream hands a connection to memberlist, when there is room.
func (t *transport) stream(c *headed) {
	late := time.NewTimer(headTime)
	defer late.Stop()
	select {
	case t.slots <- struct{}{}:
	case <-t.done:
		_ = c.Conn.Close()
		return
	case <-late.C:
		t.port.refuse(refuseBusy, c.RemoteAddr())
		_ = c.Conn.Close()
		return
	}
	t.own(c, func() { <-t.slots })
	select {
	case t.conns <- c:
	case <-t.done:
		_ = c.Close()
	}
}

// own keeps a connection until it is closed, and closes it when gossip ends.
func (t *transport) own(c *headed, closed func()) {
	c.over = func(why unwelcome) { t.port.refuse(why, c.RemoteAddr()) }
	c.closed = func() {
		t.mu.Lock()
		delete(t.open, c)
		t.mu.Unlock()
		if closed != nil {
			closed()
		}
	}
	t.mu.Lock()
	shut := t.shut
	if !shut {
		t.open[c] = struct{}{}
	}
	t.mu.Unlock()
	if shut {
		_ = c.Close()
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	a := t.port.addr()
	if !a.IsValid() {
		return nil, 0, errors.New("the port has no address")
	}
	return a.Addr().AsSlice(), int(a.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport. Errors of the socket
// go back as they are: memberlist looks at them.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, err
	}
	t.waits()
	select {
	case <-t.done:
		return time.Time{}, errLeft
	default:
	}
	_, err = t.port.now.Load().packets.WriteTo(b, net.UDPAddrFromAddrPort(t.port.zoned(to)))
	return time.Now(), err
}

// waits notes until when the caller of WriteToAddress will wait for an answer,
// if it is one that does.
func (t *transport) waits() {
	var pcs [10]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		switch {
		case strings.HasSuffix(f.Function, ".probeNode"):
			t.mu.Lock()
			intervals := 1
			if t.score != nil {
				intervals += t.score()
			}
			t.probe = time.Now().Add(time.Duration(intervals) * probeInterval)
			t.mu.Unlock()
			return
		case strings.HasSuffix(f.Function, ".handleIndirectPing"):
			t.mu.Lock()
			t.relay = time.Now().Add(probeTimeout)
			t.mu.Unlock()
			return
		}
		if !more {
			return
		}
	}
}

// answered notes that memberlist's probe got its answer.
func (t *transport) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probe = time.Time{}
}

// drain waits, after Shutdown, for what memberlist's Shutdown does not end.
func (t *transport) drain() {
	t.mu.Lock()
	until := t.probe
	if t.relay.After(until) {
		until = t.relay
	}
	t.mu.Unlock()
	if left := time.Until(until); left > 0 {
		time.Sleep(left)
	}
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.in }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.conns }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, min(timeout, streamTimeout))
	defer cancel()
	conn, err := t.net.Dial(ctx, t.port.zoned(to))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	// Until memberlist sets its own: the label is written before that.
	_ = conn.SetDeadline(time.Now().Add(streamTimeout))
	c := &headed{Conn: conn, reply: true, keyed: t.port.keyed.Load()}
	t.own(c, nil)
	return c, nil
}

// hangUp ends the streams under way, and opens no more.
func (t *transport) hangUp() {
	t.hang()
	t.mu.Lock()
	t.shut = true
	open := make([]net.Conn, 0, len(t.open))
	for c := range t.open {
		open = append(open, c)
	}
	t.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

// Shutdown implements memberlist.Transport. The sockets are the port's.
func (t *transport) Shutdown() error {
	t.hangUp()
	close(t.done)
	return nil
}
