package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// rulers gives the cache its reigns in the 3.3 design. A ping has no epoch and
// does not tell where its sender's cache is. So the caches find each other by
// themselves, gossip tells the epochs, which only the caches have, and the
// pings tell whose cache to follow: the instance has one id in both.
type rulers struct {
	cache *cache.Cache
	every time.Duration // between two attempts to raise the epoch

	mu      sync.Mutex // guards what follows
	members map[cache.InstanceID]cache.Event
	master  cache.InstanceID // that the pings tell of; zero: none, or this one
	leading bool             // this one is
	reign   cache.Reign      // that it opened last
	raised  time.Time        // when
	waiting bool             // to raise it again
}

func newRulers(c *cache.Cache, every time.Duration) *rulers {
	return &rulers{cache: c, every: every, members: map[cache.InstanceID]cache.Event{}}
}

// maxMembers bounds what gossip may tell of. It has a bound of its own.
const maxMembers = 4096

// member hears of a cache.
func (r *rulers) member(e cache.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Type == cache.EventMemberGone {
		delete(r.members, e.Peer)
		return
	}
	if len(r.members) < maxMembers {
		r.members[e.Peer] = e
	}
	r.look()
}

// strangers are those whose cache is there and none of whose pings has come
// within the timeout.
func (r *rulers) strangers(pinging []election.PeerView) (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if !slices.ContainsFunc(pinging, func(p election.PeerView) bool { return cache.InstanceID(p.ID) == id }) {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// follow hears whom the pings tell of as master.
func (r *rulers) follow(id heartbeat.InstanceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.master, r.leading = cache.InstanceID(id), false
	r.look()
}

// lead makes the cache the master's, under an epoch above all that are known.
func (r *rulers) lead() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.master, r.leading = cache.InstanceID{}, true
	return r.promote()
}

// deposed hears that some copy is promised to a greater reign.
func (r *rulers) deposed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
}

func (r *rulers) promote() error {
	r.reign, r.raised = cache.Reign{Epoch: r.next(), Instance: r.cache.Instance()}, time.Now()
	return r.cache.Promote(r.reign)
}

// maxTold is the greatest epoch that is believed from gossip: no cluster gets
// there, and above the very greatest there is none to reign under.
const maxTold = 1 << 62

// next is an epoch above all that are known.
func (r *rulers) next() uint64 {
	epoch := r.cache.Promised().Epoch
	for _, m := range r.members {
		if m.Reign.Epoch <= maxTold {
			epoch = max(epoch, m.Reign.Epoch)
		}
	}
	return epoch + 1
}

// pull gets what the other copies hold and this one lacks, before it leads.
func (r *rulers) pull(ctx context.Context) error {
	r.mu.Lock()
	epoch := r.next()
	var addrs []netip.AddrPort
	for _, m := range r.members {
		addrs = append(addrs, m.Addr)
	}
	r.mu.Unlock()
	_, err := r.cache.Barrier(ctx, epoch, addrs)
	return err
}

// raise opens a new reign above one that was heard of: the pings say that this
// instance is master, so the caches must have it so. Two masters that raise each
// other's do it no faster than they ping, until one of them yields.
func (r *rulers) raise() {
	wait := r.every - time.Since(r.raised)
	switch {
	case wait <= 0:
		_ = r.promote() // it fails only for an epoch that has come meanwhile, or at the end
	case !r.waiting:
		r.waiting = true
		time.AfterFunc(wait, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.waiting = false
			r.look()
		})
	}
}

// look follows from what is known.
func (r *rulers) look() {
	if r.leading {
		greater := r.cache.Promised().Outranks(r.reign)
		for _, m := range r.members {
			greater = greater || m.Reign.Epoch <= maxTold && m.Reign.Outranks(r.reign)
		}
		if greater {
			r.raise()
		}
		return
	}
	if m, ok := r.members[r.master]; ok && m.Reign.Instance == m.Peer {
		r.cache.Follow(m.Reign, m.Addr)
	}
}

// heardOf has the cache follow what the pings tell.
func (r *rulers) heardOf(e election.Event) {
	switch e.Type {
	case election.EventMaster:
		if !e.Peer.IsZero() {
			r.follow(e.Peer)
		}
	case election.EventState:
		if e.State == heartbeat.StateSlave {
			r.resign()
		}
	}
}

// lose ends writing, and the slaves' streams.
func (r *rulers) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leading = false
	r.cache.Release()
}

// resign ends writing. The slaves are served until they follow another.
func (r *rulers) resign() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leading {
		r.leading = false
		r.cache.Seal()
	}
}
