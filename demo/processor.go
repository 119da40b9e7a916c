package demo

import (
	"context"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	hands    = 8                     // messages that an order processor works on at a time, at most
	steps    = 4                     // of the work on one message
	stepTime = 20 * time.Millisecond // that each step takes
)

// WorkMain is the whole life of an order processor, the COMMAND of the demo's
// instances; args is the path of the world's socket. It returns the exit code.
// It does first what its predecessors left undone. SIGTERM lets it finish what
// it has in hand.
func WorkMain(args, environ []string, stderr io.Writer) int {
	started := boottime.Now()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if len(args) != 1 {
		fmt.Fprintln(stderr, "demo-work: it is started by interlok-ha demo, not by hand")
		return 2
	}
	world, err := rpc.Dial("unix", args[0])
	if err != nil {
		fmt.Fprintln(stderr, "demo-work: reach the world:", err)
		return 1
	}
	defer world.Close()
	p := &processor{world: world, token: lookup(environ, "INTERLOK_HA_TOKEN")}
	err = world.Call("World.Begin", Beginning{
		Token: p.token, Instance: lookup(environ, "INTERLOK_HA_INSTANCE"), PID: os.Getpid(), Started: started,
	}, &p.undone)
	if err == nil {
		err = p.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, "demo-work:", err)
		return 1
	}
	return 0
}

// processor takes messages, works on them and writes them down.
type processor struct {
	world *rpc.Client
	token string

	mu     sync.Mutex // guards undone
	undone []int
}

// run works until ctx ends and all that was begun is done, or until something fails.
func (p *processor) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, hands)
	var wg sync.WaitGroup
	for range hands {
		wg.Go(func() {
			if err := p.work(ctx); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// work does one message after the other.
func (p *processor) work(ctx context.Context) error {
	for {
		n, err := p.next(ctx)
		if err != nil {
			return err
		}
		if n == 0 { // told to end, or the source has run dry
			<-ctx.Done()
			return nil
		}
		for range steps {
			time.Sleep(stepTime) // the work
		}
		var v Verdict
		if err := p.world.Call("World.Write", Record{Message: n, Token: p.token}, &v); err != nil {
			return fmt.Errorf("write message %d: %w", n, err)
		}
		if v == Stale {
			return fmt.Errorf("write message %d: %w", n, errStale)
		}
	}
}

// next is the number of a message to do, 0 for none.
func (p *processor) next(ctx context.Context) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return 0, nil
	}
	if len(p.undone) > 0 {
		n, p.undone = p.undone[0], p.undone[1:]
		return n, nil
	}
	if err := p.world.Call("World.Take", p.token, &n); err != nil {
		return 0, fmt.Errorf("take a message: %w", err)
	}
	return n, nil
}

func lookup(environ []string, name string) string {
	for _, e := range environ {
		if n, v, ok := strings.Cut(e, "="); ok && n == name {
			return v
		}
	}
	return ""
}
