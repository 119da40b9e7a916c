//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// report prints what was seen as a table, and keeps it if -results is given.
func report(t *testing.T, all []result) {
	t.Helper()
	if len(all) == 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Many instances on one machine\n\n")
	fmt.Fprintf(&b, "Commit %s, %s, %d cores, %s, load %s when the measurement ended. No command; all instances in one network namespace, where nothing else sends. Each core has to take in %d packets a second at most, so that it is not the machine that is measured: more instances than that allows at the default delay get a longer one.\n\n",
		commit(), time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go version "), load(), perCore)
	fmt.Fprintf(&b, "```sh\nmake bench-scale   # writes this page\n```\n\n")
	line := func(what, predicted string, value func(r result) string) {
		fmt.Fprintf(&b, "| %s | %s |", what, predicted)
		for _, r := range all {
			fmt.Fprintf(&b, " %s |", value(r))
		}
		b.WriteString("\n")
	}
	line("instances", "predicted", func(r result) string { return fmt.Sprint(r.n) })
	b.WriteString("|---|---|" + strings.Repeat("---|", len(all)) + "\n")

	line("delay D, T_down", "", func(r result) string { return fmt.Sprintf("%v, %v", r.delay, r.down()) })
	line("started, the first to the last", "", func(r result) string { return seconds(r.startup) })
	line("election: from the first start to a master", "", func(r result) string { return seconds(r.election) })
	line("election: from the last start", "≤ T_down + 1.5·D", func(r result) string {
		return fmt.Sprintf("%s (%s)", seconds(r.election-r.startup), seconds(r.soonest()))
	})
	line("all follow it, after the last start", "", func(r result) string { return seconds(r.settle) })
	line("claims; reigns", "1; 1", func(r result) string { return fmt.Sprintf("%d; %d", r.claims, r.masters) })
	line("packets to the group, in D", "N", func(r result) string { return each(float64(r.group), r.intervals) })
	line("datagrams sent, in D", "3·N − 2, and 2·N·D/1s of gossip", func(r result) string {
		return fmt.Sprintf("%s (%.0f)", each(float64(r.udp.Out), r.intervals), r.sends())
	})
	line("datagrams received, in D", "N·(N+1) + 2·(N−1), and 2·N·D/1s", func(r result) string {
		return fmt.Sprintf("%s (%.0f)", each(float64(r.udp.In), r.intervals), r.receives())
	})
	line("received by one instance, per second", "(N+1)/D", func(r result) string {
		return fmt.Sprintf("%.1f", float64(r.n+1)*r.intervals/r.window.Seconds())
	})
	line("did not fit a socket", "0", func(r result) string { return fmt.Sprint(r.udp.Lost) })
	line("CPU of a slave (median), of the master, of its keeper, % of a core", "", func(r result) string {
		return fmt.Sprintf("%.2f, %.2f, %.3f", percent(r.slave, r.window), percent(r.master, r.window), percent(r.keeper, r.window))
	})
	line("CPU of all instances and the keeper; of as many bare receivers, % of a core", "", func(r result) string {
		return fmt.Sprintf("%.1f; %.1f", percent(r.ours, r.window), percent(r.bare, r.window))
	})
	line("the same for one packet that one instance gets", "", func(r result) string { return fmt.Sprintf("%.1f µs; %.1f µs", micro(r.oursPer), micro(r.barePer)) })
	line("**ours to bare**", fmt.Sprintf("≤ %.1f from %d on", mostRatio, manyAtLeast), func(r result) string { return fmt.Sprintf("**%.2f**", r.ratio()) })
	line("resident: a slave (most), the master, its keeper, MiB", "", func(r result) string {
		return fmt.Sprintf("%.1f, %.1f, %.1f", mib(r.slaveRSS), mib(r.masterRSS), mib(r.keeperRSS))
	})
	line("kill -9 of the master: the next is heard after (median, most)", "W₀, its turn, a pull", func(r result) string { return spread(r.killed) })
	line("kill -9 of it and its keeper", "", func(r result) string { return spread(r.killedBoth) })
	line("reigns that followed", "one each", func(r result) string { return fmt.Sprintf("%d of %d", r.killReigns, r.kills+r.both) })
	line("rolling restart, a tenth at a time, the master last", "", func(r result) string { return seconds(r.restart) })
	line("reigns that followed", "1", func(r result) string { return fmt.Sprint(r.restartReigns) })
	b.WriteString("\nBare receivers read the packets of the same instances, after these were measured alone. Who sends a packet pays for its delivery to all, so the instances' figure holds that too, the bare receivers' does not.\n")
	fmt.Print("\n" + b.String() + "\n")
	if *results != "" {
		if err := os.WriteFile(*results, []byte(b.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func each(n, intervals float64) string { return fmt.Sprintf("%.1f", n/intervals) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func mib(n int) float64 { return float64(n) / (1 << 20) }

func spread(list []time.Duration) string {
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return fmt.Sprintf("%v, %v", middle(list).Round(time.Millisecond/10), list[len(list)-1].Round(time.Millisecond/10))
}

// commit is what is measured, as git names it.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty=, with changes", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:2], " and ")
}
