package watermill

import (
	"context"
	"errors"
	"runtime"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// errNacked is the fault of a workflow whose handler was content.
var errNacked = errors.New("nacked")

// ID is the id of a message: the handler's name, a slash and the UUID. It is
// the UUID alone outside of a router, and "" without a UUID.
func ID(msg *message.Message) string {
	handler := message.HandlerNameFromCtx(msg.Context())
	if handler == "" || msg.UUID == "" {
		return msg.UUID
	}
	return handler + "/" + msg.UUID
}

// Middleware makes handlers a step, mostly a Workflow, that ends with the ack
// or nack. The id of a message is what id says; nil means ID. With a nil step
// the middleware does nothing.
func Middleware(step *profiler.Step, id func(*message.Message) string) message.HandlerMiddleware {
	if id == nil {
		id = ID
	}
	return func(next message.HandlerFunc) message.HandlerFunc {
		if step == nil {
			return next
		}
		return func(msg *message.Message) ([]*message.Message, error) {
			ctx, span := step.BeginPayload(msg.Context(), id(msg), msg.Payload)
			msg.SetContext(ctx)
			return handle(span, ctx, next, msg)
		}
	}
}

// handle runs next, and sees that the span is ended, now or later.
func handle(span profiler.Span, ctx context.Context, next message.HandlerFunc, msg *message.Message) (out []*message.Message, err error) {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			defer span.End(&err) // sees the panic, and lets it go on
			panic(v)
		}
		if !returned {
			defer span.End(&err)
			runtime.Goexit() // go on with it
		}
	}()
	out, err = next(msg)
	returned = true
	if err != nil || msg.Acked() == nil || msg.Nacked() == nil { // the last two: not made by NewMessage
		span.End(&err)
		return out, err
	}
	for _, m := range out {
		if m != nil && m.Context() == context.Background() {
			m.SetContext(ctx)
		}
	}
	go settle(span, msg.Acked(), msg.Nacked())
	return out, nil
}

// settle ends the span when the message is settled.
func settle(span profiler.Span, acked, nacked <-chan struct{}) {
	var err error
	select {
	case <-acked:
	case <-nacked:
		err = errNacked
	}
	span.End(&err)
}
