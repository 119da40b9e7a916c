package profiler

import (
	"context"
	"time"
)

// scope is the context of a message, or of a step in it that others nest in.
type scope struct {
	context.Context
	m     *message
	order uint32 // of the step
}

type scopeKey struct{}

// Value finds the scope itself, and else what is around it.
func (c *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// scopeOf is the innermost scope in ctx, or nil.
func scopeOf(ctx context.Context) *scope {
	if c, ok := ctx.(*scope); ok {
		return c
	}
	if ctx == nil {
		return nil
	}
	c, _ := ctx.Value(scopeKey{}).(*scope)
	return c
}

// ID is the id of the message that ctx belongs to, or "".
func ID(ctx context.Context) string {
	if c := scopeOf(ctx); c != nil {
		return c.m.id
	}
	return ""
}

// Message is what a context tells of the message that it belongs to.
type Message struct {
	ID       string
	Workflow *Step
	Began    time.Duration // since the profiler's Base
	Attempt  uint16        // of the workflow, from 1
	Payload  []byte        // nil unless the profiler keeps payloads; not to be changed
}

// From is the message that ctx belongs to.
func From(ctx context.Context) (Message, bool) {
	c := scopeOf(ctx)
	if c == nil {
		return Message{}, false
	}
	m := c.m
	msg := Message{ID: m.id, Workflow: m.flow, Began: m.began, Attempt: m.attempt}
	if m.detail != nil {
		msg.Payload = m.detail.Payload
	}
	return msg, true
}
