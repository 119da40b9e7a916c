package cache

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestListenOnePort(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, p, err := hostNetwork{}.Listen(netip.MustParseAddrPort(bind))
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			t.Logf("no %s here", bind)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().String() != p.LocalAddr().String() {
			t.Errorf("TCP at %v, UDP at %v", l.Addr(), p.LocalAddr())
		}
		l.Close()
		p.Close()
	}
}

// A number that is free for TCP and not for UDP is passed over.
func TestListenBusy(t *testing.T) {
	log := &gossipLog{}
	h := hostNetwork{log: zerolog.New(log), wait: 300 * time.Millisecond}
	for _, network := range []string{"tcp", "udp"} {
		l, p := gossipListen(t)
		at := l.Addr().(*net.TCPAddr).AddrPort()
		free := p.Close
		if network == "tcp" {
			p.Close()
			free = l.Close
		} else {
			l.Close()
		}
		if _, _, err := h.Listen(at); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("with the %s port taken: %v", network, err)
		}
		// The predecessor's keeper lets go.
		freed := time.AfterFunc(150*time.Millisecond, func() { free() })
		h.wait = portWait
		l, p, err := h.Listen(at)
		if err != nil {
			t.Fatalf("after it was let go: %v", err)
		}
		if freed.Stop() {
			t.Error("both have the port")
		}
		if got := l.Addr().String(); got != at.String() {
			t.Errorf("at %v, want %v", got, at)
		}
		l.Close()
		p.Close()
		h.wait = 300 * time.Millisecond
	}
	if _, _, err := h.Listen(netip.MustParseAddrPort("192.0.2.1:0")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address of others: %v", err)
	}
}

func TestAdvertised(t *testing.T) {
	for _, tt := range []struct{ bound, want string }{
		{"127.0.0.1:5", "127.0.0.1:5"},
		{"[::ffff:10.1.2.3]:5", "10.1.2.3:5"},
		{"[fd00::1]:5", "[fd00::1]:5"},
	} {
		if got := advertised(netip.MustParseAddrPort(tt.bound)); got.String() != tt.want {
			t.Errorf("%s: %v", tt.bound, got)
		}
	}
	got := advertised(netip.MustParseAddrPort("0.0.0.0:5"))
	if !got.Addr().Is4() || got.Addr().IsUnspecified() || got.Port() != 5 {
		t.Errorf("all interfaces: %v", got)
	}
}
