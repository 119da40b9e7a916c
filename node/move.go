package node

import (
	"context"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
)

// movePause is between two attempts to have the cache at another address.
const movePause = time.Second

// noteMove hears that the multicast goes on from another address.
func (n *Node) noteMove() {
	select {
	case n.moved <- struct{}{}:
	default:
	}
}

// moving has the cache follow the address of the multicast, until ctx ends.
func (n *Node) moving(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.moved:
		}
		for told := false; n.own.Load() != nil && !n.move(&told); {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(movePause):
			}
		}
	}
}

// move reports whether the cache listens at the address of the multicast.
func (n *Node) move(told *bool) bool {
	to := n.conn.LocalAddr().Addr()
	if to == *n.own.Load() {
		return true
	}
	if err := n.cache.Move(to); err != nil {
		if !*told {
			n.o.Log.Warn().Err(err).Msg("The cache cannot listen at the interface's other address; trying again")
		}
		*told = true
		return false
	}
	n.own.Store(&to)
	n.o.Log.Info().Stringer("address", n.cache.Addr()).Msg("The cache listens at the interface's other address")
	_ = n.manager.Tell(election.CacheAt{Addr: n.cache.Addr()}) // fails at the end only
	return true
}
