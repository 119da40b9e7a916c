package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// hangup sends SIGHUP to the thread that writes, so that it is there when
// Write returns.
type hangup struct{ t *testing.T }

func (h hangup) Write(b []byte) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.Tgkill(os.Getpid(), syscall.Gettid(), syscall.SIGHUP); err != nil {
		h.t.Error(err)
	}
	return len(b), nil
}

// A SIGHUP does not end the process while it reads its settings.
func TestEarlyHangup(t *testing.T) {
	args := []string{"run", "--set", "failover.nonsense=1"}
	if code := run(t.Context(), args, strings.NewReader(""), hangup{t}, hangup{t}, os.Environ()); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}
