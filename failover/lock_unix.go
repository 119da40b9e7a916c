//go:build unix

package failover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir locks the file name and writes our pid into it.
func lockDir(name string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
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
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	return f, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
