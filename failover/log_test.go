package failover_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/failover"
)

// journal keeps the lines of a log.
type journal struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.Write(b)
}

// said are level, peer and epoch of the lines with that message.
func (j *journal) said(t *testing.T, message string) (list []string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range bytes.Lines(j.lines.Bytes()) {
		var l struct {
			Level, Peer, Message string
			Epoch                uint64
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.Message == message {
			list = append(list, fmt.Sprintf("%s %s %d", l.Level, l.Peer, l.Epoch))
		}
	}
	return list
}

// TestLogNamesNewMaster: who only looked on can read later who took over, and
// is told of no master that was there before.
func TestLogNamesNewMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		var logs [3]journal
		i := 0
		c.edit = func(cfg *failover.Config) { cfg.Log = zerolog.New(&logs[i]) }
		var xs [3]*instance
		for i = range xs {
			xs[i] = c.run(i, &disk{})
		}
		time.Sleep(30 * time.Second)
		first := masterOf(xs[:]...)
		const message = "Following another master"
		for j := range logs {
			if got := logs[j].said(t, message); got != nil {
				t.Errorf("n%d says %q of the first master", j, got)
			}
		}
		if first == nil {
			t.Fatal("no master")
		}
		if err := first.m.HandOver([16]byte{}, "test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		second := masterOf(xs[:]...)
		for j, x := range xs {
			var want []string
			if x != second {
				for k, y := range xs {
					if y == second {
						want = []string{fmt.Sprintf("warn n%d 2", k)}
					}
				}
			}
			if got := logs[j].said(t, message); fmt.Sprint(got) != fmt.Sprint(want) || second == first {
				t.Errorf("n%d says %q, want %q", j, got, want)
			}
		}
		for _, x := range xs {
			x.stop()
		}
	})
}
