package shop

import (
	"context"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"time"
)

// patience is how long a call of Take waits for an order; then it is called again.
const patience = 200 * time.Millisecond

// Services are what one socket serves: a source, a sink or both.
type Services struct {
	Source *Source
	Sink   *Sink
	// Latency is how long the sink takes to answer after it took an invoice.
	Latency time.Duration
	// Attached and Left are told of masters that come to the source and go, Wrote
	// of each write to the sink, on the goroutine of the call. An error of
	// Attached refuses a master. May be nil.
	Attached func(Attachment) error
	Left     func(Attachment)
	Wrote    func()
}

// Listen opens a socket: a path with a slash is a Unix socket, all else a TCP address.
func Listen(addr string) (net.Listener, error) { return net.Listen(network(addr), addr) }

func network(addr string) string {
	if strings.Contains(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// Serve answers on l until ctx ends, and returns when all has ended.
func Serve(ctx context.Context, l net.Listener, s Services) error {
	server := rpc.NewServer()
	if s.Source != nil {
		if err := server.RegisterName("Source", &sourceDesk{ctx, s}); err != nil {
			return err
		}
	}
	if s.Sink != nil {
		if err := server.RegisterName("Sink", &sinkDesk{ctx, s}); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			server.ServeConn(c)
		})
	}
}

// sourceDesk answers for a source. Its exported methods are called by net/rpc.
type sourceDesk struct {
	ctx context.Context // ends with the server
	s   Services
}

// Taking is the answer to Take. Stale is no error, since net/rpc knows only
// their text.
type Taking struct {
	Order Order
	OK    bool // Order is one
	Stale bool
}

// Acking is what Ack is told.
type Acking struct {
	Token  string
	Number int
}

// Attach is the first call of a new master's work.
func (d *sourceDesk) Attach(a Attachment, stale *bool) error {
	if _, err := d.s.Source.Attach(a.Token); err != nil {
		*stale = true
		return nil
	}
	if d.s.Attached != nil {
		return d.s.Attached(a)
	}
	return nil
}

// Leave is its last call.
func (d *sourceDesk) Leave(a Attachment, _ *bool) error {
	if d.s.Left != nil {
		d.s.Left(a)
	}
	return nil
}

// Take hands out an order.
func (d *sourceDesk) Take(token string, t *Taking) (err error) {
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	t.Order, t.OK, err = d.s.Source.Take(ctx, token)
	t.Stale = err != nil
	return nil
}

// Ack takes an order off the queue.
func (d *sourceDesk) Ack(a Acking, stale *bool) error {
	*stale = d.s.Source.Ack(a.Token, a.Number) != nil
	return nil
}

// sinkDesk answers for a sink.
type sinkDesk struct {
	ctx context.Context
	s   Services
}

// See shows the sink a token.
func (d *sinkDesk) See(token string, stale *bool) error {
	*stale = d.s.Sink.See(token) != nil
	return nil
}

// Write hands an invoice in.
func (d *sinkDesk) Write(w Write, v *Verdict) error {
	*v = d.s.Sink.Write(w)
	if d.s.Wrote != nil {
		d.s.Wrote()
	}
	if d.s.Latency > 0 {
		wait := time.NewTimer(d.s.Latency)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-d.ctx.Done():
		}
	}
	return nil
}
