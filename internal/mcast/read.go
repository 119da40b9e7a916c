package mcast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readSize is greater than any packet of the protocol, so that one that is
	// too long is seen to be too long instead of being cut to a valid length.
	readSize = 2048
	oobSize  = 128
	// A read can fail for a moment, say when a card goes down. After maxFails
	// failures in a row, pause apart, it is not for a moment.
	maxFails = 20
	pause    = 50 * time.Millisecond
)

// busyAt is how many packets in a rest make it worth one.
const busyAt = 2

// past is the deadline that wakes a blocked read.
var past = time.Unix(1, 0)

// Run receives from both sockets until ctx is cancelled, then returns nil. It
// calls fn for each packet, multicast says by which socket it came. b is valid
// during the call only. Two goroutines call fn, one for each socket. When the
// interface's address or the interface is another one than before, it goes on
// with new sockets.
func (c *Conn) Run(ctx context.Context, fn func(b []byte, from netip.AddrPort, multicast bool)) error {
	for {
		s := c.now.Load()
		to, err := c.receive(ctx, s, fn)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if err := c.move(ctx, s, to); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// receive runs until ctx ends, or until s is to be left for another address.
func (c *Conn) receive(ctx context.Context, s *sockets, fn func(b []byte, from netip.AddrPort, multicast bool)) (to Interface, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := errors.Join(s.group.SetReadDeadline(time.Time{}), s.unicast.SetReadDeadline(time.Time{})); err != nil {
		return to, fmt.Errorf("receive heartbeats: %w", err)
	}
	var wg sync.WaitGroup
	var errGroup, errUnicast error
	wg.Go(func() {
		<-ctx.Done()
		_ = s.group.SetReadDeadline(past) // a closed socket needs no waking
		_ = s.unicast.SetReadDeadline(past)
	})
	wg.Go(func() {
		defer cancel()
		to = c.watch(ctx, s)
	})
	wg.Go(func() {
		defer cancel()
		errGroup = s.read(ctx, s.group, true, fn)
	})
	wg.Go(func() {
		defer cancel()
		errUnicast = s.read(ctx, s.unicast, false, fn)
	})
	wg.Wait()
	return to, errors.Join(errGroup, errUnicast)
}

func (c *sockets) read(ctx context.Context, conn *net.UDPConn, multicast bool, fn func([]byte, netip.AddrPort, bool)) error {
	buf, oob := make([]byte, readSize), make([]byte, oobSize)
	fails := 0
	for {
		n, oobn, _, from, err := conn.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case ctx.Err() != nil:
			return nil
		case tooLong(err):
			n = len(buf)
		case err != nil:
			if fails++; fails >= maxFails || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("receive heartbeats on %v: %w", conn.LocalAddr(), err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			continue
		}
		fails = 0
		if multicast && c.checked && !c.ours(oob[:oobn]) {
			continue
		}
		fn(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), multicast)
		if multicast && c.rest.due(time.Now(), n) && !c.more() {
			c.rest.held = 0
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(c.rest.every):
			}
		}
	}
}

// rest tells when there is so much to read that it pays to let some gather: to
// wake up costs more than to read a packet. The rate is taken anew from time to
// time. When more comes than the socket holds until the rest is over, there is
// none: what a stranger sends would push out what the others say.
type rest struct {
	every time.Duration
	most  int // bytes of the socket's buffer that may fill in a rest
	since time.Time
	// wanted counts what Conn.Wanted was called for: a stranger's packets are no
	// reason for a rest.
	wanted atomic.Int32
	taken  int // of the buffer, by all that came
	held   int // the same, since the last rest began
	busy   bool
}

const (
	// overRests is over how many rests the rate is taken.
	overRests = 20
	// perPacket is what a packet takes of the buffer beside its bytes, and
	// perLong what one takes that is too long to be read whole.
	perPacket = 1280
	perLong   = 64 << 10
)

// Wanted tells that a packet which Run handed on is one of those that this Conn is
// for. Only those count towards a rest; see [Config].
func (c *Conn) Wanted() { c.now.Load().rest.wanted.Add(1) }

// due notes a packet of so many bytes, and reports whether a rest may follow it.
func (r *rest) due(now time.Time, size int) bool {
	if r.every == 0 {
		return false
	}
	if size += perPacket; size >= readSize+perPacket {
		size = perLong
	}
	r.taken += size
	r.held += size
	if full := r.busy && r.held > r.most; full || now.Sub(r.since) >= overRests*r.every {
		r.busy = r.wanted.Swap(0) > overRests*busyAt && !full && r.taken <= overRests*r.most && now.Sub(r.since) < 2*overRests*r.every
		r.since, r.taken = now, 0
	}
	return r.busy
}

// ours reports whether a packet was sent to our group and came in by our
// interface. The kernel filters too where it can (Linux); this is for where it
// cannot.
func (c *sockets) ours(oob []byte) bool {
	dst, index := destination(oob)
	return dst == c.to.Addr().WithZone("") && (index == 0 || index == c.ifi.Index)
}
