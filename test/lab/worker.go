//go:build linux

package lab

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	workerVerb = "lab-worker"
	beat       = 5 * time.Millisecond
)

// Worker is the argv of a command that writes to the cluster's journal when it
// starts, every few milliseconds while it runs, and when it ends. Arguments:
//
//	-exit N      end by itself with this code (-signal N: by this signal)
//	-after TIME  when
//	-gate FILE   not before this file is there
//	-linger TIME take so long to end after SIGTERM
//	-deaf        ignore SIGTERM
//	-tree        start descendants: one in its own session, one double-forked, all deaf
func (c *Cluster) Worker(args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	return append([]string{self, workerVerb, "-journal", c.journal}, args...)
}

func workerMain(args []string) int {
	f := flag.NewFlagSet(workerVerb, flag.ExitOnError)
	journal := f.String("journal", "", "")
	exit := f.Int("exit", -1, "")
	sig := f.Int("signal", 0, "")
	after := f.Duration("after", 0, "")
	gate := f.String("gate", "", "")
	linger := f.Duration("linger", 0, "")
	deaf := f.Bool("deaf", false, "")
	tree := f.Bool("tree", false, "")
	fork := f.Bool("fork", false, "")
	_ = f.Parse(args)

	terminated := make(chan os.Signal, 1)
	if *deaf {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(terminated, syscall.SIGTERM)
	}
	out, err := OpenJournal(*journal)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	if *fork { // the middle one of a double fork
		spawn(*journal, "-deaf")
		return 0
	}
	write := func(what string) { out.Write(what, os.Getenv("INTERLOK_HA_TOKEN")) }
	write("start")
	if *tree {
		spawn(*journal, "-deaf")
		spawn(*journal, "-fork")
	}
	var end <-chan time.Time
	wait := *exit >= 0 || *sig > 0
	tick := time.NewTicker(beat)
	for {
		select {
		case <-tick.C:
			write("beat")
			if _, err := os.Stat(*gate); wait && (*gate == "" || err == nil) {
				wait, end = false, time.After(*after)
			}
		case <-end:
			write("end")
			if *sig > 0 {
				signal.Reset()
				_ = unix.Kill(os.Getpid(), syscall.Signal(*sig))
				select {}
			}
			return *exit
		case <-terminated:
			write("term")
			for until := time.Now().Add(*linger); time.Now().Before(until); <-tick.C {
				write("beat")
			}
			write("end")
			return 0
		}
	}
}

// spawn starts a worker in a session of its own and forgets it.
func spawn(journal string, arg string) {
	cmd := exec.Command("/proc/self/exe", workerVerb, "-journal", journal, arg)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "spawn:", err)
		os.Exit(125)
	}
	go func() { _ = cmd.Wait() }()
}

// parseLine reads the fields of a line.
func parseLine(words []string) (e Entry, err error) {
	if len(words) != 5 {
		return e, fmt.Errorf("%d words, want 5", len(words))
	}
	e.What, e.Name, e.Token = words[0], words[1], words[2]
	if e.PID, err = strconv.Atoi(words[3]); err != nil {
		return e, err
	}
	ns, err := strconv.ParseInt(words[4], 10, 64)
	e.At = time.Duration(ns)
	return e, err
}
