package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) cacheStatsVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats [--cache NAME]",
		Short: "Show the caches' sizes, and who has how much of them",
		Long: `Show the caches' sizes, and who has how much of them.

The log's epoch is the master's. In the 3.3 design a master has none: there the
caches count reigns for themselves, and the epoch is theirs alone.`,
		Args: noArgs,
	}
	t := a.cacheFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(t.target)
		if err != nil {
			return err
		}
		s, err := c.CacheStats(cmd.Context())
		if err != nil {
			return err
		}
		if t.cache != "" {
			one, err := s.Named(t.cache)
			if err != nil {
				return err
			}
			s.Caches = []admin.NamedCache{one}
		}
		return a.print(s, func(w io.Writer, st style) { cacheTable(w, st, s) })
	}
	return cmd
}

// cacheTable is what an instance keeps: its place in the log, the caches, and
// on the master the slaves.
func cacheTable(w io.Writer, st style, s admin.CacheStats) {
	line := func(label, text string) { printLine(w, st.faint(fmt.Sprintf("%-*s", labelWidth, label))+text) }
	text := st.green(s.Role)
	if s.Copy != nil {
		text = s.Role + ", " + copyText(s.Copy)
	}
	line("instance", st.bold(s.Instance)+"  "+text)
	line("log", fmt.Sprintf("record %d of epoch %d, %s kept for slaves that lag", s.Seq, s.Epoch, sizeText(s.RingBytes)))
	line("address", fmt.Sprintf("%s, %s", s.Address, count(s.Members, "member")))
	var counted []string
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		if n := s.Counters[name]; n > 0 {
			counted = append(counted, fmt.Sprintf("%s %d", name, n))
		}
	}
	label := "counted"
	for _, text := range wrapped(counted, 80-labelWidth) {
		line(label, text)
		label = ""
	}

	fmt.Fprintln(w)
	head := []cell{{text: "CACHE"}, {text: "ENTRIES", right: true}, {text: "AT MOST", right: true}, {text: "IN FLIGHT", right: true},
		{text: "ORPHANS", right: true}, {text: "SIZE", right: true}, {text: "EXPIRES"}, {text: "PUTS"}}
	var rows [][]cell
	for _, c := range s.Caches {
		most := "any"
		if c.MaxEntries > 0 {
			most = strconv.Itoa(c.MaxEntries)
		}
		puts := "async"
		if c.Synchronous {
			puts = "sync"
		}
		orphans := cell{text: strconv.Itoa(c.Orphans), right: true}
		if c.Orphans > 0 {
			orphans.paint = st.yellow
		}
		rows = append(rows, []cell{{text: keyText(c.Name), long: true}, {text: strconv.Itoa(c.Entries), right: true}, {text: most, right: true},
			{text: strconv.Itoa(c.InFlight), right: true}, orphans, {text: sizeText(c.Bytes), right: true}, {text: expiryText(c)}, {text: puts}})
	}
	table(w, st, head, rows)

	if len(s.Slaves) == 0 {
		return
	}
	fmt.Fprintln(w)
	head = []cell{{text: "SLAVE"}, {text: "STANDING"}, {text: "BEHIND", right: true}, {text: "HEARD", right: true}, {text: "ADDRESS"}}
	rows = nil
	for _, f := range s.Slaves {
		standing := cell{text: "in step", paint: st.green}
		switch {
		case f.Snapshot:
			standing = cell{text: "fetches all", paint: st.yellow}
		case !f.InStep:
			standing = cell{text: "out of step", paint: st.yellow}
		}
		name := wordText(f.Name)
		rows = append(rows, []cell{{text: name}, standing, {text: strconv.FormatUint(f.Behind, 10), right: true},
			{text: ageText(f.LastContactMs), right: true}, {text: f.Address}})
	}
	table(w, st, head, rows)
}

func expiryText(c admin.NamedCache) string {
	var parts []string
	if c.TimeToIdleSeconds > 0 {
		parts = append(parts, fmt.Sprintf("idle %d s", c.TimeToIdleSeconds))
	}
	if c.TimeToLiveSeconds > 0 {
		parts = append(parts, fmt.Sprintf("after %d s", c.TimeToLiveSeconds))
	}
	if c.Eternal || len(parts) == 0 {
		return "never"
	}
	return strings.Join(parts, ", ")
}

// wrapped joins words, each with a comma but the last, to lines of at most so
// many columns.
func wrapped(words []string, width int) []string {
	var lines []string
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if n := len(lines) - 1; n >= 0 && len(lines[n])+1+len(w) <= width {
			lines[n] += " " + w
		} else {
			lines = append(lines, w)
		}
	}
	return lines
}
