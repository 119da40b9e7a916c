package cache

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// Move goes on at another address of this host, for the one there was is gone.
// The port stays, if it is free there. What is held stays too: to the others it
// is as if the connection had been cut for a moment. Every stream ends, and is
// opened anew by the slave that has it; gossip tells the address. Whoever else
// tells it, as heartbeats do, asks [Cache.Addr] afterwards. After an error the
// cache is where it was.
func (c *Cache) Move(to netip.Addr) error {
	network := c.cfg.Network
	if h, ok := network.(hostNetwork); ok {
		h.wait = time.Nanosecond // no predecessor of this instance ends there
		network = h
	}
	bind := netip.AddrPortFrom(to, c.Addr().Port())
	l, p, err := network.Listen(bind)
	if errors.Is(err, syscall.EADDRINUSE) {
		// A keeper may have a copy of the listener that was there, if the address
		// is an earlier one that came back.
		l, p, err = network.Listen(netip.AddrPortFrom(to, 0))
	}
	if err != nil {
		return fmt.Errorf("cache: move to %v: %w", bind, err)
	}
	if err := c.port.move(newBound(l, p)); err != nil {
		return fmt.Errorf("cache: move to %v: %w", bind, err)
	}
	c.gossip.move()
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	return nil
}
