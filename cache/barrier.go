package cache

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errChanged: an offer was made for another log than this copy has by now.
var errChanged = errors.New("cache: this copy has changed meanwhile")

// offer is what a peer said to a barrier.
type offer struct {
	addr  netip.AddrPort
	conn  net.Conn
	r     *reader
	w     *welcome
	asked hello
}

func (a *offer) pos() Pos { return Pos{Epoch: a.w.reign.Epoch, N: a.w.last} }

// Barrier is for a slave that has won mastership and has not opened it: it
// asks the peers for what this copy lacks, and has each promise to take
// nothing more from masters before the epoch. It returns the position reached
// when all peers have answered or ctx ends. When half of the time is over it
// pulls from those that have answered, and goes on waiting for the others.
func (c *Cache) Barrier(ctx context.Context, epoch uint64, peers []netip.AddrPort) (Pos, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
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
	c.mu.Unlock()

	answers := make(chan *offer, len(peers))
	for _, addr := range peers {
		go func() {
			answers <- c.ask(ctx, addr, reign)
		}()
	}
	half := make(<-chan time.Time) // then those that answered are pulled from, and the others heard out
	if end, ok := ctx.Deadline(); ok {
		timer := time.NewTimer(time.Until(end) / 2)
		defer timer.Stop()
		half = timer.C
	}
	left := len(peers)
	defer func() {
		cancel()
		for ; left > 0; left-- {
			if a := <-answers; a != nil {
				c.untrack(a.conn)
			}
		}
	}()
	var known Pos
	for waited := false; left > 0 && ctx.Err() == nil; {
		var offers []*offer
		for left > 0 && !(waited && len(offers) > 0) && ctx.Err() == nil {
			select {
			case a := <-answers:
				left--
				if a != nil {
					defer c.untrack(a.conn)
					offers = append(offers, a)
				}
				continue
			case <-half:
				waited, half = true, nil
			case <-ctx.Done():
			}
			if len(offers) > 0 {
				break
			}
		}
		var again []*offer
		known, again = c.pullBest(ctx, offers, reign, known)
		for _, a := range again {
			left++
			go func() { answers <- c.ask(ctx, a.addr, reign) }()
		}
	}
	pos := c.standsAt()
	if pos.Less(known) {
		c.tell(Event{Type: EventLost, Epoch: known.Epoch, From: pos.N + 1, To: known.N, Detail: "the peer that holds it was lost"})
	}
	return pos, ctx.Err()
}

// pullBest pulls from the peer that holds the most, and from the next ones if
// it is lost. It returns the furthest position that is known of, and those
// offers that must be made again, since this copy has changed.
func (c *Cache) pullBest(ctx context.Context, offers []*offer, reign Reign, known Pos) (best Pos, again []*offer) {
	slices.SortFunc(offers, func(a, b *offer) int {
		if b.pos().Less(a.pos()) {
			return -1
		}
		return 1
	})
	for _, a := range offers {
		if known.Less(a.pos()) {
			known = a.pos()
		}
		if !c.standsAt().Less(a.pos()) {
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = a.conn.Close() })
		err := c.pull(a, reign)
		stop()
		if errors.Is(err, errChanged) {
			again = append(again, a)
			continue
		}
		if err != nil {
			c.cfg.Log.Warn().Err(err).Str("from", a.w.name).Msg("Barrier: lost a peer that holds more than this instance")
		}
	}
	return known, again
}

// ask asks one peer, again if the connection breaks, and returns nil if it
// does not answer.
func (c *Cache) ask(ctx context.Context, addr netip.AddrPort, reign Reign) *offer {
	for pause := retryLeast; ; pause *= 2 {
		h := c.pullHello(reign)
		conn, r, w, err := c.dial(ctx, addr, &h, dialTime)
		if err == nil {
			return &offer{addr, conn, r, w, h}
		}
		c.cfg.Log.Debug().Err(err).Stringer("addr", addr).Msg("Barrier: no answer")
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// standsAt is the position, or none when this copy is of no use.
func (c *Cache) standsAt() Pos {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream.anew {
		return Pos{}
	}
	return c.own.pos()
}

func (c *Cache) pullHello(reign Reign) hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hello{mode: modePull, reign: reign, last: c.own.ring.last, history: c.own.history, anew: c.stream.anew}
}

// pull takes what a peer has, unless it was offered for another log than this
// copy has by now.
func (c *Cache) pull(a *offer, reign Reign) error {
	if h := c.pullHello(reign); h.last != a.asked.last || len(h.history) != len(a.asked.history) {
		return errChanged
	}
	c.mu.Lock()
	c.stream = stream{conn: a.conn, from: a.w.instance, heard: c.quiet(), last: a.w.last, anew: c.stream.anew}
	err := c.prepare(a.w)
	c.mu.Unlock()
	defer c.parted(a.conn)
	if err != nil {
		return err
	}
	if _, err := a.conn.Write(frame(frameGo, nil)); err != nil {
		return err
	}
	return c.receive(a.conn, a.r, true)
}
