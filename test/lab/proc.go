//go:build linux

package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Descendants are the live processes that run for an instance of the cluster:
// keepers, commands and all they started. They are known by their environment.
func (c *Cluster) Descendants() []int {
	mark := []byte("INTERLOK_HA_CLUSTER=" + c.Name + "\x00")
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f) // empty for the dead
		if err != nil || !bytes.Contains(b, mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && Alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Alive reports whether a process is there and is no zombie.
func Alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b, []byte(") "))
	return ok && len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// RSS is the resident memory of a process in bytes.
func RSS(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b)
	pages, _ := strconv.Atoi(string(f[1]))
	return pages * os.Getpagesize()
}

// CPU is what a process used of the CPU so far.
func CPU(pid int) (used time.Duration) {
	// Ticks of 10 ms are too coarse for an idle process; the scheduler's own sum,
	// of each thread, is in nanoseconds.
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	for _, f := range threads {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		ns, _, _ := bytes.Cut(b, []byte(" "))
		n, _ := strconv.ParseInt(string(ns), 10, 64)
		used += time.Duration(n)
	}
	return used
}
