package workload

import (
	"bytes"
	"encoding/binary"
	"os"
	"sort"
	"unsafe"

	"golang.org/x/sys/unix"
)

// proc is one line of the kernel's process table.
type proc struct {
	pid, ppid, group, session int
	start                     uint64 // clock ticks since boot; with pid it names one process for good
	state                     byte
}

// dead reports whether only the parent's wait is still to come.
func (p proc) dead() bool { return p.state == 'Z' || p.state == 'X' }

// procTable reads /proc. It allocates nothing once it has grown to the size of
// the host, so that the keeper, which scans when memory or time may be short,
// never waits for its garbage collector.
type procTable struct {
	procs []proc // ascending by pid
	dents [16 << 10]byte
	path  [48]byte
	kids  []int
	stat  [1024]byte
}

// scan reads the whole table. Processes come and go while it reads: callers
// scan again until nothing is left to do.
func (t *procTable) scan() error {
	t.procs = t.procs[:0]
	dir, err := t.open("/proc", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	for {
		n, err := unix.Getdents(dir, t.dents[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("getdents", err)
		}
		if n <= 0 {
			break
		}
		// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
		for b := t.dents[:n]; len(b) > 19; {
			size := int(binary.NativeEndian.Uint16(b[16:18]))
			if size < 19 || size > len(b) {
				break
			}
			if pid := digits(b[19:size]); pid > 0 {
				if p, ok := t.read(pid); ok {
					t.procs = append(t.procs, p)
				}
			}
			b = b[size:]
		}
	}
	// The kernel lists pids in ascending order; find depends on it.
	for i := 1; i < len(t.procs); i++ {
		if t.procs[i-1].pid > t.procs[i].pid {
			sort.Slice(t.procs, func(i, j int) bool { return t.procs[i].pid < t.procs[j].pid })
			break
		}
	}
	return nil
}

// read returns the line of one process as it is now.
func (t *procTable) read(pid int) (proc, bool) {
	path := append(t.path[:0], "/proc/"...)
	path = appendInt(path, pid)
	path = append(path, "/stat"...)
	n, ok := t.slurp(path, t.stat[:])
	if !ok {
		return proc{}, false
	}
	return parseStat(pid, t.stat[:n])
}

// children returns the children of a thread of this process, as far as one read
// tells. The slice is good until the next call.
func (t *procTable) children(thread int) []int {
	t.kids = t.kids[:0]
	path := append(t.path[:0], "/proc/self/task/"...)
	path = appendInt(path, thread)
	path = append(path, "/children"...)
	if n, ok := t.slurp(path, t.dents[:]); ok {
		t.kids = parseChildren(t.kids, t.dents[:n])
	}
	return t.kids
}

// parseChildren appends the numbers of a list to kids. Each ends with a space:
// what does not was cut off, and is another process's number.
func parseChildren(kids []int, list []byte) []int {
	for {
		end := bytes.IndexByte(list, ' ')
		if end < 0 {
			return kids
		}
		if pid := digits(list[:end]); pid > 0 {
			kids = append(kids, pid)
		}
		list = list[end+1:]
	}
}

// parseStat reads /proc/PID/stat. The second field, the name in parentheses,
// may hold anything, so reading starts behind the last parenthesis.
func parseStat(pid int, line []byte) (proc, bool) {
	i := bytes.LastIndexByte(line, ')')
	if i < 0 || i+4 > len(line) {
		return proc{}, false
	}
	p := proc{pid: pid, state: line[i+2]}
	line = line[i+4:]
	// Field 4 is the parent, 5 the group, 6 the session, 22 the start time.
	for field := 4; field <= 22; field++ {
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			return proc{}, false
		}
		switch field {
		case 4:
			p.ppid = digits(line[:end])
		case 5:
			p.group = digits(line[:end])
		case 6:
			p.session = digits(line[:end])
		case 22:
			p.start = uint64(max(0, digits(line[:end])))
		}
		line = line[end+1:]
	}
	return p, true
}

// find returns the process of the last scan.
func (t *procTable) find(pid int) (proc, bool) {
	i := sort.Search(len(t.procs), func(i int) bool { return t.procs[i].pid >= pid })
	if i < len(t.procs) && t.procs[i].pid == pid {
		return t.procs[i], true
	}
	return proc{}, false
}

// below reports whether p descends from root, by the last scan.
func (t *procTable) below(p proc, root int) bool {
	// A table that changed while it was read may even show a ring.
	for range len(t.procs) {
		if p.ppid == root {
			return true
		}
		parent, ok := t.find(p.ppid)
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// signal sends sig to the process that p named when it was scanned, and to no
// other that got its number since: the pidfd is opened first and then found to
// be of the same start.
func (t *procTable) signal(p proc, sig unix.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return // gone
	}
	if now, ok := t.read(p.pid); ok && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0) // gone, or not ours to kill: the next scan shows
	}
	_ = unix.Close(fd)
}

// open opens the file of a constant path.
func (t *procTable) open(path string, flags int) (int, error) {
	b := append(t.path[:0], path...)
	b = append(b, 0)
	fd, errno := openAt(b, flags)
	if errno != 0 {
		return -1, &os.PathError{Op: "open", Path: path, Err: errno}
	}
	return fd, nil
}

// slurp reads the beginning of a file into buf.
func (t *procTable) slurp(path, buf []byte) (int, bool) {
	path = append(path, 0)
	fd, errno := openAt(path, 0)
	if errno != 0 {
		return 0, false
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	return n, err == nil && n > 0
}

// openAt is open(2) for a path that ends with a zero byte; the wrapper of the
// standard library allocates.
func openAt(path []byte, flags int) (int, unix.Errno) {
	at := unix.AT_FDCWD
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unix.O_RDONLY|unix.O_CLOEXEC|flags), 0, 0, 0)
	return int(fd), errno
}

// digits reads the decimal number that b starts with, or -1.
func digits(b []byte) int {
	n, i := 0, 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + int(b[i]-'0')
	}
	if i == 0 || i < len(b) && b[i] != 0 {
		return -1
	}
	return n
}

func appendInt(b []byte, n int) []byte {
	var text [20]byte
	i := len(text)
	for {
		i--
		text[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return append(b, text[i:]...)
		}
	}
}
