package otel

import (
	"container/list"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Name is what the plugin is registered as.
const Name = "otel"

// scope is what the spans say that made them.
const scope = "github.com/interlok-ha/interlok-ha/profiler/otel"

func init() {
	// The only error is that somebody took the name: then theirs is meant.
	_ = profiler.Register(Name, func(profiler.PluginConfig) (profiler.Plugin, error) { return New(Config{}) })
}

// Config is what a plugin needs. The zero value works.
type Config struct {
	Provider trace.TracerProvider // nil: the global one
	Messages int                  // with an open span, at most; 0: 100000
}

// Plugin makes spans of events. Its methods are for one goroutine at a time:
// the profiler's while that runs.
type Plugin struct {
	tracer   trace.Tracer
	limit    int
	messages map[string]*message
	order    *list.List // of *message, oldest first
}

var _ profiler.Plugin = (*Plugin)(nil)

// New makes a plugin. A negative number of messages is an error.
func New(cfg Config) (*Plugin, error) {
	if cfg.Messages < 0 {
		return nil, fmt.Errorf("otel: %d messages", cfg.Messages)
	}
	if cfg.Messages == 0 {
		cfg.Messages = 100_000
	}
	if cfg.Provider == nil {
		cfg.Provider = otel.GetTracerProvider()
	}
	return &Plugin{
		tracer:   cfg.Provider.Tracer(scope),
		limit:    cfg.Messages,
		messages: map[string]*message{},
		order:    list.New(),
	}, nil
}

// Observe makes spans of events.
func (p *Plugin) Observe(batch []profiler.Event) {
	for i := range batch {
		p.observe(&batch[i])
	}
}

func (p *Plugin) observe(ev *profiler.Event) {
	if ev.Order == 0 { // of no message: nothing to hang it on before its end
		if ev.Phase != profiler.Started {
			end(p.start(nil, ev), ev)
		}
		return
	}
	m := p.messages[ev.ID]
	if ev.Phase == profiler.Started {
		if m == nil {
			m = p.open(ev.ID)
		}
		if _, twice := m.spans[ev.Order]; !twice {
			m.spans[ev.Order] = p.start(m, ev)
		}
		if ev.Step.Kind() == profiler.Workflow {
			m.flows++
		}
		return
	}
	if m == nil { // a message of one short step, or one whose beginning is lost
		end(p.start(nil, ev), ev)
		return
	}
	span, started := m.spans[ev.Order]
	if !started {
		span = p.start(m, ev)
	}
	end(span, ev)
	delete(m.spans, ev.Order)
	flow := ev.Step.Kind() == profiler.Workflow && started
	if flow {
		m.flows--
	}
	if m.flows == 0 && (flow || len(m.spans) == 0) {
		p.close(m, ev.Time())
	}
}

// Close ends the spans that are still open. Call it when the profiler's Run has
// returned, and before the tracer provider is shut down.
func (p *Plugin) Close() {
	for _, m := range p.messages {
		p.close(m, time.Now())
	}
}
