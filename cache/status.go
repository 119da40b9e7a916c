package cache

import (
	"slices"
	"strings"
)

// Status describes this copy now.
func (c *Cache) Status() Status {
	members := len(c.gossip.members()) + 1
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.quiet()
	s := Status{
		Instance: c.cfg.Instance, Name: c.cfg.Name, Addr: c.Addr(), Master: c.leading,
		Reign: c.own.reign(), Pos: c.own.pos(), Members: members, RingBytes: c.own.ring.bytes, Counters: c.counters(),
	}
	for _, t := range c.own.tables {
		s.Caches = append(s.Caches, NamedStatus{
			Spec: t.spec, Entries: t.len(), InFlight: len(t.inFlight), Orphans: len(t.orphans), Bytes: t.bytes,
		})
	}
	for f := range c.followers {
		if f.pull {
			continue
		}
		s.Followers = append(s.Followers, Follower{
			Instance: f.instance, Name: f.name, Addr: f.addr, Acked: f.acked, Behind: c.own.ring.last - f.acked,
			InStep: f.inStep, Snapshot: f.walk != nil, Silent: now - f.heard,
		})
	}
	slices.SortFunc(s.Followers, func(a, b Follower) int {
		if d := strings.Compare(a.Name, b.Name); d != 0 {
			return d
		}
		return slices.Compare(a.Instance[:], b.Instance[:])
	})
	if st := &c.stream; !c.leading && c.target != (Reign{}) {
		s.Following = Following{
			Reign: c.target, Addr: c.at, Connected: st.connected, Snapshot: st.building != nil,
			InStep: slices.Contains(c.own.inStep, c.cfg.Instance),
		}
		if st.last > c.own.ring.last {
			s.Following.Behind = st.last - c.own.ring.last
		}
		if st.connected {
			s.Following.Silent = now - st.heard
		}
	}
	return s
}

// counters are those of all parts.
func (c *Cache) counters() Counters {
	n := c.count.snapshot()
	var d Counters
	c.doorman.fill(&d)
	n.RefusedKey += d.RefusedKey
	n.RefusedCluster += d.RefusedCluster
	n.RefusedMalformed += d.RefusedMalformed
	n.RefusedTooLarge += d.RefusedTooLarge
	n.RefusedSlow += d.RefusedSlow
	n.RefusedBusy += d.RefusedBusy
	return n
}
