package shop

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"time"
)

// Client reaches a source and a sink. Safe for concurrent use.
type Client struct{ source, sink *rpc.Client }

// Dial opens a connection to each. They may be the same.
func Dial(source, sink string) (*Client, error) {
	c := &Client{}
	var err error
	if c.source, err = rpc.Dial(network(source), source); err != nil {
		return nil, fmt.Errorf("reach the source: %w", err)
	}
	if c.sink, err = rpc.Dial(network(sink), sink); err != nil {
		return nil, errors.Join(fmt.Errorf("reach the sink: %w", err), c.source.Close())
	}
	return c, nil
}

// Close hangs up. Calls that wait return an error.
func (c *Client) Close() error { return errors.Join(c.source.Close(), c.sink.Close()) }

// Attach makes this one the master that source and sink serve. The sink is
// shown the token first: no older master can write from then on, so that what
// it leaves behind does not change any more.
func (c *Client) Attach(a Attachment) error {
	var stale bool
	if err := c.sink.Call("Sink.See", a.Token, &stale); err != nil {
		return fmt.Errorf("show the sink the token: %w", err)
	}
	if !stale {
		if err := c.source.Call("Source.Attach", a, &stale); err != nil {
			return fmt.Errorf("attach to the source: %w", err)
		}
	}
	return staleness(stale)
}

// Leave tells the source that this master works no more.
func (c *Client) Leave(a Attachment) error {
	var none bool
	if err := c.source.Call("Source.Leave", a, &none); err != nil {
		return fmt.Errorf("leave the source: %w", err)
	}
	return nil
}

// Take takes an order, if one comes soon and before ctx ends. One that comes
// later is handed out again, to the next that attaches.
func (c *Client) Take(ctx context.Context, token string) (o Order, ok bool, err error) {
	t := &Taking{}
	call := c.source.Go("Source.Take", token, t, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		return o, false, nil
	}
	if call.Error != nil {
		return o, false, fmt.Errorf("take an order: %w", call.Error)
	}
	return t.Order, t.OK, staleness(t.Stale)
}

// Ack takes an order off the queue.
func (c *Client) Ack(token string, number int) error {
	var stale bool
	if err := c.source.Call("Source.Ack", Acking{token, number}, &stale); err != nil {
		return fmt.Errorf("acknowledge order %d: %w", number, err)
	}
	return staleness(stale)
}

// Write hands an invoice in, unless ctx has ended. What is on its way cannot be
// called back, so from there on the answer is waited for.
func (c *Client) Write(ctx context.Context, w Write) (v Verdict, err error) {
	// A process that was frozen may look before the timer of ctx has run.
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		return "", context.DeadlineExceeded
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := c.sink.Call("Sink.Write", w, &v); err != nil {
		return "", fmt.Errorf("hand invoice %s in: %w", w.ID, err)
	}
	return v, staleness(v == Stale)
}

func staleness(stale bool) error {
	if stale {
		return ErrStale
	}
	return nil
}
