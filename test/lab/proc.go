//go:build linux

package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
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

// Alive reports whether a process is there and can still do something: it is no
// zombie, nor has it only to be scheduled once more to end.
func Alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	// proc_pid_stat(5): state, ppid, pgrp, session, tty_nr, tpgid, flags
	_, rest, ok := bytes.Cut(b, []byte(") "))
	f := bytes.Fields(rest)
	if !ok || len(f) < 7 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return false
	}
	const exiting = 0x4 // PF_EXITING
	if flags, err := strconv.ParseUint(string(f[6]), 10, 64); err == nil && flags&exiting != 0 {
		return false
	}
	b, _ = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for _, pending := range []string{"SigPnd:\t", "ShdPnd:\t"} {
		_, rest, _ := bytes.Cut(b, []byte(pending))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if set, err := strconv.ParseUint(string(line), 16, 64); err == nil && set&(1<<(syscall.SIGKILL-1)) != 0 {
			return false
		}
	}
	return true
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
