package node

import (
	"context"
	"sync"
)

// inbox runs functions one after the other, on one goroutine. Posting does not
// block.
type inbox struct {
	mu     sync.Mutex // guards posted
	posted []func()
	wake   chan struct{}
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) post(f func()) {
	b.mu.Lock()
	b.posted = append(b.posted, f)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run does what was posted, in order, until ctx ends.
func (b *inbox) run(ctx context.Context) {
	for {
		b.mu.Lock()
		fs := b.posted
		b.posted = nil
		b.mu.Unlock()
		for _, f := range fs {
			f()
		}
		if len(fs) > 0 {
			continue
		}
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
	}
}
