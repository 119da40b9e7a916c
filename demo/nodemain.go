package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/node"
)

// NodeMain is the whole life of one of the demo's instances. args are the path
// of its API's socket, that of the world's, that of the binary to run as
// COMMAND, and then settings as KEY=VALUE. It returns the exit code.
//
// On stdin it takes the orders of [cut.order]; the end of stdin is the end of
// the demo, and ends it at once. On stdout it answers, and tells what it hears.
func NodeMain(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) < 3 {
		fmt.Fprintln(stderr, "demo-node: it is started by interlok-ha demo, not by hand")
		return 2
	}
	if err := runNode(args, environ, stdin, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "demo-node:", err)
		return 1
	}
	return 0
}

func runNode(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	socket, world, binary, sets := args[0], args[1], args[2], args[3:]
	s, err := config.Load(config.Source{Sets: sets, Hostname: "demo"})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	reigns := make(chan string, 1024)
	c := &cut{reigns: reigns}
	over := make(chan struct{})
	n, err := node.New(node.Options{
		Settings: s, Command: []string{binary, "demo-work", world}, Environ: environ,
		Stderr: stderr, Log: nodeLog(stderr), Now: over, SocketPath: socket, Drop: c.drop, Keeper: true,
	})
	if err != nil {
		return err
	}

	lines := make(chan string)
	go func() { // ends with the process: a read of stdin cannot be broken off
		in := bufio.NewScanner(stdin)
		for in.Scan() {
			lines <- in.Text()
		}
		close(over)
	}()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	ready := n.Ready()
	for {
		select {
		case <-ready:
			ready = nil
			fmt.Fprintln(stdout, "ready")
		case line := <-lines:
			if names, ok := c.order(line); ok {
				fmt.Fprintln(stdout, "dropping "+names)
			}
		case name := <-reigns:
			fmt.Fprintln(stdout, "reigns "+name)
		case err := <-ended:
			return err
		}
	}
}

// nodeLog is the console log of `interlok-ha run`, without colour.
func nodeLog(w io.Writer) zerolog.Logger {
	c := zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: "15:04:05.000"}
	return zerolog.New(c).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().Format("2006-01-02T15:04:05.000Z07:00"))
	}))
}
