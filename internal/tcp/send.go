package tcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// peer is one address. Conn.mu guards its fields.
type peer struct {
	conn *Conn
	addr string

	next *ping // waits to be sent; a newer one replaces it
	busy bool  // a goroutine sends to it
	lost bool  // the last ping did not reach it
}

// ping is one message on its way, shared by the peers and never changed.
type ping struct {
	b     []byte
	until time.Duration // afterwards it is old news
}

// Multicast sends b to every peer. It does not wait; whom it did not reach is
// logged once and counted. It fails only when the Conn is closed.
func (c *Conn) Multicast(b []byte) error {
	m := &ping{b: slices.Clone(b), until: now() + c.cfg.Timeout}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	for _, p := range c.targets() {
		p.post(m)
	}
	return nil
}

// Unicast sends b to one address, likewise.
func (c *Conn) Unicast(b []byte, to netip.AddrPort) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	(&peer{conn: c, addr: to.String()}).post(&ping{b: slices.Clone(b), until: now() + c.cfg.Timeout})
	return nil
}

// post leaves m to be sent. The lock is held.
func (p *peer) post(m *ping) {
	p.next = m
	if !p.busy {
		p.busy = true
		p.conn.sending.Go(p.send)
	}
}

// send sends what is posted until there is nothing more.
func (p *peer) send() {
	c := p.conn
	for {
		c.mu.Lock()
		m := p.next
		p.next = nil
		if m == nil || c.ctx.Err() != nil {
			p.busy = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		err := c.carry(m, p.addr)
		c.note(p, err)
	}
}

var errLate = errors.New("too late")

// carry takes one ping to one address.
func (c *Conn) carry(m *ping, addr string) error {
	left := m.until - now()
	if left <= 0 {
		return errLate
	}
	ctx, cancel := context.WithTimeout(c.ctx, left)
	defer cancel()
	conn, err := c.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// This process may have been frozen: what was true at its start may not be now.
	left = m.until - now()
	if left <= 0 {
		return errLate
	}
	if err := conn.SetWriteDeadline(time.Now().Add(left)); err != nil {
		return err
	}
	// In one write: the Java listener reads once.
	_, err = conn.Write(m.b)
	return err
}

// note counts, and logs when a peer is lost and when it is back.
func (c *Conn) note(p *peer, err error) {
	if err == nil {
		c.sent.Add(1)
	} else {
		c.unsent.Add(1)
	}
	c.mu.Lock()
	changed := p.lost != (err != nil)
	p.lost = err != nil
	closed := c.closed
	c.mu.Unlock()
	switch {
	case !changed || closed:
	case err != nil:
		c.cfg.Log.Warn().Err(err).Str("peer", p.addr).Msg("Peer not reached; it is tried again with each ping")
	default:
		c.cfg.Log.Debug().Str("peer", p.addr).Msg("Peer reached again")
	}
}
