package franz

import (
	"context"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// ID is the id of a record: topic/partition/offset.
func ID(r *kgo.Record) string {
	return r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)
}

// Workflow makes fn a step, mostly a Workflow, that ends when fn returned and
// what it produced is settled. The id of a record is what id says; nil means
// ID. What it returns may be used by many goroutines if fn may, and returns
// what fn returns. With a nil step it is fn.
func Workflow(step *profiler.Step, id func(*kgo.Record) string, fn func(context.Context, *kgo.Record) error) func(context.Context, *kgo.Record) error {
	if step == nil {
		return fn
	}
	if id == nil {
		id = ID
	}
	return func(ctx context.Context, r *kgo.Record) error {
		ctx, span := step.BeginPayload(ctx, id(r), r.Value)
		d := &delivery{span: span, open: 1}
		return d.handle(context.WithValue(ctx, deliveryKey{}, d), fn, r)
	}
}

type deliveryKey struct{}

// delivery is a workflow that has not ended.
type delivery struct {
	span profiler.Span

	mu   sync.Mutex // guards all below
	open int        // produced and not settled, and the handler
	err  error      // the first
}

func (d *delivery) handle(ctx context.Context, fn func(context.Context, *kgo.Record) error, r *kgo.Record) (err error) {
	returned := false
	defer func() {
		// In the first two cases the handler is never settled, so that nobody
		// else ends the workflow.
		if v := recover(); v != nil {
			defer d.span.End(&err) // sees the panic, and lets it go on
			panic(v)
		}
		if !returned { // runtime.Goexit, which goes on by itself
			d.span.End(&err)
			return
		}
		d.settle(err)
	}()
	err = fn(ctx, r)
	returned = true
	return err
}

// enter counts one more that the end waits for. It is false after the end.
func (d *delivery) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == 0 {
		return false
	}
	d.open++
	return true
}

// settle counts one less; the last one ends the workflow.
func (d *delivery) settle(err error) {
	d.mu.Lock()
	if d.err == nil {
		d.err = err
	}
	last := d.open == 1
	d.open--
	err = d.err
	d.mu.Unlock()
	if last {
		d.span.End(&err)
	}
}
