package watermill

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Publisher makes publishers a step, mostly a Producer. Give it to a router
// with AddPublisherDecorators, or call it with a publisher. It may be used by
// many goroutines if the publisher may. The error of Publish is the
// publisher's, or that of the fence when it was not published. With a nil step
// the decorator does nothing.
func Publisher(step *profiler.Step) message.PublisherDecorator {
	return func(pub message.Publisher) (message.Publisher, error) {
		if step == nil {
			return pub, nil
		}
		return &publisher{pub, step}, nil
	}
}

type publisher struct {
	message.Publisher
	step *profiler.Step
}

// Publish publishes runs of messages that belong to one id.
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return p.Publisher.Publish(topic)
	}
	for len(messages) > 0 {
		ctx := messages[0].Context()
		id := profiler.ID(ctx)
		n := 1
		for id != "" && n < len(messages) && profiler.ID(messages[n].Context()) == id {
			n++
		}
		outside := ""
		if id == "" {
			outside = messages[0].UUID
		}
		if err := p.publish(ctx, outside, topic, messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

func (p *publisher) publish(ctx context.Context, id, topic string, messages []*message.Message) error {
	ran := false
	err := p.step.Do(ctx, id, func(ctx context.Context) error {
		ran = true
		if p.step.Fenced() {
			defer lend(ctx, messages)()
		}
		return p.Publisher.Publish(topic, messages...)
	})
	if err != nil && !ran {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return err
}

// lend gives the messages a context that ends with ctx, until the function is
// called. Their own values stay.
func lend(ctx context.Context, messages []*message.Message) (back func()) {
	own := make([]context.Context, len(messages))
	for i, m := range messages {
		own[i] = m.Context()
		m.SetContext(lent{ctx, own[i]})
	}
	return func() {
		for i, m := range messages {
			m.SetContext(own[i])
		}
	}
}

type lent struct {
	context.Context
	values context.Context
}

func (l lent) Value(key any) any { return l.values.Value(key) }
