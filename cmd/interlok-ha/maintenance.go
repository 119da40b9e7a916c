package main

import (
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/spf13/cobra"
)

func (a *app) maintenanceVerb() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "maintenance on|off",
		Short: "Forbid claims for a while: nobody takes over, the master stays",
	})
	var length string
	on := &cobra.Command{
		Use:   "on [--for TIME]",
		Short: "Forbid claims in the whole cluster, for a time",
		Args:  noArgs,
	}
	onTarget := a.targetFlags(on)
	on.Flags().StringVar(&length, "for", admin.DefaultMaintenance, "for this `TIME`, like 30m or 2h; then it ends by itself")
	on.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := admin.ParseMaintenance(length)
		if err != nil {
			return err
		}
		return a.maintain(cmd, onTarget, d)
	}
	off := &cobra.Command{
		Use:   "off",
		Short: "Allow claims again",
		Args:  noArgs,
	}
	offTarget := a.targetFlags(off)
	off.RunE = func(cmd *cobra.Command, _ []string) error { return a.maintain(cmd, offTarget, 0) }
	cmd.AddCommand(on, off)
	return cmd
}

func (a *app) maintain(cmd *cobra.Command, t *target, d time.Duration) error {
	c, err := a.client(t)
	if err != nil {
		return err
	}
	s, err := c.Maintenance(cmd.Context(), d)
	if err != nil {
		return err
	}
	return a.after(s, maintenanceText(s, d))
}

func maintenanceText(s admin.Status, d time.Duration) string {
	if d == 0 {
		return "has told the cluster: claims are allowed again"
	}
	until := time.Now().Add(d)
	if u := s.Instance.MaintenanceUntil; u != nil {
		until = u.Time
	}
	return "has told the cluster: nobody claims until " + until.Local().Format(time.DateTime)
}
