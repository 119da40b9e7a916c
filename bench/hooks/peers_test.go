package hooks

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// peer is one way to see a step.
type peer struct {
	name string
	// start makes what one goroutine runs n times; worker tells them apart.
	start func(t *testing.T, worker int) func(n int)
	// settle waits for the background and checks that nothing was skipped.
	settle func(t *testing.T, steps int)
}

//go:noinline
func empty(ctx context.Context) error { return nil }

var ids = [...]string{"order-4711-0f3a", "order-4712-77b1", "order-4713-c00e", "order-4714-19d2"}

// peers are made anew for each round.
func peers(t *testing.T) []peer {
	return []peer{
		{"empty call", func(*testing.T, int) func(int) {
			ctx := context.Background()
			return func(n int) {
				for range n {
					_ = empty(ctx)
				}
			}
		}, nil},
		disabledDo(), disabledSpan(),
		ours(t, "Do", func(ctx context.Context, s *profiler.Step) { _ = s.Do(ctx, "", empty) }),
		ours(t, "Begin, End", func(ctx context.Context, s *profiler.Step) { spanned(ctx, s) }),
		viaWrap(t), wholeMessage(t),
		logZero(), logSlog(), metrics(), traces(t),
	}
}

//go:noinline
func spanned(ctx context.Context, s *profiler.Step) (err error) {
	ctx, span := s.Begin(ctx, "")
	defer span.End(&err)
	return empty(ctx)
}

func disabledDo() peer {
	return peer{"disabled, Do", func(*testing.T, int) func(int) {
		var none *profiler.Profiler
		step := none.Service("validate")
		ctx := context.Background()
		return func(n int) {
			for range n {
				_ = step.Do(ctx, ids[0], empty)
			}
		}
	}, nil}
}

func disabledSpan() peer {
	return peer{"disabled, Begin, End", func(*testing.T, int) func(int) {
		var none *profiler.Profiler
		step := none.Service("validate")
		ctx := context.Background()
		return func(n int) {
			for range n {
				spanned(ctx, step)
			}
		}
	}, nil}
}

// heard counts what a plugin hears.
type heard struct{ n atomic.Int64 }

func (h *heard) Observe(batch []profiler.Event) { h.n.Add(int64(len(batch))) }

func started(t *testing.T) (*profiler.Profiler, *heard) {
	h := new(heard)
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{h}, Overflow: profiler.Block})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for p.Flush(ctx) != nil { // until it runs
	}
	return p, h
}

// complete flushes and wants at least as many events as steps: nobody may be
// fast by not telling.
func complete(t *testing.T, p *profiler.Profiler, h *heard, steps int) {
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, s := h.n.Load(), p.Stats(); got < int64(steps) || s.Dropped != 0 || s.Late != 0 {
		t.Errorf("the plugin heard %d events of %d steps; %+v", got, steps, s)
	}
}

// ours is a step of a message in flight, heard by one plugin.
func ours(t *testing.T, how string, run func(context.Context, *profiler.Step)) peer {
	p, h := started(t)
	flow, step := p.Workflow("orders"), p.Service("validate")
	return peer{"interlok-ha, " + how, func(t *testing.T, worker int) func(int) {
		ctx, span := flow.Begin(context.Background(), ids[worker])
		t.Cleanup(func() { span.End(nil) })
		return func(n int) {
			for range n {
				run(ctx, step)
			}
		}
	}, func(t *testing.T, steps int) { complete(t, p, h, steps) }}
}

type order struct{ id string }

func (o *order) ID() string { return o.id }

//go:noinline
func handle(ctx context.Context, o *order) error { return nil }

func viaWrap(t *testing.T) peer {
	p, h := started(t)
	flow, handle := p.Workflow("orders"), profiler.Wrap(p.Service("validate"), handle)
	return peer{"interlok-ha, Wrap", func(t *testing.T, worker int) func(int) {
		o := &order{ids[worker]}
		ctx, span := flow.Begin(context.Background(), o.id)
		t.Cleanup(func() { span.End(nil) })
		return func(n int) {
			for range n {
				_ = handle(ctx, o)
			}
		}
	}, func(t *testing.T, steps int) { complete(t, p, h, steps) }}
}

