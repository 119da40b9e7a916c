//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// space is a network namespace. A thread of ours lives in it and starts
// whatever is to run there; the namespace has no name and ends with it, so
// that nothing is left behind however this process ends.
type space struct {
	path string // under /proc, for as long as the thread lives
	id   string // what /proc/PID/ns/net of its processes reads
	work chan func()
}

func newSpace() (*space, error) {
	s := &space{work: make(chan func())}
	made := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- fmt.Errorf("make a network namespace: %w", err)
			return
		}
		s.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		id, err := os.Readlink(s.path)
		s.id = id
		made <- err
		if err != nil {
			return
		}
		for f := range s.work {
			f()
		}
	}()
	return s, <-made
}

// do runs f on the thread that is in the namespace, and waits for it.
func (s *space) do(f func() error) error {
	done := make(chan error)
	s.work <- func() { done <- f() }
	return <-done
}

func (s *space) close() { close(s.work) }

// pids are the processes in the namespaces.
func pids(of ...*space) []int {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1) // no more than the names: there are many
	var list []int
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil || pid == os.Getpid() {
			continue
		}
		id, err := os.Readlink("/proc/" + n + "/ns/net")
		if err == nil && slices.ContainsFunc(of, func(s *space) bool { return s != nil && s.id == id }) {
			list = append(list, pid)
		}
	}
	return list
}

// kill ends every process in the namespaces, also those that were born
// meanwhile. It gives up after a second.
func kill(in ...*space) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for range 100 {
		all := pids(in...)
		if len(all) == 0 {
			return
		}
		tell(all, syscall.SIGKILL)
		<-tick.C
	}
}
