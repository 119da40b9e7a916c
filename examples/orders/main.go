// Command orders is a small service that must run exactly once: it takes orders
// from a source, leads each through three services, and publishes an invoice to
// a sink. Three processes of it run; one works, and if it dies another goes on
// with what was in flight.
//
//	orders source [-listen ADDRESS] [-every TIME] [-count N]
//	orders sink   [-listen ADDRESS]
//	orders work   -name NAME [-source ADDRESS] [-sink ADDRESS] [-set KEY=VALUE]...
//
// README.md says what to try. What a service of your own would have is work in
// this file and package shop's Work; source and sink stand for what you have.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/node"
	"github.com/interlok-ha/interlok-ha/workload"
)

// Where source and sink listen if nothing else is said.
const (
	sourceAddr = "127.0.0.1:7001"
	sinkAddr   = "127.0.0.1:7002"
)

func main() {
	// The keeper tells the other instances at once when this process is dead.
	if len(os.Args) > 1 && os.Args[1] == "keeper" {
		os.Exit(workload.KeeperMain(os.Args[2:], os.Environ()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	verbs := map[string]func(context.Context, []string, io.Writer, io.Writer) error{"source": source, "sink": sink, "work": work}
	if len(args) == 0 || verbs[args[0]] == nil {
		return errors.New("say what to be: source, sink or work")
	}
	return verbs[args[0]](ctx, args[1:], stdout, stderr)
}

// work takes part in the cluster, and does the work while this instance is master.
func work(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("work", flag.ContinueOnError)
	f.SetOutput(stderr)
	name := f.String("name", "", "of this instance")
	from := f.String("source", sourceAddr, "address of the source")
	to := f.String("sink", sinkAddr, "address of the sink")
	verbose := f.Bool("verbose", false, "show the log too")
	// The bytes of an order are kept with its state: then a new master needs
	// nobody to do it again.
	sets := []string{"failover.cluster=orders", "failover.profiler.payload=true"} // of two, the later counts
	f.Func("set", "a setting, as `KEY=VALUE`; may be repeated", func(v string) error {
		sets = append(sets, v)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	if *name == "" {
		return errors.New("each instance needs a -name of its own")
	}
	cfg := node.Config{Environ: os.Environ(), Set: append(sets, "failover.name="+*name), Keeper: true}
	if *verbose {
		cfg.Log = zerolog.New(stderr).With().Timestamp().Logger()
	}
	fmt.Fprintf(stdout, "%s takes part, process %d\n", *name, os.Getpid())
	return node.Run(ctx, cfg, func(ctx context.Context, m *node.Master) (err error) {
		fmt.Fprintf(stdout, "%s reigns, epoch %d\n", *name, m.Epoch())
		defer func() {
			switch {
			case ctx.Err() != nil:
				fmt.Fprintf(stdout, "%s reigns no more\n", *name)
			case err != nil: // it is master still, and begins anew: failover.workload.restart
				fmt.Fprintf(stdout, "%s: the work failed: %v\n", *name, err)
			}
		}()
		market, err := shop.Dial(*from, *to)
		if err != nil {
			return err
		}
		defer func() { _ = market.Close() }()
		w := shop.Work{
			Master: m, Market: market, Instance: *name, StepTime: 20 * time.Millisecond,
			Found: func(left []mirror.Message) {
				fmt.Fprintf(stdout, "%s finds %s in flight\n", *name, messages(len(left)))
			},
			Settled: func(s shop.Settlement) {
				fmt.Fprintf(stdout, "%s: order %s at %q: %s; the sink says %q\n", *name, s.ID, s.Before, s.Did, s.Answer)
			},
		}
		return w.Run(ctx)
	})
}

// messages counts in words.
func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// source makes orders and hands them out.
func source(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("source", flag.ContinueOnError)
	f.SetOutput(stderr)
	addr := f.String("listen", sourceAddr, "address, or path of a Unix socket")
	every := f.Duration("every", 50*time.Millisecond, "time between two orders")
	count := f.Int("count", 0, "how many orders to make; 0: no end")
	if err := f.Parse(args); err != nil {
		return err
	}
	s := shop.NewSource()
	go func() {
		tick := time.NewTicker(*every)
		defer tick.Stop()
		for n := 1; *count == 0 || n <= *count; n++ {
			select {
			case <-tick.C:
				s.Make()
			case <-ctx.Done():
				return
			}
		}
	}()
	l, err := shop.Listen(*addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "the source hands out orders on %s\n", l.Addr())
	err = shop.Serve(ctx, l, shop.Services{Source: s, Attached: func(a shop.Attachment) error {
		fmt.Fprintf(stdout, "%s attaches; %d orders are not acknowledged\n", a.Instance, len(s.Open()))
		return nil
	}})
	made, handed := s.Count()
	fmt.Fprintf(stdout, "%d orders made, %d handed out, %d of them not acknowledged\n", made, handed, len(s.Open()))
	return err
}

// sink takes invoices, and sums them up once a second.
func sink(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("sink", flag.ContinueOnError)
	f.SetOutput(stderr)
	addr := f.String("listen", sinkAddr, "address, or path of a Unix socket")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := shop.Listen(*addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "the sink takes invoices on %s\n", l.Addr())
	start := time.Now()
	s := shop.NewSink(func() time.Duration { return time.Since(start) })
	served := make(chan error, 1)
	go func() { served <- shop.Serve(ctx, l, shop.Services{Sink: s, Latency: 10 * time.Millisecond}) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-tick.C:
		case err := <-served:
			fmt.Fprintln(stdout, sum(s))
			return err
		}
		if now := sum(s); now != last {
			fmt.Fprintln(stdout, now)
			last = now
		}
	}
}

// sum is what a sink has in its books, in words.
func sum(s *shop.Sink) string {
	n := map[shop.Verdict]int{}
	for _, e := range s.Books() {
		n[e.Verdict]++
	}
	return fmt.Sprintf("%d taken, %d repeats refused, %d under an old token refused", n[shop.Taken], n[shop.Repeat], n[shop.Stale])
}
