//go:build linux

// Package main measures many instances on one machine: real processes, all in
// one network namespace of their own, beside as many bare receivers of the same
// packets.
//
// Start with `make bench-scale`, or
//
//	go test -count=1 -v -timeout=60m ./bench/scale -measure
//
// It needs a kernel that gives a network namespace: to root, or to everybody by
// a user namespace. With -short there are few instances, and only counts are
// asserted, which a busy machine cannot spoil. Without -measure nothing runs.
//
// What a packet costs to deliver is paid by who sends it, so the instances pay
// for their own and the bare receivers pay for none: the ratio is no flattery.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

var (
	measure = flag.Bool("measure", false, "measure; without it nothing runs")
	sizes   = flag.String("sizes", "50,100,200", "how many instances, one run each")
	idleFor = flag.Duration("idle", 30*time.Second, "how long each idle cluster is measured")
	results = flag.String("results", "", "file that gets the table as markdown; a full path")
)

// inside marks the process that runs in the namespace.
const inside = "INTERLOK_HA_BENCH_SCALE"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == receiverVerb {
		os.Exit(receiverMain(os.Args[2:]))
	}
	flag.Parse()
	switch {
	case !*measure:
		os.Exit(m.Run())
	case os.Getenv(inside) == "":
		os.Exit(enter())
	}
	if err := raise("lo"); err != nil {
		fmt.Fprintln(os.Stderr, "bench/scale:", err)
		os.Exit(1)
	}
	os.Exit(lab.Main(m))
}

// enter runs this program again, in a network namespace that ends with it.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if !lab.IsRoot() {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			fmt.Fprintln(os.Stderr, "bench/scale: make a network namespace:", err)
			return 1
		}
		return cmd.ProcessState.ExitCode()
	}
	return 0
}

// raise brings an interface up.
func raise(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// clusterSizes reads the flag.
func clusterSizes(t *testing.T) (list []int) {
	t.Helper()
	for word := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 2 {
			t.Fatalf("-sizes %s: %q is no number of instances", *sizes, word)
		}
		list = append(list, n)
	}
	return list
}
