package cloudevents

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/client"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Client makes what c sends and requests a step, mostly a Producer; receiving
// is not touched. It may be used by many goroutines if c may. The result is
// that of c, or the error of the fence when the event was not sent. With a nil
// step it is c.
func Client(step *profiler.Step, c client.Client) client.Client {
	if step == nil {
		return c
	}
	return &hooked{c, step}
}

type hooked struct {
	client.Client
	step *profiler.Step
}

func (h *hooked) Send(ctx context.Context, e event.Event) protocol.Result {
	return h.do(ctx, e, func(ctx context.Context) protocol.Result { return h.Client.Send(ctx, e) })
}

func (h *hooked) Request(ctx context.Context, e event.Event) (answer *event.Event, result protocol.Result) {
	result = h.do(ctx, e, func(ctx context.Context) (r protocol.Result) {
		answer, r = h.Client.Request(ctx, e)
		return r
	})
	return answer, result
}

func (h *hooked) do(ctx context.Context, e event.Event, send func(context.Context) protocol.Result) protocol.Result {
	var result protocol.Result
	sent, id := false, ""
	if profiler.ID(ctx) == "" { // outside of any workflow
		id = ID(e)
	}
	refused := h.step.Do(ctx, id, func(ctx context.Context) error {
		sent = true
		result = send(ctx)
		return fault(result)
	})
	if !sent {
		return fmt.Errorf("send event: %w", refused)
	}
	return result
}
