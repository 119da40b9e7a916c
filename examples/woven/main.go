package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"example.com/woven/orders"
	"example.com/woven/sink"
)

func main() {
	n := flag.Int("n", 5, "take `ORDERS` orders")
	bad := flag.Int("panic", 0, "the `ORDER` that nobody is prepared for")
	flag.Parse()
	flow := &orders.Flow{
		Services: []orders.Service{orders.Validate{Bad: *bad}, &orders.Enrich{Country: "NO"}, orders.Limited[*orders.Order]{Most: 100}},
		Producer: &sink.Printer{To: os.Stdout},
	}
	ctx := context.Background()
	for i := range *n {
		o := &orders.Order{ID: fmt.Sprintf("order-%d", i+1), Number: i + 1, Amount: 30 * (i + 1)}
		if err := Consume(ctx, flow, o); err != nil {
			fmt.Println(o.ID, "failed:", err)
			if errors.Is(err, orders.ErrNoCustomer) {
				os.Exit(3)
			}
		}
	}
	audit("the end")
}

// Consume stands for a broker's callback.
//
//profiler:step intake consumer
func Consume(ctx context.Context, flow orders.Workflow, o *orders.Order) error {
	return flow.OnMessage(ctx, o)
}

//profiler:skip
func audit(string) {}
