//go:build unix

package cache

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A copy that is handed to a process must not make the listener block: no
// Close would end its Accept then, and no stop its process.
func TestListenerFileKeepsTheListenerNonBlocking(t *testing.T) {
	c := start(t, "a", nil)
	f, err := c.ListenerFile()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0) // Fd is what exec.Cmd calls
	if err != nil {
		t.Fatal(err)
	}
	if flags&unix.O_NONBLOCK == 0 {
		t.Fatal("the listener blocks")
	}
}
