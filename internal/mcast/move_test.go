package mcast

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// notice calls the function when a line with the text is logged.
type notice struct {
	text string
	call func()
}

func (n notice) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(n.text)) {
		n.call()
	}
	return len(b), nil
}

// TestCancelledWhileItMoves ends a Run whose address is gone, and whose port is
// taken at the one there is: that is said, and no fault.
func TestCancelledWhileItMoves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := 0
	cfg := loopback(t, false)
	cfg.RequirePort = true
	cfg.Log = zerolog.New(notice{"cannot be used", func() { said++; cancel() }})
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.now.Load()
	l, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.local.Addr(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.ifi.Addr = netip.MustParseAddr("127.9.9.9")
	s.local = l.LocalAddr().(*net.UDPAddr).AddrPort()
	c.every = time.Millisecond
	if err := c.Run(ctx, func([]byte, netip.AddrPort, bool) {}); err != nil || said == 0 {
		t.Errorf("told %d times; Run: %v", said, err)
	}
}
