package otel

import (
	"container/list"
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// message is one with open spans.
type message struct {
	id    string
	root  trace.SpanContext // of the first span
	spans map[uint32]trace.Span
	flows int // workflows that have started and not ended
	place *list.Element
}

// open makes room for a message.
func (p *Plugin) open(id string) *message {
	if len(p.messages) >= p.limit {
		p.close(p.order.Front().Value.(*message), time.Now())
	}
	m := &message{id: id, spans: map[uint32]trace.Span{}}
	m.place = p.order.PushBack(m)
	p.messages[id] = m
	return m
}

// close forgets a message. Of spans that are open then the end was lost.
func (p *Plugin) close(m *message, at time.Time) {
	for _, span := range m.spans {
		span.SetAttributes(attribute.Bool("interlok.lost", true))
		span.End(trace.WithTimestamp(at))
	}
	p.order.Remove(m.place)
	delete(p.messages, m.id)
}

// start makes the span of an event that starts a step, or is all of it.
func (p *Plugin) start(m *message, ev *profiler.Event) trace.Span {
	ctx := context.Background()
	if m != nil {
		parent := m.root
		if span := m.spans[ev.Parent]; span != nil {
			parent = span.SpanContext()
		}
		ctx = trace.ContextWithSpanContext(ctx, parent)
	}
	attrs := make([]attribute.KeyValue, 0, 4)
	attrs = append(attrs,
		attribute.String("messaging.message.id", ev.ID),
		attribute.String("interlok.step.kind", ev.Step.Kind().String()))
	if i := ev.Step.Instance(); i != "" {
		attrs = append(attrs, attribute.String("interlok.step.instance", i))
	}
	if ev.Attempt > 1 {
		attrs = append(attrs, attribute.Int("interlok.step.attempt", int(ev.Attempt)))
	}
	_, span := p.tracer.Start(ctx, ev.Step.Name(),
		trace.WithTimestamp(ev.Time().Add(-ev.Took)),
		trace.WithSpanKind(kind(ev.Step.Kind())),
		trace.WithAttributes(attrs...))
	if m != nil && !m.root.IsValid() {
		m.root = span.SpanContext()
	}
	return span
}

func kind(k profiler.Kind) trace.SpanKind {
	switch k {
	case profiler.Consumer:
		return trace.SpanKindConsumer
	case profiler.Producer:
		return trace.SpanKindProducer
	}
	return trace.SpanKindInternal
}

// end ends a span as its event says.
func end(span trace.Span, ev *profiler.Event) {
	if ev.Phase != profiler.Completed {
		text := ev.Phase.String()
		if ev.Detail != nil && ev.Detail.Err != "" {
			text = ev.Detail.Err
		}
		span.SetStatus(codes.Error, text)
	}
	span.End(trace.WithTimestamp(ev.Time()))
}
