package failover

import (
	"sync/atomic"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
)

// Guard is the permission to work as it stands now. It is safe for concurrent
// use and costs two loads and one reading of the clock.
type Guard struct {
	until atomic.Int64
	epoch atomic.Uint64
	now   func() time.Duration
}

func (g *Guard) set(v election.Guard) {
	if v.Until == 0 {
		g.until.Store(0)
		return
	}
	g.epoch.Store(v.Epoch)
	g.until.Store(int64(v.Until))
}

// Open reports whether this instance may work at this moment.
func (g *Guard) Open() bool { return time.Duration(g.until.Load()) > g.now() }

// Until is when the permission ends unless it is renewed, on CLOCK_BOOTTIME; 0 if there is none.
func (g *Guard) Until() time.Duration { return time.Duration(g.until.Load()) }

// Epoch is that of the present or last reign.
func (g *Guard) Epoch() uint64 { return g.epoch.Load() }
