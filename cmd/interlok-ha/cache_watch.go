package main

import (
	"fmt"
	"strconv"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) cacheWatchVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch [--cache NAME]",
		Short: "Tell what changes, as it changes",
		Long: `Tell what changes in the cache from now on, until interrupted. With -o json each
line is one JSON object.`,
		Args: noArgs,
	}
	t := a.cacheFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, name, err := a.openCache(cmd.Context(), t)
		if err != nil {
			return err
		}
		if a.output == "table" { // before the first change, which may be long in coming
			head := changeLine("TIME", "CHANGE", "RECORD", "STATE", "SIZE", "KEY  WORKFLOW  STEP")
			if _, err := fmt.Fprintln(a.stdout, a.styleOf(a.stdout).faint(head)); err != nil {
				return err
			}
		}
		for change, err := range c.CacheWatch(cmd.Context(), name) {
			if err != nil {
				return err
			}
			if err := a.printChange(change); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func (a *app) printChange(c admin.CacheChange) error {
	switch a.output {
	case "json":
		b, err := jsonOf(c, "")
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(b)
		return err
	case "yaml":
		b, err := yamlOf(c)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "---\n%s", b)
		return err
	}
	st := a.styleOf(a.stdout)
	key := keyText(rawKey(c.Key, c.KeyEncoding))
	if c.Workflow != "" {
		key += "  " + keyText(c.Workflow)
	}
	if c.Step != "" {
		key += "  " + keyText(c.Step)
	}
	size := "-"
	switch c.Op {
	case admin.OpPut, admin.OpUpdate, admin.OpOrphan:
		size = sizeText(int64(c.Size))
	case admin.OpCut:
		key = c.Detail
	}
	seq := "-"
	if c.Seq > 0 {
		seq = strconv.FormatUint(c.Seq, 10)
	}
	line := changeLine(c.Time.Local().Format("15:04:05.000"), c.Op, seq, orDash(c.State), size, key)
	switch c.Op {
	case admin.OpCut:
		line = st.red(line)
	case admin.OpOrphan:
		line = st.yellow(line)
	}
	_, err := fmt.Fprintln(a.stdout, safe(line))
	return err
}

// changeLine has fixed columns: the next line's words are not known yet.
func changeLine(at, op, seq, state, size, key string) string {
	return fmt.Sprintf("%-12s  %-6s  %8s  %-9s  %9s  %s", at, op, seq, state, size, key)
}
