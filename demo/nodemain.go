package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/node"
)

const (
	hands    = 8                     // orders that an instance works on at a time, at most
	stepTime = 15 * time.Millisecond // that each of the three services takes, about
)

// NodeMain is the whole life of one of the demo's instances. args are the path
// of its API's socket, that of the world's, and then settings as KEY=VALUE. It
// returns the exit code.
//
// On stdin it takes the orders of [cut.order]; the end of stdin is the end of
// the demo, and ends it at once. On stdout it answers, and tells what it hears.
func NodeMain(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) < 2 {
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
	socket, world, sets := args[0], args[1], args[2:]
	s, err := config.Load(config.Source{Sets: sets, Hostname: "demo"})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	reigns := make(chan string, 1024)
	c := &cut{reigns: reigns}
	over := make(chan struct{})
	say := &sayer{out: stdout}
	n, err := node.New(node.Options{
		Settings: s, Environ: environ, Stderr: stderr, Log: nodeLog(stderr),
		Now: over, SocketPath: socket, Drop: c.drop, Keeper: true,
		Work: func(ctx context.Context, m *node.Master) error { return reign(ctx, m, s.Name, world, say) },
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
			say.line("ready", "")
		case line := <-lines:
			if names, ok := c.order(line); ok {
				say.line("dropping", names)
			}
		case name := <-reigns:
			say.line("reigns", name)
		case err := <-ended:
			return err
		}
	}
}

// reign is what an instance does while it is master: the work of examples/orders.
func reign(ctx context.Context, m *node.Master, name, world string, say *sayer) error {
	market, err := shop.Dial(world, world)
	if err != nil {
		return err
	}
	defer func() { _ = market.Close() }()
	w := shop.Work{
		Master: m, Market: market, Instance: name, Workers: hands, StepTime: stepTime,
		Found: func(list []mirror.Message) {
			found := make([]finding, len(list))
			for i, m := range list {
				found[i] = finding{m.ID, m.Step}
			}
			say.json("found", found)
		},
		Settled: func(s shop.Settlement) { say.json("settled", s) },
	}
	return w.Run(ctx)
}

// sayer writes what an instance tells the demo, line by line.
type sayer struct {
	mu  sync.Mutex // one line at a time
	out io.Writer
}

func (s *sayer) line(verb, rest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, verb+" "+rest)
}

func (s *sayer) json(verb string, v any) {
	b, err := json.Marshal(v)
	if err == nil {
		s.line(verb, string(b))
	}
}

// nodeLog is the console log of `interlok-ha run`, without colour.
func nodeLog(w io.Writer) zerolog.Logger {
	c := zerolog.ConsoleWriter{Out: w, NoColor: true, TimeFormat: "15:04:05.000"}
	return zerolog.New(c).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().Format("2006-01-02T15:04:05.000Z07:00"))
	}))
}
