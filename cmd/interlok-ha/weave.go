package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/interlok-ha/interlok-ha/weave"
	"github.com/spf13/cobra"
)

func (a *app) weaveVerb() *cobra.Command {
	var fence, show bool
	cmd := &cobra.Command{
		Use:   "weave [--fence] [--show] go build|install|run|test [ARG]...",
		Short: "Build a Go program with hooks in it; its source stays as it is",
		Long: `Run the go command so that the steps of the program's workflows tell what they
do: its methods that implement an interface called Workflow, Service or
Producer, those called OnMessage, DoService or Produce, and functions that carry

  //profiler:step NAME [workflow|service|producer|consumer|channel] [fence]

No file of the program is changed, and no line is moved. What it builds reports
to the instance that runs it as its COMMAND; elsewhere the hooks do nothing.
A fenced producer runs only when a slave knows of it, and returns an error if
none does. While woven code is tested, vet stays off.`,
		Example: `  interlok-ha weave go build -o my-service ./cmd/my-service
  interlok-ha weave --show go test ./...`,
		Args: weaveArgs,
	}
	cmd.Flags().BoolVar(&fence, "fence", false, "fence every producer")
	cmd.Flags().BoolVar(&show, "show", false, "list on standard error what is woven")
	cmd.Flags().SetInterspersed(false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.weave(cmd.Context(), weave.Config{Args: args[1:], Environ: a.environ, Fence: fence}, show)
	}
	return cmd
}

func weaveArgs(_ *cobra.Command, args []string) error {
	if len(args) < 2 || args[0] != "go" {
		return usageError("weave needs a go command", "as in: interlok-ha weave go build ./...")
	}
	return nil
}

func (a *app) weave(ctx context.Context, cfg weave.Config, show bool) error {
	temp, err := os.MkdirTemp("", "interlok-ha-weave-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	// Caught from here on, or the folder would stay behind.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	cfg.Temp = temp
	woven, err := weaveUnlessSignalled(ctx, cfg, signals)
	if err != nil {
		return err
	}
	for _, w := range woven.Warnings {
		printLine(a.stderr, "interlok-ha: warning: "+w.String())
	}
	if show {
		for _, p := range woven.Points {
			printLine(a.stderr, "interlok-ha: "+p.String())
		}
	}
	return a.goCommand(cfg, woven.Args, signals)
}

// weaveUnlessSignalled stops `go list` too.
func weaveUnlessSignalled(ctx context.Context, cfg weave.Config, signals <-chan os.Signal) (*weave.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			cancel(fmt.Errorf("stopped by signal: %v", s))
		case <-done:
		}
	}()
	woven, err := weave.Weave(ctx, cfg)
	close(done)
	<-ended
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	return woven, err
}

// goCommand runs go and passes signals on. Those of a terminal reach it twice;
// it takes the first.
func (a *app) goCommand(cfg weave.Config, args []string, signals <-chan os.Signal) error {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = cfg.Dir, cfg.Environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it may have ended just now
			case <-done:
				return
			}
		}
	}()
	err := cmd.Wait()
	close(done)
	<-ended
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return &exit{code: exitOf(e)}
	}
	return err
}

// exitOf is the code of a command that ended, as a shell tells it.
func exitOf(e *exec.ExitError) int {
	if s, ok := e.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return e.ExitCode()
}
