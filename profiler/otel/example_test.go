package otel_test

import (
	"context"
	"fmt"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/otel"
)

// The exporter keeps spans in memory here; in a program it sends them away.
func Example() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	plugin, err := otel.New(otel.Config{Provider: provider})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{plugin}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()

	validate := p.Service("validate")
	err = p.Workflow("orders").Do(ctx, "order-1", func(ctx context.Context) error {
		return validate.Do(ctx, "", func(context.Context) error { return nil })
	})
	if err != nil {
		fmt.Println(err)
	}

	stop()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	plugin.Close()
	if err := provider.ForceFlush(context.Background()); err != nil {
		fmt.Println(err)
	}
	for _, s := range exporter.GetSpans() {
		fmt.Println(s.Name, s.Parent.IsValid(), s.Attributes[0].Value.AsString(), s.Attributes[1].Value.AsString())
	}
	if err := provider.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// validate true order-1 SERVICE
	// orders false order-1 WORKFLOW
}
