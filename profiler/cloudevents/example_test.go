package cloudevents_test

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/client"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/cloudevents/sdk-go/v2/protocol/gochan"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/cloudevents"
)

// printer is a plugin that prints how steps end.
type printer struct{}

func (printer) Observe(batch []profiler.Event) {
	for _, ev := range batch {
		if ev.Phase != profiler.Started {
			fmt.Println(ev.ID, ev.Step.Kind(), ev.Step.Name(), ev.Phase)
		}
	}
}

// A program receives an order and sends one on.
func Example() {
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{printer{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()

	in, out := gochan.New(), gochan.New()
	source, err := client.New(in)
	if err != nil {
		fmt.Println(err)
		return
	}
	sink, err := client.New(out)
	if err != nil {
		fmt.Println(err)
		return
	}
	sink = cloudevents.Client(p.Producer("publish"), sink)
	received := make(chan error, 1)
	go func() {
		received <- source.StartReceiver(ctx, cloudevents.Receiver(p.Workflow("orders"), nil, func(ctx context.Context, order event.Event) protocol.Result {
			priced := order.Clone()
			priced.SetType("priced")
			priced.SetID(order.ID() + "-priced") // the same at each repeat
			return sink.Send(ctx, priced)
		}))
	}()

	order := event.New()
	order.SetSource("/shop")
	order.SetID("order-1")
	order.SetType("order")
	if err := source.Send(ctx, order); !protocol.IsACK(err) {
		fmt.Println(err)
	}
	in.Close(ctx)
	if err := <-received; err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	// Output:
	// /shop|order-1 PRODUCER publish completed
	// /shop|order-1 WORKFLOW orders completed
}
