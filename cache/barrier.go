package cache

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Barrier is for a slave that has won mastership and has not opened it: it
// asks the peers for what this copy lacks, and has each promise to take
// nothing more from masters before the epoch. It returns the position reached
// when all peers have answered or ctx ends, with ctx's error. A peer that
// cannot be reached is left out.
func (c *Cache) Barrier(ctx context.Context, epoch uint64, peers []netip.AddrPort) (Pos, error) {
	reign := Reign{Epoch: epoch, Instance: c.cfg.Instance}
	c.mu.Lock()
	if c.leading {
		c.stepDown(ErrNotMaster)
	}
	if reign.outranks(c.fence) {
		c.fence = reign
	}
	c.target, c.at = Reign{}, netip.AddrPort{}
	c.stream.close()
	c.kick()
	h := hello{mode: modePull, reign: reign, last: c.own.ring.last, history: c.own.history}
	pos := c.own.pos()
	c.mu.Unlock()

	type answer struct {
		conn net.Conn
		r    *reader
		w    *welcome
	}
	answers := make([]*answer, len(peers))
	var wg sync.WaitGroup
	for i, addr := range peers {
		wg.Go(func() {
			hello := h
			conn, r, w, err := c.dial(ctx, addr, &hello, dialTime)
			if err != nil {
				c.cfg.Log.Debug().Err(err).Stringer("addr", addr).Msg("Barrier: no answer")
				return
			}
			answers[i] = &answer{conn, r, w}
		})
	}
	wg.Wait()
	var best *answer
	for _, a := range answers {
		if a == nil {
			continue
		}
		defer c.untrack(a.conn)
		at := Pos{Epoch: a.w.reign.Epoch, N: a.w.last}
		if pos.Less(at) && (best == nil || (Pos{best.w.reign.Epoch, best.w.last}).Less(at)) {
			best = a
		}
	}
	if best == nil {
		return pos, ctx.Err()
	}
	stop := context.AfterFunc(ctx, func() { _ = best.conn.Close() })
	defer stop()
	if err := c.pull(best.conn, best.r, best.w); err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn().Err(err).Str("from", best.w.name).Msg("Barrier: the peer with the longest log was lost")
	}
	return c.Pos(), ctx.Err()
}

// pull takes what a peer has.
func (c *Cache) pull(conn net.Conn, r *reader, w *welcome) error {
	c.mu.Lock()
	c.stream = stream{conn: conn, from: w.instance, heard: c.cfg.Now(), last: w.last}
	err := c.prepare(w)
	c.mu.Unlock()
	defer c.parted()
	if err != nil {
		return err
	}
	if _, err := conn.Write(frame(frameGo, nil)); err != nil {
		return err
	}
	return c.receive(conn, r, true)
}
