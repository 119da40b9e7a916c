package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/node"
	"github.com/interlok-ha/interlok-ha/workload"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func (a *app) runVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [FILE] [--set KEY=VALUE]... [-- COMMAND ARG...]",
		Short: "Take part; COMMAND runs only while this instance is master",
		Long: `Take part in the cluster. COMMAND runs only while this instance is master, and
without a shell in between. Without COMMAND the instance only holds the role.
FILE is a bootstrap.properties; without one, every setting has a default.

SIGTERM and SIGINT stop COMMAND, then hand over, then exit; a second one stops
at once; the same one within 300 ms counts as the first. SIGHUP reads
failover.key.file and failover.admin.token.file again.`,
		Example: `  interlok-ha run -- ./my-service --port 8080
  interlok-ha run bootstrap.properties --name a -- ./my-service`,
		Args: runArgs,
	}
	s := settingsFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, command := splitArgs(cmd, args)
		if isProgram(file) {
			return usageError(quoted(file)+" is a program, not a file of settings", "a COMMAND stands behind two dashes: interlok-ha run -- "+file)
		}
		if len(command) > 0 && runtime.GOOS != "linux" {
			return usageError("running a COMMAND needs Linux; "+runtime.GOOS+" has no way to end it surely when the instance dies", "")
		}
		loaded, err := a.load(s, file)
		if err != nil {
			return err
		}
		// A log whose reader has gone must not end the instance. Caught, not
		// ignored: COMMAND would inherit the latter.
		signal.Notify(a.pipe, syscall.SIGPIPE)
		log := a.logger()
		for _, warning := range loaded.Warnings {
			log.Warn().Msg(warning)
		}
		return a.takePart(cmd.Context(), loaded, command, log)
	}
	return cmd
}

// takePart runs the instance until it ends or is told to.
func (a *app) takePart(ctx context.Context, s *config.Settings, command []string, log zerolog.Logger) error {
	socket, err := config.SocketPath(a.socketRoot(), s.Cluster, s.Name)
	if err != nil {
		return err
	}
	ctx, now, done := untilSignalled(ctx, log, a.hung)
	defer done()
	n, err := node.New(node.Options{
		Settings:   s,
		Command:    command,
		Environ:    a.environ,
		Stdout:     a.stdout,
		Stderr:     a.stderr,
		Stdin:      a.stdin,
		Log:        log,
		LogDropped: a.log.Dropped,
		Keeper:     !slices.Contains(a.environ, "INTERLOK_HA_TEST_NO_OBITUARY=1"),
		Now:        now,
		Reload:     a.hung,
		SocketPath: socket,
		Version:    readBuild(debug.ReadBuildInfo()).Version,
	})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(a.environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		debug.SetGCPercent(50) // an idle node's heap is mostly what it needs no more
	}
	workload.Slim()
	return n.Run(ctx)
}

// echoTime is how long a signal that comes again is the same one: timeout(1), for
// one, signals its child, and then the group of both.
const echoTime = 300 * time.Millisecond

// untilSignalled ends the context at the first SIGTERM or SIGINT and closes now
// at the second. It hands SIGHUP to hung, many at once as one. Whoever takes
// none must not have it ignored: that would be passed on to COMMAND.
func untilSignalled(parent context.Context, log zerolog.Logger, hung chan os.Signal) (ctx context.Context, now <-chan struct{}, done func()) {
	ctx, cancel := context.WithCancel(parent)
	atOnce := make(chan struct{})
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	signal.Notify(hung, syscall.SIGHUP)
	quit := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		heed(stop, quit, log, cancel, func() { close(atOnce) })
	}()
	return ctx, atOnce, func() {
		signal.Stop(stop)
		signal.Stop(hung)
		close(quit)
		<-ended
		cancel()
	}
}

// heed calls first and second at the signals of these numbers, until quit.
func heed(stop <-chan os.Signal, quit <-chan struct{}, log zerolog.Logger, first, second func()) {
	var was os.Signal
	var at time.Time
	for n := 0; ; {
		select {
		case sig := <-stop:
			if sig == was && time.Since(at) < echoTime {
				continue
			}
			switch n++; n {
			case 1:
				was, at = sig, time.Now()
				first() // and only then the words
				log.Info().Stringer("signal", sig).Msg("Stopping; a second signal stops at once")
			case 2:
				second()
				log.Warn().Stringer("signal", sig).Msg("Stopping at once")
			}
		case <-quit:
			return
		}
	}
}

// isProgram reports whether somebody forgot the dashes: the file begins as a
// script or a program does.
func isProgram(file string) bool {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var head [4]byte
	n, _ := f.Read(head[:])
	return string(head[:min(n, 2)]) == "#!" || string(head[:n]) == "\x7fELF"
}

// runArgs allows one word before the dashes.
func runArgs(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	before := len(args)
	if dash >= 0 {
		before = dash
	}
	if before > 1 {
		return usageError("run takes one FILE, not "+quoted(args[1])+" too", "a COMMAND stands behind two dashes: run -- COMMAND ARG...")
	}
	if dash >= 0 && len(args) == dash {
		return usageError("no COMMAND stands behind the dashes", "leave them out to hold only the role")
	}
	return nil
}

func splitArgs(cmd *cobra.Command, args []string) (file string, command []string) {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 {
		return first(args), nil
	}
	return first(args[:dash]), args[dash:]
}
