package cache

import "sync/atomic"

// counters are the live form of [Counters]. They are shared by all parts of a
// Cache.
type counters struct {
	Puts, Removes, Evictions, Expirations, Hits, Misses      atomic.Uint64
	BytesSent, BytesReceived                                 atomic.Uint64
	Snapshots, Resyncs, Cuts                                 atomic.Uint64
	RefusedKey, RefusedCluster, RefusedMalformed             atomic.Uint64
	RefusedTooLarge, RefusedSlow, RefusedBusy, RefusedGossip atomic.Uint64
}

func (c *counters) snapshot() Counters {
	return Counters{
		Puts: c.Puts.Load(), Removes: c.Removes.Load(), Evictions: c.Evictions.Load(),
		Expirations: c.Expirations.Load(), Hits: c.Hits.Load(), Misses: c.Misses.Load(),
		BytesSent: c.BytesSent.Load(), BytesReceived: c.BytesReceived.Load(),
		Snapshots: c.Snapshots.Load(), Resyncs: c.Resyncs.Load(), Cuts: c.Cuts.Load(),
		RefusedKey: c.RefusedKey.Load(), RefusedCluster: c.RefusedCluster.Load(),
		RefusedMalformed: c.RefusedMalformed.Load(), RefusedTooLarge: c.RefusedTooLarge.Load(),
		RefusedSlow: c.RefusedSlow.Load(), RefusedBusy: c.RefusedBusy.Load(), RefusedGossip: c.RefusedGossip.Load(),
	}
}

// unwelcome says why something that arrived at the port is not let in.
type unwelcome uint8

const (
	refuseNone unwelcome = iota
	refuseKey
	refuseCluster
	refuseMalformed
	refuseTooLarge
	refuseSlow
	refuseBusy
	refuseGossip
)

// String ends the sentence "refused: …".
func (r unwelcome) String() string {
	return [...]string{"", "no key, or another one", "another cluster", "malformed", "too large", "too slow", "too many at once",
		"gossip that no instance sends"}[r]
}

func (c *counters) refused(r unwelcome) {
	switch r {
	case refuseNone:
	case refuseKey:
		c.RefusedKey.Add(1)
	case refuseCluster:
		c.RefusedCluster.Add(1)
	case refuseMalformed:
		c.RefusedMalformed.Add(1)
	case refuseTooLarge:
		c.RefusedTooLarge.Add(1)
	case refuseSlow:
		c.RefusedSlow.Add(1)
	case refuseBusy:
		c.RefusedBusy.Add(1)
	case refuseGossip:
		c.RefusedGossip.Add(1)
	}
}
