package demo

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr puts a child into a process group of its own, so that a terminal's
// interrupt is the demo's alone to hear, and has it die with the demo.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
}

func freeze(p *os.Process) error { return p.Signal(unix.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(unix.SIGCONT) }

// killGroup kills the process group that a child with childAttr leads.
func killGroup(pid int) { _ = unix.Kill(-pid, unix.SIGKILL) }

// process is somebody else's child. A pidfd is no number that another process
// may get: it is readable once the process has ended.
type process struct{ fd *os.File }

func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	return &process{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// wait returns true when the process has ended, and false after close.
func (p *process) wait() bool {
	c, err := p.fd.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	_ = c.Read(func(fd uintptr) bool { // waits while false
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		ended = n > 0
		return ended || err != nil && err != unix.EINTR
	})
	return ended
}

func (p *process) close() { _ = p.fd.Close() }
