package mcast

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// shareGroup lets several instances of a host have the group and port, and
// hides the groups that other sockets of the host joined.
func shareGroup(fd, family int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	if family == unix.AF_INET {
		return os.NewSyscallError("setsockopt IP_MULTICAST_ALL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0))
	}
	return os.NewSyscallError("setsockopt IPV6_MULTICAST_ALL", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0))
}

// destination reads the address and the interface that a packet came to, from
// its control messages, without allocating.
func destination(oob []byte) (dst netip.Addr, index int) {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return netip.Addr{}, 0
		}
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[8:12])), int(binary.NativeEndian.Uint32(data)) // in_pktinfo: index, local, destination
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])), int(binary.NativeEndian.Uint32(data[16:])) // in6_pktinfo: destination, index
		}
		oob = rest
	}
	return netip.Addr{}, 0
}

// more reports whether a packet waits in the group socket.
func (c *sockets) more() bool {
	conn, err := c.group.SyscallConn()
	if err != nil {
		return true // closed, says the next read
	}
	size := 0 // of the next packet
	if err := conn.Control(func(fd uintptr) { size, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); err != nil {
		return true
	}
	return size > 0
}

// held is how many bytes the group socket's buffer holds, 0 = not known.
func (c *sockets) held() (size int) {
	conn, err := c.group.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) { size, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
	return size
}
