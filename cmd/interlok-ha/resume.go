package main

import "github.com/spf13/cobra"

func (a *app) resumeVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Take part again after drain",
		Args:  noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(t)
		if err != nil {
			return err
		}
		s, err := c.Resume(cmd.Context())
		if err != nil {
			return err
		}
		return a.after(s, "takes part again as "+s.Instance.Role)
	}
	return cmd
}
