package mcast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/windows"
)

// listenGroup opens a socket on all addresses: Windows cannot bind to a group.
func listenGroup(to netip.AddrPort, _ int) (*net.UDPConn, error) {
	network, any := "udp4", "0.0.0.0"
	if to.Addr().Is6() {
		network, any = "udp6", "[::]"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, fmt.Sprintf("%s:%d", any, to.Port()))
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

// tooLong reports whether a read failed because the buffer was too short.
func tooLong(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