// wholeMessage is a workflow with three services and a producer: five steps.
// It allocates what a message needs, once each message.
func wholeMessage(t *testing.T) peer {
	p, h := started(t)
	flow, service, producer := p.Workflow("orders"), p.Service("validate"), p.Producer("publish")
	body := func(ctx context.Context) error {
		for range 3 {
			_ = service.Do(ctx, "", empty)
		}
		return producer.Do(ctx, "", empty)
	}
	return peer{"interlok-ha, message of 5 steps", func(_ *testing.T, worker int) func(int) {
		ctx := context.Background()
		return func(n int) {
			for range n / 5 {
				_ = flow.Do(ctx, ids[worker], body)
			}
		}
	}, func(t *testing.T, steps int) { complete(t, p, h, steps/5*5) }}
}

// logZero writes a line at the start and one at the end, with what our events
// have. Its time format is the cheapest.
func logZero() peer {
	zerolog.TimeFieldFormat = zerolog.TimeFormatUnixMicro
	return peer{"zerolog", func(_ *testing.T, worker int) func(int) {
		log := zerolog.New(io.Discard).With().Str("kind", "SERVICE").Str("step", "validate").Logger()
		ctx, id := context.Background(), ids[worker]
		return func(n int) {
			for i := range n {
				begin := time.Now()
				log.Info().Time("at", begin).Str("id", id).Int("order", i).Msg("started")
				_ = empty(ctx)
				end := time.Now()
				log.Info().Time("at", end).Str("id", id).Int("order", i).Dur("took", end.Sub(begin)).Msg("completed")
			}
		}
	}, nil}
}

func logSlog() peer {
	return peer{"slog, JSON", func(_ *testing.T, worker int) func(int) {
		log := slog.New(slog.NewJSONHandler(io.Discard, nil)).With("kind", "SERVICE", "step", "validate")
		ctx, id := context.Background(), ids[worker]
		return func(n int) {
			for i := range n {
				begin := time.Now()
				log.LogAttrs(ctx, slog.LevelInfo, "started", slog.String("id", id), slog.Int("order", i))
				_ = empty(ctx)
				log.LogAttrs(ctx, slog.LevelInfo, "completed", slog.String("id", id), slog.Int("order", i), slog.Duration("took", time.Since(begin)))
			}
		}
	}, nil}
}

// metrics counts and times, with the labels looked up beforehand. It knows
// nothing of messages.
func metrics() peer {
	labels := []string{"kind", "step"}
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "open"}, labels).WithLabelValues("SERVICE", "validate")
	done := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "done"}, labels).WithLabelValues("SERVICE", "validate")
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "took"}, labels).WithLabelValues("SERVICE", "validate")
	return peer{"Prometheus, curried", func(*testing.T, int) func(int) {
		ctx := context.Background()
		return func(n int) {
			for range n {
				begin := time.Now()
				open.Inc()
				_ = empty(ctx)
				open.Dec()
				done.Inc()
				took.Observe(time.Since(begin).Seconds())
			}
		}
	}, nil}
}

// nowhere is an exporter that exports nothing.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                        { return nil }

// traces uses the batch processor as it comes: when its queue is full it drops
// spans, which makes it cheaper than if it had to keep up.
func traces(t *testing.T) peer {
	provider := sdk.NewTracerProvider(sdk.WithBatcher(nowhere{}))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	tracer := provider.Tracer("bench")
	return peer{"OpenTelemetry, batch", func(_ *testing.T, worker int) func(int) {
		ctx, id := context.Background(), ids[worker]
		return func(n int) {
			for i := range n {
				ctx, span := tracer.Start(ctx, "validate", trace.WithAttributes(
					attribute.String("kind", "SERVICE"), attribute.String("id", id), attribute.Int("order", i)))
				_ = empty(ctx)
				span.End()
			}
		}
	}, nil}
}
