package main

import "github.com/spf13/cobra"

func (a *app) promoteVerb() *cobra.Command {
	var force, yes bool
	cmd := &cobra.Command{
		Use:   "promote [--force --yes]",
		Short: "Have the instance claim mastership now",
		Long: `Have the instance claim mastership now, by the ordinary rules: a live master is
not deposed (that is what switchover is for).

With --force --yes it claims without the votes it needs, for the day a quorum
is lost for good. A master that is heard hands over to it. If the others live
and only cannot be heard, two masters reign.`,
		Args: noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "claim without votes; two masters if the others still live")
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, I know that the others are gone")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case force && !yes:
			return usageError("--force makes two masters if the others still live", "make sure that they are gone, then add --yes")
		case yes && !force:
			return usageError("--yes has a meaning only with --force", "leave it out")
		}
		c, err := a.client(t)
		if err != nil {
			return err
		}
		s, err := c.Promote(cmd.Context(), force)
		if err != nil {
			return err
		}
		return a.after(s, "is "+plainState(s.Instance.State))
	}
	return cmd
}

// plainState is a state as the end of a sentence.
func plainState(state string) string {
	if state == "slave" {
		return "a slave"
	}
	return state
}
