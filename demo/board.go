package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// board is the lock over all that the demo knows, with a bell: whoever changes
// something rings it, and whoever waits for something looks again.
type board struct {
	mu   sync.Mutex // guards bell, and all that is said to be guarded by the board
	bell chan struct{}
}

func newBoard() *board { return &board{bell: make(chan struct{})} }

// change runs f under the lock and rings.
func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.bell)
	b.bell = make(chan struct{})
}

// ring wakes those who wait.
func (b *board) ring() { b.change(func() {}) }

// await waits until ok, which is called under the lock, is true. Its error says
// what was waited for.
func (b *board) await(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		b.mu.Lock()
		done, bell := ok(), b.bell
		b.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-bell:
		case <-late.C:
			return fmt.Errorf("waited %v in vain for %s", limit, what)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
