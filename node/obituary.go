package node

import (
	"fmt"

	"github.com/interlok-ha/interlok-ha/workload"
)

// obituary is what this instance's keeper tells when it is dead. Whoever asked
// for it closes the Listener, once the keeper was started. Nil: it tells nothing.
func (n *Node) obituary() (*workload.Obituary, error) {
	if !n.o.Keeper || n.positions() { // the 3.3 design waits for silence
		return nil, nil
	}
	f, err := n.cache.ListenerFile()
	if err != nil {
		return nil, fmt.Errorf("copy the listener for the keeper: %w", err)
	}
	return &workload.Obituary{Listener: f, Instance: n.id, Secret: n.secret, Linger: n.s.Down()}, nil
}
