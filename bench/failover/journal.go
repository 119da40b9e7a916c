//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

// apart is the silence after which an actor counts as having paused. Less is
// the scheduler's doing.
const apart = 10 * stamp.Beat

// journalOf is the file that whoever acts on a node stamps.
func journalOf(dir string, node int) string {
	return filepath.Join(dir, fmt.Sprintf("journal-%d", node))
}

// journal reads what the nodes of one trial wrote.
type journal struct {
	dir  string
	done [nodes + 1]int64           // bytes read of each node's file
	acts [nodes + 1][]time.Duration // from 1, ascending
}

// read takes in what is new.
func (j *journal) read() error {
	for i := 1; i <= nodes; i++ {
		f, err := os.Open(journalOf(j.dir, i))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(io.NewSectionReader(f, j.done[i], 1<<30))
		_ = f.Close()
		if err != nil {
			return err
		}
		b = b[:bytes.LastIndexByte(b, '\n')+1] // the rest is being written
		j.done[i] += int64(len(b))
		for line := range bytes.Lines(b) {
			ns, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
			if err != nil {
				return fmt.Errorf("journal of node %d: %w", i, err)
			}
			j.acts[i] = append(j.acts[i], time.Duration(ns))
		}
		slices.Sort(j.acts[i])
	}
	return nil
}

// actors are the nodes that acted since.
func (j *journal) actors(since time.Duration) []int {
	var list []int
	for i := 1; i <= nodes; i++ {
		if n := len(j.acts[i]); n > 0 && j.acts[i][n-1] >= since {
			list = append(list, i)
		}
	}
	return list
}

// first is when any node but one first acted after a time.
func (j *journal) first(after time.Duration, not int) (who int, at time.Duration, ok bool) {
	for i := 1; i <= nodes; i++ {
		n, _ := slices.BinarySearch(j.acts[i], after)
		if i == not || n == len(j.acts[i]) {
			continue
		}
		if t := j.acts[i][n]; !ok || t < at {
			who, at, ok = i, t, true
		}
	}
	return who, at, ok
}

// began is since when a node acts without a pause.
func (j *journal) began(node int) time.Duration {
	acts := j.acts[node]
	k := len(acts) - 1
	for k > 0 && acts[k]-acts[k-1] <= lately {
		k--
	}
	return acts[k]
}

// last is when a node last acted before a time.
func (j *journal) last(before time.Duration, node int) (at time.Duration, ok bool) {
	n, _ := slices.BinarySearch(j.acts[node], before)
	if n == 0 {
		return 0, false
	}
	return j.acts[node][n-1], true
}

// together is for how long two or more nodes acted at once after a time.
func (j *journal) together(after time.Duration) (sum time.Duration) {
	type edge struct {
		at time.Duration
		d  int
	}
	var edges []edge
	for i := 1; i <= nodes; i++ {
		acts := j.acts[i]
		for k := 0; k < len(acts); {
			from := acts[k]
			for k++; k < len(acts) && acts[k]-acts[k-1] <= apart; k++ {
			}
			// A single line is worth one beat: it did act.
			if to := max(acts[k-1], from+stamp.Beat); to > after {
				edges = append(edges, edge{max(from, after), +1}, edge{to, -1})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.d - b.d
	})
	n := 0
	for k, e := range edges {
		if n >= 2 {
			sum += e.at - edges[k-1].at
		}
		n += e.d
	}
	return sum
}
