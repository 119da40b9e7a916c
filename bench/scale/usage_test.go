//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

// usage is what processes used in a window of time.
type usage struct {
	cpu map[int]time.Duration // by pid
}

// meter notes what processes used so far.
func meter(pids []int) usage {
	u := usage{map[int]time.Duration{}}
	for _, pid := range pids {
		u.cpu[pid] = lab.CPU(pid)
	}
	return u
}

// since is what the same processes used after an earlier note.
func (u usage) since(before usage) usage {
	d := usage{map[int]time.Duration{}}
	for pid, cpu := range u.cpu {
		d.cpu[pid] = cpu - before.cpu[pid]
	}
	return d
}

// of is the time of some of them, least first.
func (u usage) of(pids []int) (list []time.Duration) {
	for _, pid := range pids {
		list = append(list, u.cpu[pid])
	}
	slices.Sort(list)
	return list
}

// sum is that of all.
func (u usage) sum() (total time.Duration) {
	for _, cpu := range u.cpu {
		total += cpu
	}
	return total
}

// keeper is the keeper of a master; slaves have none.
func keeper(t *testing.T, of *lab.Instance) (pid int) {
	t.Helper()
	lab.Wait(t, "a keeper of "+of.Name, soon, func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of.PID)) // any thread may have started it
		for _, f := range threads {
			b, _ := os.ReadFile(f) // empty for a thread that has ended
			for word := range strings.FieldsSeq(string(b)) {
				pid, _ = strconv.Atoi(word)
			}
		}
		return pid > 0
	})
	return pid
}

// datagrams is what the kernel counted in this namespace.
type datagrams struct {
	In, Out, Lost uint64
}

// snmp reads the kernel's counters of UDP.
func snmp(t *testing.T) (d datagrams) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	var head []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != "Udp:":
		case head == nil:
			head = f
		default:
			for n, name := range head {
				v, _ := strconv.ParseUint(f[n], 10, 64) // the first word is no number
				switch name {
				case "InDatagrams":
					d.In = v
				case "OutDatagrams":
					d.Out = v
				case "RcvbufErrors":
					d.Lost = v
				}
			}
			return d
		}
	}
	t.Fatalf("no counters of UDP in %q", b)
	return d
}

// middle is the median of values in order.
func middle[T any](list []T) (m T) {
	if len(list) > 0 {
		m = list[len(list)/2]
	}
	return m
}
