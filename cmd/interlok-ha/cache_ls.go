package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

// listing are the flags of the verbs that list entries.
type listing struct {
	limit    int
	all      bool
	after    string
	workflow string
}

func listingFlags(cmd *cobra.Command) *listing {
	l := &listing{}
	f := cmd.Flags()
	f.IntVar(&l.limit, "limit", 100, "at most `N` entries")
	f.BoolVar(&l.all, "all", false, "all entries, however many")
	f.StringVar(&l.after, "after", "", "only entries behind `KEY`")
	f.StringVar(&l.workflow, "workflow", "", "only messages of the workflow `NAME`")
	return l
}

func (a *app) cacheLsVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls [--state STATE] [--workflow NAME] [--orphans]",
		Short: "List the entries, by key",
		Long: `List the entries, by key. What is known of them as messages is known only of
those that were written as messages; for others the state is empty, or in-flight
if they are pinned. An orphan is what only a deposed master had: it is kept
beside the entries until it is dropped with cache rm --orphan.`,
		Args: noArgs,
	}
	t, l := a.cacheFlags(cmd), listingFlags(cmd)
	var state string
	var orphans bool
	cmd.Flags().StringVar(&state, "state", "", "only entries of `STATE`: in-flight, done or failed")
	cmd.Flags().BoolVar(&orphans, "orphans", false, "what deposed masters left, instead of the entries")
	complete(cmd, "state", "in-flight", "done", "failed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, name, err := a.openCache(cmd.Context(), t)
		if err != nil {
			return err
		}
		return a.list(cmd, l, admin.CacheQuery{State: state, Orphans: orphans}, func(ctx context.Context, q admin.CacheQuery) (admin.CachePage, error) {
			return c.CacheList(ctx, name, q)
		})
	}
	return cmd
}

func (a *app) cacheInFlightVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "in-flight [--cache NAME] [--workflow NAME]",
		Short: "List what was begun and is not finished, by key",
		Long: `List what was begun and is not finished, by key. OPEN are the steps of which
only the start was told. After a crash, a producer among them, or one under
DOUBT, may have published or not: only who receives can tell. What stands under
PUBLISHED is known to be out.`,
		Args: noArgs,
	}
	t, l := a.cacheFlags(cmd), listingFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(t.target)
		if err != nil {
			return err
		}
		return a.list(cmd, l, admin.CacheQuery{}, func(ctx context.Context, q admin.CacheQuery) (admin.CachePage, error) {
			return c.InFlight(ctx, t.cache, q)
		})
	}
	return cmd
}

// list asks for as many pages as it takes and prints them as one.
func (a *app) list(cmd *cobra.Command, l *listing, q admin.CacheQuery, ask func(context.Context, admin.CacheQuery) (admin.CachePage, error)) error {
	limit := l.limit
	switch {
	case l.all && cmd.Flags().Changed("limit"):
		return usageError("--limit and --all exclude each other", "")
	case l.all:
		limit = int(^uint(0) >> 1)
	case limit < 1:
		return usageError("--limit must be above zero", "for all entries write --all")
	}
	q.After, q.Workflow = l.after, l.workflow
	var whole admin.CachePage
	for p, err := range admin.Pages(q, func(q admin.CacheQuery) (admin.CachePage, error) {
		q.Limit = min(limit-len(whole.Entries), 5000)
		return ask(cmd.Context(), q)
	}) {
		if err != nil {
			return err
		}
		p.Entries = append(whole.Entries, p.Entries...)
		if whole = p; len(p.Entries) >= limit {
			break
		}
	}
	if whole.Entries == nil {
		whole.Entries = []admin.CacheEntry{} // not null
	}
	if err := a.print(whole, func(w io.Writer, st style) { entryTable(w, st, whole.Entries) }); err != nil {
		return err
	}
	if a.output == "table" {
		st := a.styleOf(a.stderr)
		for _, line := range footer(whole, q) {
			printLine(a.stderr, st.faint(line))
		}
	}
	return nil
}

// footer is what stands under a list.
func footer(p admin.CachePage, q admin.CacheQuery) []string {
	line := fmt.Sprintf("%s: %s, %d in flight", p.Cache, entriesText(p.Total), p.InFlight)
	if p.Orphans > 0 {
		line += ", " + count(p.Orphans, "orphan")
		if !q.Orphans {
			line += " (--orphans)"
		}
	}
	lines := []string{line}
	if text := copyText(p.Copy); text != "" {
		lines = append(lines, text)
	}
	if p.Next != "" {
		lines = append(lines, fmt.Sprintf("%d shown; go on with --after %s, or show --all", len(p.Entries), shellWord(rawKey(p.Next, p.NextEncoding))))
	}
	return lines
}

func entriesText(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return strconv.Itoa(n) + " entries"
}

func entryTable(w io.Writer, st style, entries []admin.CacheEntry) {
	head := []cell{{text: "KEY"}, {text: "STATE"}, {text: "WORKFLOW"}, {text: "STEP"}, {text: "SIZE", right: true}, {text: "AGE", right: true}}
	// Columns that most lists have no use for.
	var orphans, steps, published bool
	for _, e := range entries {
		orphans = orphans || e.Orphan != nil
		steps = steps || len(e.Open) > 0 || len(e.Doubt) > 0
		published = published || len(e.Published) > 0
	}
	if steps {
		head = append(head, cell{text: "TRY", right: true}, cell{text: "OPEN"}, cell{text: "DOUBT"})
	}
	if published {
		head = append(head, cell{text: "PUBLISHED"})
	}
	if orphans {
		head = append(head, cell{text: "ORPHAN OF"})
	}
	rows := make([][]cell, 0, len(entries))
	for _, e := range entries {
		row := []cell{
			{text: keyText(rawKey(e.Key, e.KeyEncoding)), long: true},
			{text: orDash(e.State), paint: statePaint(st, e.State)},
			{text: wordText(e.Workflow), long: true}, {text: wordText(e.Step), long: true},
			{text: sizeText(int64(e.Size)), right: true}, {text: ageText(e.AgeMs), right: true},
		}
		if steps {
			row = append(row, cell{text: strconv.FormatUint(uint64(e.Attempts), 10), right: true},
				cell{text: openText(e.Open), long: true}, cell{text: namesText(e.Doubt), long: true, paint: st.yellow})
		}
		if published {
			row = append(row, cell{text: namesText(e.Published), long: true})
		}
		if e.Orphan != nil {
			row = append(row, cell{text: orphanText(*e.Orphan), paint: st.yellow})
		}
		rows = append(rows, row)
	}
	table(w, st, head, rows)
}

// openText names the steps that have begun.
func openText(open []admin.OpenStep) string {
	names := make([]string, len(open))
	for i, s := range open {
		names[i] = s.Step
	}
	return namesText(names)
}

func namesText(names []string) string {
	const most = 8
	words := make([]string, min(len(names), most))
	for i := range words {
		words[i] = keyText(names[i])
	}
	text := strings.Join(words, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return orDash(text)
}

func wordText(s string) string {
	if s == "" {
		return "-"
	}
	return keyText(s)
}

func statePaint(st style, state string) func(string) string {
	switch state {
	case "in-flight":
		return st.yellow
	case "done":
		return st.green
	case "failed":
		return st.red
	}
	return nil
}

// orphanText names the deposed master.
func orphanText(o admin.Orphan) string {
	name := keyText(o.Name)
	if o.Name == "" {
		name = o.Master[:min(len(o.Master), 8)]
	}
	return strings.TrimSpace(fmt.Sprintf("%s, epoch %d, record %d", name, o.Epoch, o.Seq))
}
