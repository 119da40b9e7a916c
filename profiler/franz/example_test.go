package franz_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/franz"
)

// printer is a plugin that prints how steps end.
type printer struct{}

func (printer) Observe(batch []profiler.Event) {
	for _, ev := range batch {
		if ev.Phase != profiler.Started && ev.ID != "" {
			fmt.Println(ev.ID, ev.Step.Kind(), ev.Step.Name(), ev.Phase)
		}
	}
}

// A group takes orders from one topic and produces to another, without waiting
// for each record; it commits when the brokers have them.
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

	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders", "priced"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	hook, err := franz.NewHook(p.Producer("publish"))
	if err != nil {
		fmt.Println(err)
		return
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.WithHooks(hook),
		kgo.ConsumerGroup("pricing"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cl.Close()

	price := franz.Workflow(p.Workflow("price"), nil, func(ctx context.Context, r *kgo.Record) error {
		cl.Produce(ctx, &kgo.Record{Topic: "priced", Value: append(r.Value, " 10 €"...)}, nil)
		return nil
	})
	order := kgo.StringRecord("cheese")
	order.Topic = "orders"
	if err := cl.ProduceSync(ctx, order).FirstErr(); err != nil {
		fmt.Println(err)
		return
	}

	fetches := cl.PollFetches(ctx)
	for r := range fetches.RecordsAll() {
		if err := price(r.Context, r); err != nil {
			fmt.Println(err)
		}
	}
	if err := cl.Flush(ctx); err != nil { // every workflow has ended
		fmt.Println(err)
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		fmt.Println(err)
	}

	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	// Output:
	// orders/0/0 PRODUCER publish completed
	// orders/0/0 WORKFLOW price completed
}
