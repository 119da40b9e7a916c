package watermill

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/interlok-ha/interlok-ha/profiler"
)

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
	open := &deliveries{latest: map[string]*delivery{}}
	return func(next message.HandlerFunc) message.HandlerFunc {
		if step == nil {
			return next
		}
		return func(msg *message.Message) ([]*message.Message, error) {
			id := id(msg)
			open.settle(id)
			ctx, span := step.BeginPayload(msg.Context(), id, msg.Payload)
			msg.SetContext(ctx)
			out, err := handle(span, ctx, next, msg)
			if err == nil {
				open.watch(id, span, msg)
			}
			return out, err
		}
	}
}

// handle runs next. Unless all is well so far it ends the span.
func handle(span profiler.Span, ctx context.Context, next message.HandlerFunc, msg *message.Message) (out []*message.Message, err error) {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			defer span.End(&err) // sees the panic, and lets it go on
			panic(v)
		}
		if !returned { // runtime.Goexit, which goes on by itself
			span.End(&err)
		}
	}()
	out, err = next(msg)
	returned = true
	if err != nil {
		span.End(&err)
		return out, err
	}
	for _, m := range out {
		if m != nil && m.Context() == context.Background() {
			m.SetContext(ctx)
		}
	}
	return out, nil
}
