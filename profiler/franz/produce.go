package franz

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Produce makes one step, mostly a Producer, of producing records and waiting
// for them. The message is the one in ctx. It may be called by many goroutines.
// The error is that of the first record that failed, or that of the fence when
// none was produced. With a nil step it produces and waits.
func Produce(ctx context.Context, step *profiler.Step, cl *kgo.Client, records ...*kgo.Record) error {
	ran := false
	own := ctx
	err := step.Do(ctx, "", func(ctx context.Context) error {
		ran = true
		for _, r := range records {
			if r.Context == nil {
				r.Context = own // the client would set the step's, which ends with it
			}
		}
		return cl.ProduceSync(ctx, records...).FirstErr()
	})
	if err != nil && !ran {
		return fmt.Errorf("produce records: %w", err)
	}
	return err
}

// NewHook makes each record that a client produces a step, mostly a Producer:
// give it to kgo.NewClient with kgo.WithHooks. The message is the one in the
// record's context, which is that of Produce unless it was set before. A fenced
// step is an error: a hook cannot refuse. With a nil step the hook does nothing.
func NewHook(step *profiler.Step) (kgo.Hook, error) {
	if step != nil && step.Fenced() {
		return nil, errors.New("franz: a hook cannot fence: use Produce")
	}
	return &hook{step}, nil
}

type hook struct{ step *profiler.Step }

var (
	_ kgo.HookProduceRecordBuffered   = (*hook)(nil)
	_ kgo.HookProduceRecordUnbuffered = (*hook)(nil)
)

type openKey struct{}

// open is a record between the two calls of the hook.
type open struct {
	record *kgo.Record
	span   profiler.Span
	own    context.Context // the record's, before
	of     *delivery       // nil: of none, or of one that had ended
}

// OnProduceRecordBuffered starts the step.
func (h *hook) OnProduceRecordBuffered(r *kgo.Record) {
	if h.step == nil {
		return
	}
	o := &open{record: r, own: r.Context}
	if d, _ := o.own.Value(deliveryKey{}).(*delivery); d != nil && d.enter() {
		o.of = d
	}
	ctx, span := h.step.Begin(o.own, "")
	o.span = span
	r.Context = context.WithValue(ctx, openKey{}, o)
}

// OnProduceRecordUnbuffered ends it.
func (h *hook) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if h.step == nil || r.Context == nil {
		return
	}
	o, _ := r.Context.Value(openKey{}).(*open)
	if o == nil || o.record != r {
		return // somebody changed the record's context
	}
	r.Context = o.own
	o.span.End(&err)
	if o.of != nil {
		o.of.settle(err)
	}
}
