package cache

import "context"

// openGossip joins gossip to this copy: what it tells of us, and what follows
// from what others tell.
func (c *Cache) openGossip() (err error) {
	c.gossip, err = newGossip(gossipConfig{
		cfg: &c.cfg, port: c.port, count: &c.count,
		role: func() (bool, Reign) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.leading {
				return true, c.own.reign()
			}
			if c.cfg.TellPromise {
				return false, c.fence
			}
			return false, c.target
		},
		digest: func() digest {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.own.digest()
		},
		onMember: c.meet,
		onGone: func(id InstanceID) {
			c.tell(Event{Type: EventMemberGone, Peer: id})
		},
		onDigest: c.compareDigest,
	})
	return err
}

func (c *Cache) runGossip(ctx context.Context) error { return c.gossip.run(ctx) }

// tellGossip has the new role told.
func (c *Cache) tellGossip() { c.gossip.updateMeta() }

// meet hears of a member, and follows it if it is the greatest master and
// nobody else decides that.
func (c *Cache) meet(m member) {
	c.tell(Event{Type: EventMember, Peer: m.Instance, Name: m.Name, Addr: m.Addr, Epoch: m.Reign.Epoch, Reign: m.Reign})
	if !c.cfg.AutoFollow || !m.Master || m.Reign.Instance != m.Instance {
		return
	}
	c.mu.Lock()
	newer := m.Reign.outranks(c.fence) || m.Reign == c.fence
	c.mu.Unlock()
	if newer {
		c.Follow(m.Reign, m.Addr)
	}
}

// compareDigest is the second look at whether this copy is the master's: the
// first are the pings of the stream.
func (c *Cache) compareDigest(id InstanceID, d digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.stream
	if id != s.from || !s.connected || s.building != nil {
		return
	}
	if own := c.own.digest(); own.Pos == d.Pos && own != d {
		c.count.Resyncs.Add(1)
		c.tell(Event{Type: EventResync, Peer: id, Detail: "gossip tells another digest"})
		s.anew = true
		s.close()
	}
}
