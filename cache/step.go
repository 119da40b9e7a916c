package cache

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// group is a set of puts that wait together: those that came while the frame
// before them was on its way. That is the group commit.
type group struct {
	n    uint64 // the last of their records
	err  error
	done chan struct{}
}

func (g *group) end(err error) {
	g.err = err
	close(g.done)
}

// result is err, or what becomes of the group; of none, nothing.
func (g *group) result(ctx context.Context, err error) error {
	if err != nil || g == nil {
		return err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait returns the group of record n, or nil if all in step hold it already.
func (c *Cache) wait(n uint64) *group {
	if c.members < c.needed() {
		c.tellAlone()
		c.release()
	}
	if c.released >= n {
		return nil
	}
	if c.open == nil {
		c.open = &group{done: make(chan struct{})}
		c.groups = append(c.groups, c.open)
		if !c.sync {
			c.lookSoon()
		}
	}
	c.open.n = n
	return c.open
}

// cut closes the open group: the frame that carries its last record is made.
func (c *Cache) cut(n uint64) {
	if c.open != nil && c.open.n <= n {
		c.open = nil
	}
}

// needed is how many slaves in step a put relies on.
func (c *Cache) needed() int {
	if c.sync && c.cfg.WhenAlone == AloneBlock {
		return max(1, c.cfg.MinInStep)
	}
	return 1
}

// tellAlone tells, once, that puts have no slave to rely on.
func (c *Cache) tellAlone() {
	if !c.sync || c.alone {
		return
	}
	c.alone = true
	detail := "synchronous puts go on without a copy"
	if c.cfg.WhenAlone == AloneBlock {
		detail = fmt.Sprintf("synchronous puts wait for %d slaves, %d in step", c.needed(), c.members)
	}
	c.tell(Event{Type: EventAlone, Detail: detail})
}

// release lets go what all in step hold. A set that has changed counts only
// once its members hold the record of the change.
func (c *Cache) release() {
	if !c.leading {
		return
	}
	limit := c.released
	if c.members < c.needed() {
		if c.cfg.WhenAlone == AloneAllow || !c.sync {
			limit = c.own.ring.last
		}
	} else {
		c.alone = false
		least := ^uint64(0)
		for f := range c.followers {
			if f.inStep {
				least = min(least, f.acked)
			}
		}
		if least >= c.setN {
			limit = max(limit, least)
		}
	}
	if limit <= c.released && len(c.groups) == 0 {
		return
	}
	c.released = max(c.released, limit)
	for len(c.groups) > 0 && c.groups[0].n <= c.released {
		g := c.groups[0]
		g.end(nil)
		if c.open == g {
			c.open = nil
		}
		c.groups[0] = nil
		c.groups = c.groups[1:]
	}
}

// join takes a slave into the set that synchronous puts wait for.
func (c *Cache) join(f *follower) {
	f.inStep = true
	c.members++
	for old := range c.followers {
		if old != f && old.instance == f.instance && old.inStep { // its stream broke, and this is its next one
			old.inStep = false
			c.members--
			delete(c.followers, old)
		}
	}
	c.changed()
	c.tell(Event{Type: EventInStep, Peer: f.instance, Name: f.name})
}

// leave takes it out.
func (c *Cache) leave(f *follower, why string) {
	if !f.inStep {
		return
	}
	f.inStep = false
	c.members--
	f.poke() // it may wait for an ack
	c.changed()
	c.settleHolds()
	c.tell(Event{Type: EventOutOfStep, Peer: f.instance, Name: f.name, Detail: why})
	if c.members < c.needed() && len(c.groups) > 0 {
		c.tellAlone()
	}
	c.release()
}

// changed writes the new set down: puts from here on rely on it, and are
// released only once its members know it.
func (c *Cache) changed() {
	if !c.leading {
		return
	}
	c.writeSet()
	c.setN = c.own.ring.last
	c.wake()
	c.settle()
}

// writeSet writes who is in step into the log of a synchronous cache.
func (c *Cache) writeSet() {
	if !c.sync || !c.writing {
		return
	}
	var ids []InstanceID
	var value []byte
	for f := range c.followers {
		if f.inStep {
			ids = append(ids, f.instance)
		}
	}
	slices.SortFunc(ids, func(a, b InstanceID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		value = append(value, id[:]...)
	}
	c.own.inStep = ids
	c.own.ring.append(&record{op: opInStep, value: value, created: c.now()})
}

// pingEvery is how often a silent stream says something.
func (c *Cache) pingEvery() time.Duration {
	if c.sync {
		return c.cfg.SocketTimeout / 4
	}
	return max(c.cfg.SocketTimeout/4, time.Second)
}

// patience is how long a slave in step may be silent.
func (c *Cache) patience() time.Duration {
	if c.sync || len(c.groups) > 0 || len(c.holds) > 0 {
		return c.cfg.SocketTimeout
	}
	return max(c.cfg.SocketTimeout, 3*time.Second)
}

func (c *Cache) lookSoon() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// watchSteps takes silent slaves out of step, until ctx ends.
func (c *Cache) watchSteps(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-c.hurry:
		}
		timer.Reset(c.dropSilent())
	}
}

// dropSilent returns when to look again.
func (c *Cache) dropSilent() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, patience := c.quiet(), c.patience()
	for f := range c.followers {
		// In an asynchronous cache pings are rare: there the silence counts
		// from the frame that was not answered.
		since := f.heard
		if !c.sync && f.unanswered > since {
			since = f.unanswered
		}
		if f.inStep && now-since > patience && (c.sync || f.unanswered > 0) {
			c.leave(f, "it does not answer")
			if f.gone {
				delete(c.followers, f)
			}
		}
	}
	if c.sync && c.members > 0 || len(c.groups) > 0 || len(c.holds) > 0 {
		return c.cfg.SocketTimeout / 4
	}
	return time.Second
}

