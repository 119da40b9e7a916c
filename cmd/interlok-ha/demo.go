package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/interlok-ha/interlok-ha/demo"
	"github.com/spf13/cobra"
)

func (a *app) demoVerb() *cobra.Command {
	var verbose, keep bool
	cmd := &cobra.Command{
		Use:   "demo [--verbose] [--keep]",
		Short: "Show a master killed, frozen and cut off, on this machine",
		Long: `Start three instances on this machine, as processes of their own that speak
over lo only, and do to the master what happens to masters: kill it, freeze and
wake it, cut it off and heal, hand over on purpose. Messages flow meanwhile. The
next master tells which were in flight, how far each had come, and what it does
with it. Each event is a line; tables come at the end.

It needs no configuration and no root, takes about 15 seconds, and leaves
nothing behind. It exits 0 only if no message was lost or done twice, no stale
write was taken, and all went as it should. With -o json or yaml only the table
goes to standard output.`,
		Args: noArgs,
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show the logs of the instances too")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the temporary folder")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if runtime.GOOS != "linux" {
			return usageError("the demo needs Linux; "+runtime.GOOS+" has no way to end a command surely when its instance dies", "")
		}
		ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
		if !signal.Ignored(syscall.SIGHUP) { // as nohup does
			ends = append(ends, syscall.SIGHUP)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), ends...)
		defer stop()
		// Caught, so that the end of a pipe (demo | head) is an error of the write
		// and not the end of the process, which has to clean up.
		pipe := make(chan os.Signal, 1)
		signal.Notify(pipe, syscall.SIGPIPE)
		defer signal.Stop(pipe)
		return a.demo(ctx, demo.Config{Verbose: verbose, Keep: keep})
	}
	return cmd
}

func (a *app) demo(ctx context.Context, cfg demo.Config) error {
	story := a.stdout
	if a.output != "table" {
		story = a.stderr
	}
	cfg.Out, cfg.Colour = story, bool(a.styleOf(story))
	cfg.Environ = a.environ
	cfg.Binary = fmt.Sprintf("/proc/%d/exe", os.Getpid())
	report, err := demo.Run(ctx, cfg)
	if report == nil {
		return err
	}
	return errors.Join(a.print(report, func(w io.Writer, st style) { report.Table(w, st.bold, st.red) }), err)
}
