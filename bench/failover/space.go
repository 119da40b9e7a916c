//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
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

// pids are the processes in the namespace.
func (s *space) pids() []int {
	var list []int
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, l := range links {
		if id, err := os.Readlink(l); err != nil || id != s.id {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(l, "/")[2]); err == nil && pid != os.Getpid() {
			list = append(list, pid)
		}
	}
	return list
}

// kill ends every process in the namespace, also those that were born
// meanwhile. It gives up after a second.
func (s *space) kill() {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for range 100 {
		pids := s.pids()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-tick.C
	}
}
