package grpc_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/interlok-ha/interlok-ha/profiler"
	grpchook "github.com/interlok-ha/interlok-ha/profiler/grpc"
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

// A server and its client in one program, with gRPC's own health service.
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

	orders := p.Workflow("orders")
	srv := grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpchook.UnaryServer(orders, nil)),
		grpc.ChainStreamInterceptor(grpchook.StreamServer(orders, nil)),
	)
	healthpb.RegisterHealthServer(srv, health.NewServer())
	lis := bufconn.Listen(1 << 16)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()

	publish := p.Producer("publish")
	cc, err := grpc.NewClient("passthrough:///memory",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(grpchook.UnaryClient(publish)),
		grpc.WithChainStreamInterceptor(grpchook.StreamClient(publish)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Outside of any workflow the metadata names the message.
	call := metadata.AppendToOutgoingContext(ctx, grpchook.Key, "order-1")
	resp, err := healthpb.NewHealthClient(cc).Check(call, &healthpb.HealthCheckRequest{})
	fmt.Println(resp.GetStatus(), err)

	cc.Close()
	srv.GracefulStop()
	if err := <-served; err != nil {
		fmt.Println(err)
	}
	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// SERVING <nil>
	// order-1 WORKFLOW orders completed
	// order-1 PRODUCER publish completed
}
