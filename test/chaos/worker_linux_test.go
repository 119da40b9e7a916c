package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	workerVerb = "chaos-worker"
	beatEvery  = 5 * time.Millisecond
	lastWork   = 200 * time.Millisecond
	// hands are how many orders a command works on at once, work is how long one
	// takes at most. What is in work while the next master comes is written late.
	hands = 16
	work  = 60 * time.Millisecond
)

// workerMain is a process of this test binary that is the COMMAND: it beats in
// the journal for as long as it lives, and does orders until it is told to end.
func workerMain(args []string) int {
	f := flag.NewFlagSet(workerVerb, flag.ExitOnError)
	journal := f.String("journal", "", "")
	market := f.String("market", "", "")
	_ = f.Parse(args)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	out, err := lab.OpenJournal(*journal)
	if err != nil {
		fmt.Fprintln(os.Stderr, workerVerb+":", err)
		return 125
	}
	name := os.Getenv("INTERLOK_HA_INSTANCE")
	write := func(what string) { out.Write(what, token()) }
	write("start")
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				write("beat")
			case <-done:
				write("end")
				return
			}
		}
	})
	defer wg.Wait()
	defer close(done)
	for ctx.Err() == nil {
		if err := trade(ctx, name, *market); err != nil && !errors.Is(err, shop.ErrStale) {
			fmt.Fprintln(os.Stderr, workerVerb+":", err)
			return 1
		}
		select { // an older token than another's: wait for a greater one, or for the end
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	<-time.After(rand.N(lastWork)) // it has something to finish, and the next one has to wait for that
	return 0
}

// token is the one now: it can grow during a reign.
func token() string {
	if b, err := os.ReadFile(os.Getenv("INTERLOK_HA_TOKEN_FILE")); err == nil {
		return strings.TrimSpace(string(b))
	}
	return os.Getenv("INTERLOK_HA_TOKEN")
}

// trade does orders until ctx ends or something fails. It checks nothing before
// it writes: here the sink alone stands between a late write and harm.
func trade(ctx context.Context, name, market string) error {
	c, err := shop.Dial(market, market)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	a := shop.Attachment{Token: token(), Instance: name, PID: os.Getpid(), Started: boottime.Now()}
	if err := c.Attach(a); err != nil {
		return err
	}
	busy, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for range hands {
		wg.Go(func() {
			for busy.Err() == nil {
				if err := order(busy, c, a.Token); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		return context.Cause(busy)
	}
	return c.Leave(a)
}

// order does one, if one comes before ctx ends.
func order(ctx context.Context, c *shop.Client, token string) error {
	o, ok, err := c.Take(ctx, token)
	if err != nil || !ok {
		return err
	}
	time.Sleep(rand.N(work)) // the work itself
	w := shop.Write{ID: o.ID(), Token: token, Invoice: shop.Invoice{Order: o.ID()}}
	if _, err := c.Write(context.WithoutCancel(ctx), w); err != nil {
		return err
	}
	return c.Ack(token, o.Number)
}
