package watermill_test

import (
	"context"
	"fmt"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/watermill"
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

// A router takes orders from one topic and publishes them to another.
func Example() {
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{printer{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	profilerCtx, stopProfiler := context.WithCancel(context.Background())
	defer stopProfiler()
	profilerDone := make(chan error, 1)
	go func() { profilerDone <- p.Run(profilerCtx) }()

	router, err := message.NewRouter(message.RouterConfig{}, wm.NopLogger{})
	if err != nil {
		fmt.Println(err)
		return
	}
	in := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, wm.NopLogger{})
	out := gochannel.NewGoChannel(gochannel.Config{}, wm.NopLogger{})
	router.AddMiddleware(watermill.Middleware(p.Workflow("orders"), nil)) // first
	router.AddPublisherDecorators(watermill.Publisher(p.Producer("publish")))
	price := p.Service("price")
	router.AddHandler("take", "in", in, "out", out, func(msg *message.Message) ([]*message.Message, error) {
		var priced *message.Message
		err := price.Do(msg.Context(), "", func(context.Context) error {
			priced = message.NewMessage(msg.UUID, append(msg.Payload, " 10 €"...))
			return nil
		})
		return message.Messages{priced}, err
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- router.Run(ctx) }()
	<-router.Running()

	if err := in.Publish("in", message.NewMessage("order-1", []byte("cheese"))); err != nil { // returns after the ack
		fmt.Println(err)
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	for p.Stats().Open > 0 { // the last ack is heard a moment later
		time.Sleep(time.Millisecond)
	}
	stopProfiler()
	if err := <-profilerDone; err != nil {
		fmt.Println(err)
	}
	// Output:
	// take/order-1 SERVICE price completed
	// take/order-1 PRODUCER publish completed
	// take/order-1 WORKFLOW orders completed
}
