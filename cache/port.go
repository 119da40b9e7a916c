package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

const (
	// headTime is how long a connection may take to say what it is.
	headTime = 2 * time.Second
	// maxUnsorted is how many may be at it at once.
	maxUnsorted = 64
	// maxDatagram is more than memberlist sends.
	maxDatagram = 2048
	// gossipRate is how many datagrams a second are let through without a key,
	// when anyone can send them. Many times what gossip needs.
	gossipRate  = 2000
	gossipBurst = 4000
	// attachTime is how long a gossip stream waits at start for gossip.
	attachTime = 200 * time.Millisecond
	// farewell is how long the datagram socket stays open for gossip to leave.
	farewell = 2 * time.Second

	failPause    = 5 * time.Millisecond
	failPauseMax = time.Second
	maxFails     = 20
)

// What the first byte of a connection says (PROTOCOL.md §10).
const (
	firstStream = 'I'  // a stream, or an obituary, in the clear
	firstTLS    = 0x16 // a stream, encrypted
	firstLabel  = 244  // gossip with a label
	lastGossip  = 13   // the greatest type of gossip without one
)

// port is the TCP and the UDP socket that gossip and streams share. It sorts
// what comes in.
type port struct {
	now      atomic.Pointer[bound]
	keyed    atomic.Bool // gossip is encrypted
	count    *counters
	lines    *limiter
	unsorted *limit
	ready    chan struct{} // closed when gossip is there for the first time

	mu     sync.Mutex // guards what follows, and changes of now
	gossip *transport // nil: nobody is there to hear it
	ended  bool
}

// bound are the sockets of one address.
type bound struct {
	listener net.Listener
	packets  net.PacketConn
	local    netip.AddrPort
	addr     netip.AddrPort // as told to others, without a zone
	zone     string         // of addr, if it is an IPv6 one of the link
}

func newBound(l net.Listener, p net.PacketConn) *bound {
	b := &bound{listener: l, packets: p}
	if a, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
		b.local, b.zone, b.addr = a, a.Addr().Zone(), unzoned(advertised(a))
	}
	return b
}

func (b *bound) close() error { return errors.Join(b.listener.Close(), b.packets.Close()) }

// newPort takes both sockets over. keyed says that gossip is encrypted.
func newPort(l net.Listener, p net.PacketConn, keyed bool, count *counters, log zerolog.Logger) *port {
	pt := &port{count: count, lines: newLimiter(log), unsorted: newLimit(maxUnsorted), ready: make(chan struct{})}
	pt.now.Store(newBound(l, p))
	pt.keyed.Store(keyed)
	return pt
}

// addr is the address that others are told, without a zone.
func (p *port) addr() netip.AddrPort { return p.now.Load().addr }

// move puts other sockets in the place of those that are there.
func (p *port) move(to *bound) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return errors.Join(ErrClosed, to.close())
	}
	_ = p.now.Swap(to).close()
	return nil
}

// Addresses of one link are told without their zone, which means something to
// this host alone, and used with ours.
func (p *port) zoned(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is6() && a.Addr().IsLinkLocalUnicast() && a.Addr().Zone() == "" {
		return netip.AddrPortFrom(a.Addr().WithZone(p.now.Load().zone), a.Port())
	}
	return a
}

func unzoned(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// close gives up the sockets of a port that was never run.
func (p *port) close() error { return p.now.Load().close() }

// run accepts and receives until ctx ends, and returns nil then, with both
// sockets closed. onStream gets each stream, whose first byte can still be
// read, on a goroutine of its own; run waits for it to return. While gossip is
// saying goodbye the datagram socket stays open.
func (p *port) run(ctx context.Context, onStream func(net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var acceptErr, receiveErr error
	wg.Go(func() {
		defer cancel()
		acceptErr = p.accept(ctx, onStream)
	})
	wg.Go(func() {
		defer cancel()
		receiveErr = p.receive(ctx)
	})
	<-ctx.Done()
	p.mu.Lock()
	p.ended = true
	last, gossip := p.now.Load(), p.gossip
	p.mu.Unlock()
	_ = last.listener.Close()
	gossip.left()
	_ = last.packets.Close()
	wg.Wait()
	return errors.Join(acceptErr, receiveErr)
}

// left waits for gossip to leave, if there is any.
func (t *transport) left() {
	if t == nil {
		return
	}
	late := time.NewTimer(farewell)
	defer late.Stop()
	select {
	case <-t.done:
	case <-late.C:
	}
}

// attach is where memberlist plugs in. It fails once the port has ended.
func (p *port) attach(t *transport) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.gossip != nil {
		return false
	}
	p.gossip = t
	select {
	case <-p.ready:
	default:
		close(p.ready)
	}
	return true
}

// detach makes room for the next, which has another address.
func (p *port) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gossip = nil
}

