package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) eventsVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events [--instance NAME | --socket PATH]",
		Short: "Tell what happens, as it happens",
		Long: `Tell what happens, as it happens, until interrupted: the present state first.
With -o json each line is one JSON object.`,
		Args: noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(t)
		if err != nil {
			return err
		}
		first := true
		for e, err := range c.Events(cmd.Context()) {
			if err != nil {
				return err
			}
			if err := a.printEvent(e, first); err != nil {
				return err
			}
			first = false
		}
		return nil
	}
	return cmd
}

func (a *app) printEvent(e admin.Event, first bool) error {
	switch a.output {
	case "json":
		b, err := jsonOf(e, "")
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(b)
		return err
	case "yaml":
		b, err := yamlOf(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "---\n%s", b)
		return err
	}
	st := a.styleOf(a.stdout)
	if first {
		if _, err := fmt.Fprintln(a.stdout, st.faint(eventLine(style(false), "TIME", "EVENT", "STATE", "EPOCH", "MASTER", ""))); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(a.stdout, eventLine(st, e.Time.Local().Format("15:04:05.000"), e.Type, e.State,
		strconv.FormatUint(e.Epoch, 10), orDash(e.Master), detailText(e)))
	return err
}

// eventLine has fixed columns: the next line's words are not known yet.
func eventLine(st style, at, what, state, epoch, master, detail string) string {
	paint := func(s string) string { return s }
	switch what {
	case admin.EventPromoted:
		paint = st.green
	case admin.EventDemoted, admin.EventPeerLeft, admin.EventSettingsDiffer, admin.EventIsolated:
		paint = st.yellow
	case admin.EventConflict, admin.EventClone, admin.EventFault, admin.EventCut:
		paint = st.red
	}
	line := fmt.Sprintf("%-12s  %s  %-11s  %5s  %-8s  %s", at, paint(fmt.Sprintf("%-16s", what)), state, epoch, master, detail)
	return safe(strings.TrimRight(line, " "))
}

func detailText(e admin.Event) string {
	switch {
	case e.Peer == "":
		return e.Detail
	case e.Detail == "":
		return e.Peer
	}
	return e.Peer + ": " + e.Detail
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
