package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) switchoverVerb() *cobra.Command {
	var to string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "switchover [--to NAME] [--timeout TIME]",
		Short: "Hand mastership over, and wait until the new master is heard",
		Long: `Hand mastership over: the master stops its work first, then the other starts.
The old master becomes a slave. With failover.key any instance can be asked,
without one only the master.

In the 3.3 design only the master can be asked, and --to takes only the slave at
position 1, by its host:port or its id.`,
		Args: noArgs,
	}
	t := a.targetFlags(cmd)
	cmd.Flags().StringVar(&to, "to", "", "`NAME` of the instance that takes over (default: the next in line)")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "`TIME` to wait for the new master, like 30s (default: the time to stop the work, and the slaves' lease)")
	_ = cmd.RegisterFlagCompletionFunc("to", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.peers(cmd, t), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout < 0 || timeout == 0 && cmd.Flags().Changed("timeout") {
			return usageError("--timeout must be above zero", "write for example 30s")
		}
		if to == "" && cmd.Flags().Changed("to") {
			return usageError("--to names nobody", "leave it out for the next in line")
		}
		c, err := a.client(t)
		if err != nil {
			return err
		}
		master, err := c.Switchover(cmd.Context(), to, timeout)
		if err != nil {
			return err
		}
		return a.print(map[string]string{"master": master}, func(w io.Writer, st style) {
			printLine(w, st.green(master)+" is master")
		})
	}
	return cmd
}

// peers offers the names that could be meant by --to.
func (a *app) peers(cmd *cobra.Command, t *target) []string {
	c, err := a.client(t)
	if err != nil {
		return nil
	}
	s, err := c.Status(cmd.Context())
	if err != nil {
		return nil
	}
	names := []string{s.Instance.Name}
	for _, p := range s.Peers {
		names = append(names, p.Name)
	}
	return names
}
