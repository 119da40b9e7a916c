package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

const (
	// portWait is how long a port in use is waited for: the keeper of a dead
	// predecessor holds it until it has killed the command.
	portWait = 6 * time.Second
	portPoll = 100 * time.Millisecond
	// portTries bounds the search for a number that is free for TCP and UDP.
	portTries = 32
	// datagramBuffer is asked of the kernel, which may give less.
	datagramBuffer = 1 << 20
)

// keepAlive finds out about a peer that vanished without a word, should nothing
// of our own find it sooner.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 5}

// hostNetwork is this host's sockets.
type hostNetwork struct {
	log  zerolog.Logger
	wait time.Duration // for a port in use; 0: portWait
}

var _ Network = hostNetwork{}

// Listen opens both sockets on one port. A given port that is in use is waited
// for, a few seconds long; for port 0 numbers are tried until both fit.
func (h hostNetwork) Listen(bind netip.AddrPort) (net.Listener, net.PacketConn, error) {
	wait := h.wait
	if wait == 0 {
		wait = portWait
	}
	deadline := time.Now().Add(wait)
	for try := 1; ; try++ {
		l, p, err := listenBoth(bind)
		switch {
		case err == nil:
			return l, p, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return nil, nil, err
		case bind.Port() == 0 && try < portTries:
			continue
		case bind.Port() == 0 || !time.Now().Before(deadline):
			return nil, nil, err
		case try == 1:
			h.log.Info().Stringer("address", bind).Stringer("up_to", wait).Msg("Cache port is in use; waiting for it")
		}
		time.Sleep(portPoll)
	}
}

func listenBoth(bind netip.AddrPort) (net.Listener, net.PacketConn, error) {
	bind = netip.AddrPortFrom(bind.Addr().Unmap(), bind.Port())
	family := "6"
	if bind.Addr().Is4() {
		family = "4"
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := lc.Listen(context.Background(), "tcp"+family, bind.String())
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %v: %w", bind, err)
	}
	bind = netip.AddrPortFrom(bind.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Port())
	p, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(bind))
	if err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("listen on %v: %w", bind, err)
	}
	_ = p.SetReadBuffer(datagramBuffer) // best effort
	return l, p, nil
}

// Dial opens a TCP connection, without Nagle's delay, which is Go's default.
func (hostNetwork) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	return d.DialContext(ctx, "tcp", to.String())
}

// advertised is the address to tell others for a bound one. All interfaces have
// no single address: then it is the first that others might reach, private
// ones before public ones.
func advertised(bound netip.AddrPort) netip.AddrPort {
	ip := bound.Addr().Unmap()
	if ip.IsUnspecified() {
		if a, ok := reachable(ip.Is4()); ok {
			ip = a
		}
	}
	return netip.AddrPortFrom(ip, bound.Port())
}

func reachable(v4 bool) (best netip.Addr, ok bool) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return best, false
	}
	score := func(a netip.Addr) int {
		switch {
		case a.IsPrivate():
			return 3
		case a.IsGlobalUnicast():
			return 2
		case a.IsLoopback():
			return 1
		}
		return 0
	}
	for _, a := range addrs {
		n, isNet := a.(*net.IPNet)
		if !isNet {
			continue
		}
		ip, isIP := netip.AddrFromSlice(n.IP)
		if !isIP {
			continue
		}
		if ip = ip.Unmap(); ip.Is4() == v4 && score(ip) > 0 && (!ok || score(ip) > score(best)) {
			best, ok = ip, true
		}
	}
	return best, ok
}
