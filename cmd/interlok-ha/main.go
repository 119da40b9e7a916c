// Command interlok-ha takes part in a cluster of instances of which exactly one
// works, and asks or orders the instances that do.
//
// Start with `interlok-ha run -- COMMAND`. Every other verb finds an instance
// of this machine by its Unix socket. One file holds one verb; this one and
// root.go hold what they share.
//
// Data goes to standard output, everything else to standard error. Exit codes:
// 0 done, 1 failed, 2 bad usage, 3 no instance reached; is-master: 0 master,
// 1 slave, 3 unknown; config check: 4 faults; run with a command that ends by
// itself: that command's code; 70: the guard ended the process because work
// would not stop.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/interlok-ha/interlok-ha/demo"
	"github.com/interlok-ha/interlok-ha/workload"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// run is the whole program: it returns the exit code. Nothing below it exits
// or reads the process's environment.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	// These are not verbs but this binary under other names. The keeper must be
	// small and sees none of what follows.
	if len(args) > 0 {
		switch args[0] {
		case "keeper":
			return workload.KeeperMain(args[1:], environ)
		case "demo-node":
			return demo.NodeMain(args[1:], environ, stdin, stdout, stderr)
		}
	}
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, environ: environ, hung: make(chan os.Signal, 1), pipe: make(chan os.Signal, 1)}
	if len(args) > 0 && args[0] == "run" {
		// Before all else: one that comes while the settings are read is kept.
		signal.Notify(a.hung, syscall.SIGHUP)
		defer signal.Stop(a.hung)
	}
	return a.execute(ctx, args)
}
