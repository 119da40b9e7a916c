package admin

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// dialler is the user at the other end, as the kernel knows it.
func dialler(c *net.UnixConn) (uid int, known bool, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false, fmt.Errorf("ask who dialled: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, false, fmt.Errorf("ask who dialled: %w", err)
	}
	if credErr != nil {
		return 0, false, fmt.Errorf("ask who dialled: %w", credErr)
	}
	return int(cred.Uid), true, nil
}
