//go:build linux

package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// header says how and on what was measured.
type header struct {
	commit                string
	began                 time.Time
	took                  time.Duration
	loadBefore, loadAfter string
	runs, workers         int
}

func (b *bench) header(runs, workers int) header {
	return header{commit: b.commit(), began: time.Now(), loadBefore: load(), runs: runs, workers: workers}
}

// commit is what the tree stands at.
func (b *bench) commit() string {
	rev, err := exec.Command("git", "-C", b.root, "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	// What this command itself writes does not count as a change.
	diff, _ := exec.Command("git", "-C", b.root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results").Output()
	commit := string(bytes.TrimSpace(rev))
	if len(diff) > 0 {
		commit += " and changes"
	}
	return commit
}

// load is the load average of 1 and 5 minutes.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b) + " ? ?")
	return f[0] + ", " + f[1]
}

// report prints the tables and writes the files. It fails if ours does not work,
// if something was not measured at all, or, unless the bars are left aside, if
// one does not hold.
func (b *bench) report(h header, all []*trial, missing []string) error {
	m := cells(all)
	promised, broken := verdict(m, b.full)
	md := markdown(h, all, m, missing) + promised
	fmt.Print(md)
	if b.out != "" {
		if err := os.MkdirAll(b.out, 0o755); err != nil {
			return err
		}
		for name, text := range map[string][]byte{"failover.md": []byte(md), "failover.csv": table(all), "failover.svg": plot(h, all, m)} {
			if err := os.WriteFile(filepath.Join(b.out, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	var faulty []error
	for _, t := range all {
		switch {
		case t.err != nil && (t.c.ours || len(m[[2]string{t.c.slug, t.f.name}].took) == 0):
			faulty = append(faulty, fmt.Errorf("%s, %s, run %d: %w", t.c.slug, t.f.name, t.run, t.err))
		case t.never && t.c.ours:
			faulty = append(faulty, fmt.Errorf("%s, %s, run %d: nobody took over", t.c.slug, t.f.name, t.run))
		}
	}
	if b.bars {
		for _, what := range broken {
			faulty = append(faulty, fmt.Errorf("does not hold: %s", what))
		}
	}
	if len(faulty) > 0 {
		return fmt.Errorf("%w\nlogs are kept in %s", errors.Join(faulty...), b.dir)
	}
	if !b.keep {
		return os.RemoveAll(b.dir)
	}
	fmt.Fprintln(os.Stderr, "logs are kept in", b.dir)
	return nil
}

// table is every trial as comma-separated values, for whoever wants to count
// otherwise.
func table(all []*trial) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write([]string{"contender", "settings", "fault", "run", "takeover_ms", "nobody_ms", "two_ms", "two_to_the_end", "changes_before", "outcome"})
	num := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
	for _, t := range all {
		outcome := "ok"
		took, idle, two := num(t.took), num(max(0, t.idle)), num(t.together)
		switch {
		case t.err != nil:
			outcome = "not measured"
		case t.never:
			outcome = "nobody took over"
		}
		if outcome != "ok" {
			took, idle, two = "", "", ""
		}
		_ = w.Write([]string{t.c.name, t.c.settings, t.f.name, fmt.Sprint(t.run), took, idle, two, fmt.Sprint(t.still), fmt.Sprint(t.unasked), outcome})
	}
	w.Flush()
	return out.Bytes()
}

// used are the contenders of the trials, in their order.
func used(all []*trial) []contender {
	has := map[string]bool{}
	for _, t := range all {
		has[t.c.slug] = true
	}
	var list []contender
	for _, c := range contenders() {
		if has[c.slug] {
			list = append(list, c)
		}
	}
	return list
}

func markdown(h header, all []*trial, m map[[2]string]*cell, missing []string) string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format, args...) }
	p("# Take-over time, beside others\n\n")
	p("Written by `make bench-failover`; not by hand. Commit %s, %s, %d cores, load %s before and %s after, %d runs of each, %d at once (half as many where milliseconds count), %v in all.\n\n",
		h.commit, h.began.UTC().Format("2006-01-02 15:04 MST"), runtime.NumCPU(), h.loadBefore, h.loadAfter, h.runs, h.workers, h.took.Round(time.Second))
	p("![take-over times](failover.svg)\n\n")
	p("Three nodes, each in a network namespace of its own, on one bridge. The times, in milliseconds, are from just before the fault to the first act of another node as master: median, 90th percentile in brackets, most.\n\n")
	list := used(all)
	head := func() {
		p("| |")
		for _, f := range faults {
			p(" %s |", f.name)
		}
		p("\n|---|%s\n", strings.Repeat("---|", len(faults)))
	}
	row := func(c contender, text func(*cell) string) {
		who := c.name + ", " + c.settings
		if c.ours {
			who = "**" + who + "**"
		}
		p("| %s |", who)
		for _, f := range faults {
			k := m[[2]string{c.slug, f.name}]
			if k == nil {
				p(" |")
				continue
			}
			var notes []string
			if len(k.took) > 0 {
				notes = append(notes, text(k))
			}
			if k.never > 0 {
				notes = append(notes, fmt.Sprintf("never %d×", k.never))
			}
			if k.failed > 0 {
				notes = append(notes, fmt.Sprintf("not measured %d×", k.failed))
			}
			p(" %s |", strings.Join(notes, "; "))
		}
		p("\n")
	}
	three := func(f figures) string {
		if f.most() == 0 {
			return "0"
		}
		return fmt.Sprintf("%s (%s) %s", ms(f.median()), ms(f.at(0.9)), ms(f.most()))
	}
	head()
	for _, c := range list {
		row(c, func(k *cell) string { return three(k.took) })
	}
	for _, c := range list {
		unasked := 0
		for _, f := range faults {
			if k := m[[2]string{c.slug, f.name}]; k != nil {
				unasked += k.unasked
			}
		}
		if unasked > 0 {
			p("\n- %s, %s: %d changes of master without a fault, while the trials waited for theirs", c.name, c.settings, unasked)
		}
	}
	for _, line := range missing {
		p("\n- %s", line)
	}
	p("\n## Two at once\n\nFor how long two nodes acted as master at once after the fault, likewise. The frozen one goes on, and the cut is healed, 2 s after the take-over; the others are watched for 1 s: `*` after a figure says that they still did at the end, in some run.\n\n")
	head()
	for _, c := range list {
		row(c, func(k *cell) string {
			if k.still > 0 {
				return three(k.together) + " \\*"
			}
			return three(k.together)
		})
	}
	p("\n## Nobody\n\nFor how long nobody acted: from the last act of the old master before the take-over to the first act of the new one.\n\n")
	head()
	for _, c := range list {
		row(c, func(k *cell) string { return three(k.idle) })
	}
	p("\n## How\n\n")
	for _, f := range faults {
		p("- **%s**: %s.\n", f.name, f.what)
	}
	p("\nEach comes at another moment between two heartbeats, the runs of one kind evenly over the first %.0f %% of that time: later, it would often slip behind the next one.\n", 100*latest)
	p("\nWho acts writes the time every 5 ms. What acts, and when it begins:\n\n")
	last := ""
	for _, c := range list {
		if c.name != last {
			p("- **%s** (%s): %s\n", c.name, c.peer.version(), c.how)
		}
		last = c.name
	}
	p("\n")
	return s.String()
}
