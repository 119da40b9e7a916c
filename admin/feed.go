package admin

import (
	"context"
	"sync"
)

// Feed hands each published event to all subscribers. It is what a Node needs
// for Subscribe. Safe for concurrent use; Publish never blocks.
type Feed struct {
	buffer int

	mu   sync.Mutex // guards last and subs
	last Event
	subs map[chan Event]struct{}
}

// NewFeed makes a feed. Every stream begins with the newest event's role,
// state, epoch and master, told as a "state" event; first stands in until
// there is one. A subscriber that lags buffer events behind is cut off.
func NewFeed(first Event, buffer int) *Feed {
	return &Feed{buffer: max(buffer, 1), last: first, subs: map[chan Event]struct{}{}}
}

// Publish tells e to all subscribers, in the order of the calls.
func (f *Feed) Publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = e
	for ch := range f.subs {
		select {
		case ch <- e:
		default:
			delete(f.subs, ch)
			close(ch)
		}
	}
}

// Subscribe returns the stream: the present state first, then each event. The
// channel is closed when ctx ends or the reader is too slow.
func (f *Feed) Subscribe(ctx context.Context) <-chan Event { return f.SubscribeIn(ctx, "") }

// SubscribeIn is Subscribe for a node whose state is finer than its events
// tell: the first event of a slave has this state, if it is not empty.
func (f *Feed) SubscribeIn(ctx context.Context, state string) <-chan Event {
	ch := make(chan Event, f.buffer+1)
	f.mu.Lock()
	now := f.last
	now.Type, now.Peer, now.Detail = EventState, "", ""
	if state != "" && now.State == StateSlave {
		now.State = state
	}
	ch <- now
	f.subs[ch] = struct{}{}
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, ok := f.subs[ch]; ok {
			delete(f.subs, ch)
			close(ch)
		}
	})
	return ch
}
