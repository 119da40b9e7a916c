//go:build unix

package failover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noFollow: a link in the place of a slot is refused, and a pipe does not block.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// ownerOf is the user that a file belongs to.
func ownerOf(info os.FileInfo) (uid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// lockDir locks the file name and writes our pid into it. On a read-only file
// system it locks the directory instead: nothing can be saved there, which is
// for the election to judge, but a second start must still be refused.
func lockDir(name string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	readOnly := errors.Is(err, unix.EROFS)
	if readOnly {
		f, err = os.Open(filepath.Dir(name))
	}
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	deadline := time.Now().Add(wait)
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		b, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		// A dead holder's keeper has the lock until the holder's work is dead too.
		dying := pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
		if !errors.Is(err, unix.EWOULDBLOCK) || !dying || time.Now().After(deadline) {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("%w (pid %d)", ErrRunning, pid)
			}
			return nil, fmt.Errorf("lock the state directory: %w", err)
		}
		time.Sleep(10 * time.Millisecond) // flock has no way to wait with a limit
	}
	if !readOnly {
		// The pid is for people; a full disk must not keep the instance down.
		// The same length each time, so that it needs no new space.
		_, _ = f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0)
	}
	return f, nil
}
