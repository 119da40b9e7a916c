package cloudevents

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// ID is the id of an event: its source, a bar and its id; "" without an id.
func ID(e event.Event) string {
	if e.ID() == "" {
		return ""
	}
	return e.Source() + "|" + e.ID()
}

// Receiver makes fn a step, mostly a Workflow; give it to a client's
// StartReceiver. The id of an event is what id says; nil means ID. What it
// returns may be used by many goroutines if fn may. With a nil step it is fn.
func Receiver(step *profiler.Step, id func(event.Event) string, fn func(context.Context, event.Event) protocol.Result) func(context.Context, event.Event) protocol.Result {
	if step == nil {
		return fn
	}
	respond := Responder(step, id, func(ctx context.Context, e event.Event) (*event.Event, protocol.Result) {
		return nil, fn(ctx, e)
	})
	return func(ctx context.Context, e event.Event) protocol.Result {
		_, result := respond(ctx, e)
		return result
	}
}

// Responder is Receiver for functions that answer with an event.
func Responder(step *profiler.Step, id func(event.Event) string, fn func(context.Context, event.Event) (*event.Event, protocol.Result)) func(context.Context, event.Event) (*event.Event, protocol.Result) {
	if step == nil {
		return fn
	}
	if id == nil {
		id = ID
	}
	return func(ctx context.Context, e event.Event) (*event.Event, protocol.Result) {
		ctx, span := step.BeginPayload(ctx, id(e), e.Data())
		var err error
		defer span.End(&err)
		answer, result := fn(ctx, e)
		err = fault(result)
		return answer, result
	}
}

// fault is what is wrong with a result; an ACK is an error without a fault.
func fault(result protocol.Result) error {
	if protocol.IsACK(result) {
		return nil
	}
	return result
}
