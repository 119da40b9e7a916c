//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package mcast

import (
	"os"

	"golang.org/x/sys/unix"
)

// shareGroup lets several instances of a host have the group and port. The BSDs
// want SO_REUSEPORT for it too.
func shareGroup(fd, _ int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
	}
	return os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
