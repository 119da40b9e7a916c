package node

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/workload"
)

// says is a log that passes on each line.
type says chan string

func (s says) Write(b []byte) (int, error) {
	s <- string(b)
	return len(b), nil
}

// A master without a command has a keeper as long as it is master, and no
// longer: neither the lock nor the port is held by one that is left behind.
func TestBareKeeper(t *testing.T) {
	w := testCommand(t, "unused")
	n := w.n
	n.o.Command = nil
	n.o.Keeper = true
	n.s.Election.Delay, n.s.Election.Retries = time.Second, 5
	lines := make(says, 64)
	n.o.Log = zerolog.New(lines)
	bare, err := newWork(n)
	if err != nil {
		t.Fatal(err)
	}
	n.manager, err = failover.New(failover.Config{
		Election: election.Config{Self: n.id, Name: "test", Delay: time.Second, Retries: 5}, Work: bare,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = bare.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	hear := func(words string) {
		t.Helper()
		select {
		case line := <-lines:
			if !strings.Contains(line, words) {
				t.Fatalf("the log says %s want %q", line, words)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the log does not say %q", words)
		}
	}
	bare.Open(1)
	hear("Keeper started")
	keeperEnviron(t) // only a bare keeper tells its descendants
	bare.Stop(false)
	hear("Keeper ended")
	n.o.Environ = []string{"INTERLOK_HA_BARE_KEEPER=1"} // as a program has that a keeper began anew
	bare.Open(2)
	hear("No keeper")
	n.o.Environ = nil
	bare.Stop(false)
	bare.Open(3)
	hear("Keeper started")

	_ = n.cache.Close()
	_ = n.store.Close()
	lock, err := os.Open(filepath.Join(n.s.StateDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("lock while there is a keeper: %v, want EWOULDBLOCK", err)
	}
	if c, err := net.Dial("tcp4", n.cache.Addr().String()); err != nil {
		t.Errorf("dial while there is a keeper: %v", err)
	} else {
		_ = c.Close()
	}
	cancel()
	<-ended
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("lock after the end: %v", err)
	}
	if _, err := net.Dial("tcp4", n.cache.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after the end: %v, want refused", err)
	}
}

// keeperEnviron looks for a child of this process that says it is a bare keeper.
func keeperEnviron(t *testing.T) {
	t.Helper()
	var children []byte
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tasks {
		b, _ := os.ReadFile(name)
		children = append(append(children, ' '), b...)
	}
	for _, pid := range strings.Fields(string(children)) {
		environ, err := os.ReadFile("/proc/" + pid + "/environ")
		if err == nil && workload.UnderBareKeeper(strings.Split(string(environ), "\x00")) {
			return
		}
	}
	t.Error("no child's environment says that it is a bare keeper's")
}
