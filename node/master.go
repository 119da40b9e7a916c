package node

import (
	"sync/atomic"

	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// Master is the mastership of this instance, as its work sees it. Its methods
// may be called from any goroutine, also after it has ended.
type Master struct {
	n        *Node
	epoch    atomic.Uint64
	inFlight []mirror.Message
}

// Token is the fencing token, empty in the 3.3 design: a store that refuses a token smaller than one it
// has seen, compared as text, refuses who was master before. It can grow during
// a reign, so ask each time.
func (m *Master) Token() string { return m.n.token(m.Epoch()) }

// Epoch is the number of the reign: a part of Token.
func (m *Master) Epoch() uint64 { return m.epoch.Load() }

// Open reports whether this instance may work at this moment. It is a look at
// the clock, and no promise about the next moment.
func (m *Master) Open() bool { return m.n.manager.Guard().Open() }

// InFlight are the messages that were begun and not ended when this work began,
// in the order in which they began: what a predecessor left, by death or by a
// hand-over, or an earlier run of this work.
func (m *Master) InFlight() []mirror.Message { return m.inFlight }

// Seen reports whether a message was done, here or by a predecessor, as far as
// the cache remembers.
func (m *Master) Seen(id string) bool { return m.n.mirror.Seen(id) }

// Settle writes down the end of a message that InFlight told of and that no
// workflow is run for: mirror.Done if it turns out to be done, mirror.Failed if
// it is given up.
func (m *Master) Settle(id string, s mirror.State) error { return m.n.mirror.Settle(id, s) }

// Profiler makes the hooks.
func (m *Master) Profiler() *profiler.Profiler { return m.n.profiler }