// awaited is the transport, which at start may take a moment.
func (p *port) awaited() *transport {
	late := time.NewTimer(attachTime)
	defer late.Stop()
	select {
	case <-p.ready:
	case <-late.C:
	}
	return p.attached()
}

func (p *port) attached() *transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gossip
}

// refuse counts what is not let in, and says so once in a while.
func (p *port) refuse(why unwelcome, from net.Addr) {
	p.count.refused(why)
	p.lines.line(zerolog.WarnLevel, why.String()).Stringer("from", from).Str("why", why.String()).Msg("Refused what came to the cache's port")
}

// failing says whether to go on after an error of a socket, and waits a little
// if so. Want of descriptors or memory never ends it: it passes.
func (p *port) failing(ctx context.Context, what string, err error, fails int) bool {
	passes := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
	if errors.Is(err, net.ErrClosed) || !passes && fails >= maxFails {
		return false
	}
	p.lines.line(zerolog.WarnLevel, what).Err(err).Msg("Cache port fails for now: " + what)
	select {
	case <-ctx.Done():
	case <-time.After(min(failPause<<min(fails, 10), failPauseMax)):
	}
	return true
}

func (p *port) accept(ctx context.Context, onStream func(net.Conn)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var fails int
	for {
		b := p.now.Load()
		conn, err := b.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err != nil && p.now.Load() != b:
			continue
		case err != nil:
			if !p.failing(ctx, "accept", err, fails) {
				return fmt.Errorf("accept on %v: %w", b.local, err)
			}
			fails++
			continue
		}
		fails = 0
		turn, ok := p.unsorted.enter(conn)
		if !ok {
			p.refuse(refuseBusy, conn.RemoteAddr())
			_ = conn.Close()
			continue
		}
		wg.Go(func() { p.sort(ctx, conn, turn, onStream) })
	}
}

// sort reads what a connection begins with and hands it on.
func (p *port) sort(ctx context.Context, conn net.Conn, turn *turn, onStream func(net.Conn)) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetReadDeadline(time.Now().Add(headTime))
	head := &headed{Conn: conn}
	why, err := head.first()
	var t *transport
	switch {
	case err != nil || why != refuseNone:
	case head.head[0] == firstStream || head.head[0] == firstTLS:
	case head.head[0] > lastGossip && head.head[0] != firstLabel:
		why = refuseMalformed
	default:
		if t = p.awaited(); t == nil {
			err = errNoGossip
			break
		}
		why, err = head.check(t.label, p.keyed.Load(), false)
	}
	if why == refuseKey || why == refuseCluster {
		head.explain(why, p.keyed.Load())
	}
	if turn.leave() && why == refuseNone {
		why, err = refuseBusy, nil
	}
	if err != nil || why != refuseNone {
		if why != refuseNone {
			p.refuse(why, conn.RemoteAddr())
		}
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if t != nil {
		t.stream(head)
		return
	}
	stop()
	if ctx.Err() != nil {
		_ = conn.Close()
		return
	}
	onStream(head)
}

// receive hands datagrams to gossip.
func (p *port) receive(ctx context.Context) error {
	buf := make([]byte, maxDatagram+1)
	bucket := bucket{left: gossipBurst, last: time.Now()}
	var fails int
	for {
		b := p.now.Load()
		n, from, err := b.packets.ReadFrom(buf)
		if err != nil && p.now.Load() != b {
			continue
		}
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil
			}
			if !p.failing(context.WithoutCancel(ctx), "receive", err, fails) {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("receive on %v: %w", b.local, err)
			}
			fails++
			continue
		}
		fails = 0
		t := p.attached()
		if t == nil {
			continue
		}
		now := time.Now()
		keyed := p.keyed.Load()
		why := checkDatagram(buf[:n], t.label, keyed)
		if why == refuseNone && !keyed && !bucket.take(now) {
			why = refuseBusy
		}
		if why != refuseNone {
			p.refuse(why, from)
			continue
		}
		t.packet(&memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: now})
	}
}

// bucket bounds a rate.
type bucket struct {
	left float64
	last time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.left = min(gossipBurst, b.left+now.Sub(b.last).Seconds()*gossipRate)
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
