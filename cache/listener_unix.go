//go:build unix

package cache

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenerFile is a copy of a listener for another process. net's own File
// would do, but for this: handed to a new process, it makes the listener, which
// shares its mode, block; then no Close ends an Accept any more.
func listenerFile(l net.Listener) (*os.File, error) {
	s, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("cache: a listener of type %T has no file", l)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	copied := -1
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		copied, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("dup", dupErr)
	}
	return os.NewFile(uintptr(copied), "listener"), nil
}
