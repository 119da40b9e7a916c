//go:build linux

package e2e

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

var idleFor = flag.Duration("idle", 3*time.Second, "how long BenchmarkIdle measures")

// BenchmarkIdle measures a master with a command and two slaves at default
// settings. Run it with -benchtime=1x; -idle=30s gives figures to quote.
func BenchmarkIdle(b *testing.B) {
	c := lab.New(b)
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name, "sleep", "1000")
	}
	m := c.Settled(20 * time.Second)
	lab.Wait(b, "the command runs", soon, func() bool { return m.MustStatus().Workload.PID > 0 })
	keeper := parent(b, m.MustStatus().Workload.PID)
	slave := c.Others(m)[0]
	for b.Loop() {
		// What is measured is the passing of time itself.
		pids := map[string]int{"master": m.PID, "slave": slave.PID, "keeper": keeper}
		before := map[string]time.Duration{}
		for who, pid := range pids {
			before[who] = lab.CPU(pid)
		}
		start := time.Now()
		<-time.After(*idleFor)
		took := time.Since(start)
		for who, pid := range pids {
			mib := float64(lab.RSS(pid)) / (1 << 20)
			cpu := 100 * float64(lab.CPU(pid)-before[who]) / float64(took)
			b.ReportMetric(mib, who+"-MiB")
			b.ReportMetric(cpu, who+"-%cpu")
			limit, most := 20.0, 0.5
			if who == "keeper" {
				limit = 10
			}
			if mib > limit {
				b.Errorf("%s: %.1f MiB resident, want %.0f at most", who, mib, limit)
			}
			if cpu > most {
				b.Errorf("%s: %.2f %% of a core, want %.1f at most", who, cpu, most)
			}
		}
	}
}

// parent is the parent of a process: of a command, its keeper.
func parent(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "PPid:\t")
	n, err := strconv.Atoi(strings.SplitN(rest, "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
