package workload

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	// maxVisitors are told at a time; more wait in the listener's queue.
	maxVisitors = 64
	// courtesy is how long a visitor may take to end its side. Closed before,
	// with something of its unread, its kernel might drop what it was told.
	courtesy = 200 * time.Millisecond
	// afterwards is how long the herald stays after the last visitor, or once it
	// was asked to end.
	afterwards = time.Second
)

// herald tells those who dial the node's listener that the node, and all that
// it ran, is dead. It is of use once both are true.
type herald struct {
	listener  int
	node      int // pidfd of the node
	linger    time.Duration
	held      int              // number of Config.HoldFiles
	asked     <-chan os.Signal // to end
	testament [testamentSize]byte

	died     time.Duration // when the node was first seen to be gone; this and the next two on CLOCK_BOOTTIME
	limit    time.Duration // of the whole time
	end      time.Duration // as it stands now
	poll     [2 + maxVisitors]unix.PollFd
	visitors [maxVisitors]visitor
	count    int
	buf      [4096]byte
}

// visitor was told, and may take until to end its side.
type visitor struct {
	fd    int
	until time.Duration
}

// inherit reads what is told, and checks where.
func (h *herald) inherit() error {
	for filled := 0; filled < testamentSize; {
		n, err := unix.Read(fdTestament, h.testament[filled:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return fmt.Errorf("keeper: file %d holds no obituary: it is started by interlok-ha run, not by hand", fdTestament)
		}
		filled += n
	}
	_ = unix.Close(fdTestament)
	if on, err := unix.GetsockoptInt(h.listener, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		return fmt.Errorf("keeper: file %d is no listening socket", h.listener)
	}
	if err := unix.SetNonblock(h.listener, true); err != nil {
		return fmt.Errorf("keeper: make the listener non-blocking: %w", err)
	}
	return nil
}

// look waits for at most so many milliseconds for the end of the node's process
// and reports whether it is gone. The closed pipe does not say so: a process
// may close it, or become another program.
func (h *herald) look(pause int) bool {
	if h.died != 0 {
		return true
	}
	set := [1]unix.PollFd{{Fd: int32(h.node), Events: unix.POLLIN}}
	_, _ = unix.Poll(set[:], pause)
	if set[0].Revents&unix.POLLIN == 0 {
		return false
	}
	h.died = boottime.Now()
	return true
}

// after waits for the same, as long as the herald would linger.
func (h *herald) after() bool {
	for deadline := boottime.Now() + h.linger; !h.look(100); {
		if boottime.Now() >= deadline {
			return false
		}
	}
	return true
}

// serve tells everybody who comes, if the node is gone and no descendant of
// the keeper is left. Until the held files are released nobody else has the
// state directory; from then on a successor may be here, and need the port.
func (h *herald) serve() {
	now := boottime.Now()
	h.limit = now + h.linger
	h.end = h.limit
	quiet()
	successor := h.release()
	for open := true; ; now = boottime.Now() {
		if len(h.asked) > 0 {
			h.asked = nil
			h.limit = min(h.limit, now+afterwards)
			h.end = min(h.end, h.limit)
		}
		if open && now >= h.end {
			open = false
			_ = unix.Close(h.listener)
		}
		if !open && h.count == 0 {
			return
		}
		n := h.prepare(open, successor)
		_, _ = unix.Poll(h.poll[:n], h.pause(now))
		now = boottime.Now()
		if h.poll[1].Revents != 0 {
			h.limit, h.end = now, now
		}
		for i := n - 1; i >= 2; i-- { // from the end: whoever leaves is replaced by the last
			h.attend(i-2, h.poll[i].Revents != 0, now)
		}
		if h.poll[0].Revents != 0 {
			h.receive()
		}
	}
}

// quiet gives up what others may wait for: an end of the node's output, a
// directory to be unmounted.
func quiet() {
	if null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		for fd := range 3 {
			_ = unix.Dup3(null, fd, 0)
		}
		_ = unix.Close(null)
	}
	_ = unix.Chdir("/")
	_ = unix.Close(fdFrames)
	_ = unix.Close(fdReports)
}

// release gives up the held files, and with them their locks. It returns a
// descriptor that becomes readable when one of them is written to, as a
// successor does that has the lock; -1 if there is no such descriptor.
func (h *herald) release() int {
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		watch = -1
	}
	for fd := fdTestament + 1; fd <= fdTestament+h.held; fd++ {
		if watch >= 0 {
			// Watched first: no write goes unseen.
			_, _ = unix.InotifyAddWatch(watch, "/proc/self/fd/"+strconv.Itoa(fd), unix.IN_MODIFY)
		}
		_ = unix.Close(fd)
	}
	return watch
}

// prepare lists what to wait for and returns how much that is.
func (h *herald) prepare(open bool, successor int) int {
	h.poll[0] = unix.PollFd{Fd: -1}
	h.poll[1] = unix.PollFd{Fd: -1}
	if open {
		h.poll[1] = unix.PollFd{Fd: int32(successor), Events: unix.POLLIN}
		if h.count < maxVisitors {
			h.poll[0] = unix.PollFd{Fd: int32(h.listener), Events: unix.POLLIN}
		}
	}
	for i, v := range h.visitors[:h.count] {
		h.poll[2+i] = unix.PollFd{Fd: int32(v.fd), Events: unix.POLLIN}
	}
	return 2 + h.count
}

// pause is how long to wait at most, in milliseconds. A signal is heard a
// little after it interrupts, so that is never long.
func (h *herald) pause(now time.Duration) int {
	next := now + courtesy/2
	if h.end > now {
		next = min(next, h.end)
	}
	for _, v := range h.visitors[:h.count] {
		next = min(next, v.until)
	}
	return int((max(0, next-now) + time.Millisecond - 1) / time.Millisecond)
}

// receive tells all who wait at the listener, as far as there is room.
func (h *herald) receive() {
	for h.count < maxVisitors {
		fd, _, err := unix.Accept4(h.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			time.Sleep(10 * time.Millisecond) // it will pass; until then the listener stays ready
			return
		default: // that one is lost already
			continue
		}
		now := boottime.Now()
		var words [obituarySize]byte
		putObituary(&words, &h.testament, now-h.died)
		// An empty send buffer takes it whole. A visitor that is gone gets nothing.
		_, err = unix.Write(fd, words[:])
		if err == nil {
			err = unix.Shutdown(fd, unix.SHUT_WR)
		}
		if err != nil {
			_ = unix.Close(fd)
			continue
		}
		h.visitors[h.count] = visitor{fd, now + courtesy}
		h.count++
		h.end = min(h.limit, now+afterwards)
	}
}

// attend hears a visitor out, and closes when it has ended or its time is over.
func (h *herald) attend(i int, ready bool, now time.Duration) {
	v := h.visitors[i]
	over := now >= v.until
	if ready {
		n, err := unix.Read(v.fd, h.buf[:])
		over = over || n <= 0 && err != unix.EAGAIN && err != unix.EINTR
	}
	if over {
		_ = unix.Close(v.fd)
		h.count--
		h.visitors[i] = h.visitors[h.count]
	}
}
