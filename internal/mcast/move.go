package mcast

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// lookEvery is how often the interface is asked for its address. A send that
	// fails asks too, but IPv6 sends on from an address that is gone.
	lookEvery = 5 * time.Second
	// lookPause is between two looks after failed sends.
	lookPause = 100 * time.Millisecond
)

// watch waits until the sockets are of no use any more and there is an address
// to go to, or until ctx ends. As long as there is none, what is there stays.
func (c *Conn) watch(ctx context.Context, s *sockets) (to Interface) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return s.ifi
		case <-tick.C:
		case <-c.look:
		}
		there, err := s.ifi.there()
		if err == nil && !there {
			if to, err = Choose(c.cfg.Group, c.cfg.Port, c.cfg.Interface); err == nil {
				return to
			}
			if !told {
				c.cfg.Log.Warn().Err(err).Stringer("address", s.local).Msg("The network interface has lost its address")
			}
		}
		told = !there
		select {
		case <-ctx.Done():
		case <-time.After(lookPause):
		}
	}
}

// there reports whether the interface is the one it was, and still has the address.
func (i Interface) there() (bool, error) {
	ifis, err := net.Interfaces()
	if err != nil {
		return false, err
	}
	for _, ifi := range ifis {
		if ifi.Index != i.Index || ifi.Name != i.Name {
			continue
		}
		addrs, err := ifi.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(i.Addr.AsSlice()) {
				return true, nil
			}
		}
		return false, err
	}
	return false, nil
}

// move puts sockets of another address in the place of s, or has none when ctx
// ends.
func (c *Conn) move(ctx context.Context, s *sockets, to Interface) error {
	_ = s.close() // first: the address may be the same, and the port is to be
	for told := false; ; {
		next, err := openSockets(c.cfg, to, s.local.Port())
		c.mu.Lock()
		closed := c.closed
		if err == nil && !closed {
			c.now.Store(next)
		}
		c.mu.Unlock()
		switch {
		case closed:
			if err == nil {
				_ = next.close()
			}
			return fmt.Errorf("receive heartbeats: %w", net.ErrClosed)
		case err == nil:
			c.cfg.Log.Warn().Str("interface", to.Name).Stringer("address", next.local).Stringer("before", s.local).
				Msg("The network interface has another address; going on with it")
			if c.cfg.Moved != nil {
				c.cfg.Moved()
			}
			return nil
		case !told:
			told = true
			c.cfg.Log.Warn().Err(err).Str("interface", to.Name).Stringer("address", to.Addr).Stringer("before", s.local).
				Msg("The network interface has another address, which cannot be used; trying again")
		}
		select { // the address may be on its way: IPv6 asks first whether it is free
		case <-ctx.Done():
			return nil
		case <-time.After(lookPause):
		}
		if now, err := Choose(c.cfg.Group, c.cfg.Port, c.cfg.Interface); err == nil {
			to = now
		}
	}
}
