// Command library is a service that runs on one of several instances: the
// master handles the orders that it reads, one id a line, and the others wait.
// Each instance is started with a name of its own:
//
//	printf '%s\n' o-1 o-2 | library failover.name=a failover.interface=lo
//
// What a master had begun and not finished, its successor does again first.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/node"
	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/workload"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "keeper" { // it tells the others at once when this process dies
		os.Exit(workload.KeeperMain(os.Args[2:], os.Environ()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	cfg := node.Config{Set: os.Args[1:], Environ: os.Environ(), Keeper: true}
	if err := run(ctx, cfg, shop{os.Stdin, os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, "library:", err)
		os.Exit(1)
	}
}

// run takes part until ctx ends or there are no more orders.
func run(ctx context.Context, cfg node.Config, orders shop) error {
	return node.Run(ctx, cfg, func(ctx context.Context, m *node.Master) error {
		handle := profiler.Wrap(m.Profiler().Workflow("orders"), orders.handle) // told to the other instances
		for _, left := range m.InFlight() {                                     // what the last master did not finish
			_ = handle(ctx, orders.again(left))
		}
		return orders.consume(ctx, handle) // ctx ends with mastership
	})
}

// shop is where orders come from and go to.
type shop struct {
	in  io.Reader
	out io.Writer
}

// order is one order.
type order string

// ID is what the order is known by on all instances.
func (o order) ID() string { return string(o) }

func (s shop) again(left mirror.Message) order { return order(left.ID) }

func (s shop) handle(_ context.Context, o order) error {
	_, err := fmt.Fprintln(s.out, "handled", o)
	return err
}

// consume hands on one order after the other.
func (s shop) consume(ctx context.Context, handle func(context.Context, order) error) error {
	lines := bufio.NewScanner(s.in)
	for ctx.Err() == nil && lines.Scan() {
		if err := handle(ctx, order(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}
