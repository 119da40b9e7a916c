package main

import (
	"io"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) drainVerb() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "drain [--force]",
		Short: "Give the role up and stay out until resume",
		Long: `Have the instance give mastership up, if it has it, and stay out until resume.
A restart does not end it. The last instance that could be master refuses, since
nobody would work any more; --force overrules that.`,
		Args: noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also if nobody is left who could be master")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(t)
		if err != nil {
			return err
		}
		s, err := c.Drain(cmd.Context(), force)
		if err != nil {
			return err
		}
		return a.after(s, "stays out until `interlok-ha resume`")
	}
	return cmd
}

// after prints the state that an order left; said is it in words.
func (a *app) after(s admin.Status, said string) error {
	return a.print(s, func(w io.Writer, st style) {
		printLine(w, st.bold(s.Instance.Name)+" "+said)
		if s.Master == nil {
			printLine(w, st.yellow("no master is known"))
		} else if s.Master.Name != s.Instance.Name {
			printLine(w, st.green(s.Master.Name)+" is master")
		}
	})
}
