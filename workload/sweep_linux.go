package workload

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kin holds the keepers that this process started. It is as global as the
// kernel's table of children it describes: a sweep must not kill the keeper of
// another run. Holding it also keeps a sweep from seeing a keeper that is just
// being started.
var kin = struct {
	sync.Mutex
	keepers map[int]struct{}
}{keepers: map[int]struct{}{}}

// BecomeSubreaper makes orphans below this process its children. A node calls
// it once, before the first Start: only then can it find, and kill, what a
// killed keeper leaves behind, whatever that did to its environment.
//
// It changes nothing for children the process waits for by their id, as
// os/exec does. The process must not wait for "any child".
func BecomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

// sweeper kills what a keeper that died left behind: the processes that carry
// the run's mark, those that this process has adopted, and all below them.
//
// Adopted is a child of ours in another session that is no keeper: what this
// process starts itself is in its own session, and nothing that descends from
// a keeper ever is. (A library user's own child in a new session, started
// during that run, would look the same. That is the price for finding a daemon
// that cleared its environment.)
type sweeper struct {
	mark    []byte
	born    uint64 // nothing older is looked at
	self    int
	session int
	table   procTable
	environ []byte
}

func newSweeper(run string, born uint64) *sweeper {
	session, _ := unix.Getsid(0)
	return &sweeper{
		mark: []byte(runVariable + "=" + run), born: born, self: os.Getpid(), session: session,
		environ: make([]byte, 256<<10),
	}
}

// sweep returns once nothing is left. Should that take long it calls stuck,
// once, with the number of those that resist.
func (s *sweeper) sweep(stuck func(left int)) {
	pause, tries := time.Millisecond, 0
	for {
		left := s.round()
		if left == 0 {
			return
		}
		if tries++; tries == 40 { // about two seconds
			stuck(left)
		}
		// The dying are not all ours to wait for; a look now and then costs
		// less than a file descriptor for each.
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// round kills what one scan finds, waits for our own children among the dead,
// and returns how many it found.
func (s *sweeper) round() int {
	kin.Lock()
	defer kin.Unlock()
	if s.table.scan() != nil {
		return 1 // no descriptor left, perhaps: try again
	}
	left := 0
	for _, p := range s.table.procs {
		if !s.ours(p) {
			continue
		}
		switch {
		case !p.dead():
			left++
			s.table.signal(p, unix.SIGKILL)
		case p.ppid == s.self:
			// Exactly this child, which nobody else knows of.
			if pid, err := unix.Wait4(p.pid, nil, unix.WNOHANG|unix.WALL, nil); pid == 0 && err == nil {
				left++
			}
		}
	}
	return left
}

// ours reports whether p, or what it descends from, belongs to the run.
func (s *sweeper) ours(p proc) bool {
	for range len(s.table.procs) {
		if p.pid == s.self || p.start < s.born {
			return false
		}
		if _, known := kin.keepers[p.pid]; known {
			return false
		}
		if p.ppid == s.self && p.session != s.session || s.marked(p.pid) {
			return true
		}
		parent, ok := s.table.find(p.ppid)
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// marked reports whether the process was started with the run's mark.
func (s *sweeper) marked(pid int) bool {
	path := append(s.table.path[:0], "/proc/"...)
	path = appendInt(path, pid)
	path = append(path, "/environ"...)
	n, ok := s.table.slurp(path, s.environ)
	if !ok {
		return false
	}
	at := bytes.Index(s.environ[:n], s.mark)
	return at == 0 || at > 0 && s.environ[at-1] == 0
}