// hold is a call that waits until slaves hold a record.
type hold struct {
	n    uint64
	done chan error // of one
}

// Held returns when every slave in step, and at least one, holds the record that
// [Named.Write] wrote at that position; the cache need not be synchronous.
// Without a slave in step, whatever Config.WhenAlone says, [ErrNoReplica];
// [ErrNotMaster] if mastership ended since, also if it began anew; and ctx's
// error.
func (c *Cache) Held(ctx context.Context, at Pos) error {
	c.mu.Lock()
	if c.leading && (at.N < c.ledFrom || c.own.wroteAt(at.N).Epoch != at.Epoch) {
		c.mu.Unlock()
		return fmt.Errorf("%w of epoch %d any more: %w", ErrNotMaster, at.Epoch, ErrOutcome)
	}
	return c.heldUnlock(ctx, at.N)
}

// Flush is [Cache.Held] for all that was written before the call. If the slaves
// hold it already nobody is asked: a master that is deposed and does not know
// it yet gets nil, and what it read before may be stale.
func (c *Cache) Flush(ctx context.Context) error {
	c.mu.Lock()
	return c.heldUnlock(ctx, c.own.ring.last)
}

func (c *Cache) heldUnlock(ctx context.Context, n uint64) error {
	if !c.leading {
		c.mu.Unlock()
		return c.refusal()
	}
	over, err := c.holdOver(n)
	if over {
		c.mu.Unlock()
		return err
	}
	h := &hold{n, make(chan error, 1)}
	c.holds = append(c.holds, h)
	if len(c.holds) == 1 {
		c.lookSoon()
	}
	c.wake()
	c.mu.Unlock()
	select {
	case err := <-h.done:
		return err
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		c.holds = slices.DeleteFunc(c.holds, func(o *hold) bool { return o == h })
		return ctx.Err()
	}
}

// holdOver tells whether one who waits for record n need wait no more.
func (c *Cache) holdOver(n uint64) (bool, error) {
	if c.members == 0 {
		return true, ErrNoReplica
	}
	for f := range c.followers {
		if f.inStep && f.acked < max(n, c.setN) {
			return false, nil
		}
	}
	return true, nil
}

// settleHolds ends the calls that need wait no more.
func (c *Cache) settleHolds() {
	if len(c.holds) == 0 {
		return
	}
	c.holds = slices.DeleteFunc(c.holds, func(h *hold) bool {
		over, err := c.holdOver(h.n)
		if over {
			h.done <- err
		}
		return over
	})
}

// settle wakes those who wait for an ack.
func (c *Cache) settle() {
	if c.settled != nil {
		close(c.settled)
		c.settled = nil
	}
}

// Acked waits until the slave holds everything up to record n.
func (c *Cache) Acked(ctx context.Context, id InstanceID, n uint64) error {
	for {
		c.mu.Lock()
		if !c.leading {
			c.mu.Unlock()
			return c.refusal()
		}
		for f := range c.followers {
			if f.instance == id && f.acked >= n {
				c.mu.Unlock()
				return nil
			}
		}
		if c.settled == nil {
			c.settled = make(chan struct{})
		}
		settled := c.settled
		c.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
