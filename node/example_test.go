package node_test

import (
	"context"
	"fmt"
	"os"

	"github.com/interlok-ha/interlok-ha/node"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// A service that runs on one of several instances. This one is alone, finds
// nothing left behind, handles an order, and ends.
func ExampleRun() {
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(home) }()
	cfg := node.Config{
		Environ: []string{"HOME=" + home}, // a program of yours: os.Environ()
		Set: []string{
			"failover.cluster=example", "failover.name=a", "failover.interface=lo", "failover.port=27119",
			"failover.delay=50", "failover.retries=10", "failover.state.dir=" + home + "/state",
		},
		SocketPath: home + "/a.sock",
	}
	err = node.Run(context.Background(), cfg, func(ctx context.Context, m *node.Master) error {
		for _, msg := range m.InFlight() { // what the last master left undone
			fmt.Println("again:", msg.ID, "at", msg.Step, "published:", msg.Published("publish"))
		}
		handle := profiler.WrapID(m.Profiler().Workflow("orders"), orderID, handleOrder)
		return handle(ctx, order{"o-1"}) // your service: until ctx ends
	})
	fmt.Println("handed over:", err)
	// Output:
	// handled o-1
	// handed over: <nil>
}

type order struct{ id string }

func orderID(o order) string { return o.id }

func handleOrder(_ context.Context, o order) error {
	fmt.Println("handled", o.id)
	return nil
}
