package admin

import (
	"context"
	"time"
)

// Node is the instance behind the API. All methods may be called from several
// goroutines at once. Those that give an order return when it is carried out;
// an *Error says why it was not and which status the answer has.
type Node interface {
	// Status tells what the instance knows now. It does not block on the network.
	Status() Status
	// Subscribe streams events, the present state first. The channel is closed
	// when ctx ends or the reader is too slow.
	Subscribe(ctx context.Context) <-chan Event
	// Switchover hands mastership to the instance named to, or to the best one if
	// to is empty, and waits for the new master's heartbeat. A ctx without
	// deadline means the node's own: stop timeout and the slaves' lease.
	Switchover(ctx context.Context, to string) (master string, err error)
	// Drain gives the role up and stays out until Resume. The last eligible
	// instance refuses without force.
	Drain(ctx context.Context, force bool) error
	// Resume ends Drain.
	Resume(ctx context.Context) error
	// Promote claims mastership; with force also without the votes it needs.
	Promote(ctx context.Context, force bool) error
	// Maintenance forbids claims in the whole cluster for d; 0 allows them again.
	Maintenance(ctx context.Context, d time.Duration) error
}
