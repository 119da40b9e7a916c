package kill

import (
	"sync"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

// audit asks each new master what it knows, before it begins to work. Its
// exported methods are called by net/rpc.
type audit struct {
	sink *shop.Sink

	mu        sync.Mutex // guards what follows
	asked     int        // how many writes to the sink the last one was asked about
	asking    int
	takeovers []Takeover
}

// Published shows the sink a token, so that older ones are refused from then
// on, and returns the ids of what was published since the last audit.
func (a *audit) Published(token string, ids *[]string) error {
	if err := a.sink.See(token); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.sink.Tried(a.asked)
	a.asking = a.asked + len(list)
	for _, e := range list {
		*ids = append(*ids, e.ID)
	}
	return nil
}

// Report takes the answer.
func (a *audit) Report(t Takeover, _ *bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = a.asking
	a.takeovers = append(a.takeovers, t)
	return nil
}

// reports are all so far.
func (a *audit) reports() []Takeover {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Takeover(nil), a.takeovers...)
}
