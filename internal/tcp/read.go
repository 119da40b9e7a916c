package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// readTimeout is the time a peer has to say its ping.
	readTimeout = time.Second
	// more is how long a peer that has said a ping and did not close is
	// listened to, for what would make the ping too long.
	more = 50 * time.Millisecond
	// maxOpen is how many connections are read at once.
	maxOpen = 256
	pause   = 50 * time.Millisecond // after an accept failed
)

// Run receives pings until ctx is cancelled, then returns nil. It calls fn with
// what each connection said, if that is no ping too: nothing, less, or one byte
// more. fn is called by several goroutines; b is valid during the call.
func (c *Conn) Run(ctx context.Context, fn func(b []byte, from netip.AddrPort, multicast bool)) error {
	var reading sync.WaitGroup
	defer reading.Wait()
	defer c.shut()
	stop := context.AfterFunc(ctx, func() { _ = c.listener.Close() })
	defer stop()
	for {
		conn, err := c.listener.AcceptTCP()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("receive pings: %w", err)
		case err != nil: // too many open files, or the peer is gone already
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		if !c.admit(conn) {
			continue
		}
		reading.Go(func() {
			defer c.dismiss(conn)
			c.read(conn, fn)
		})
	}
}

// admit makes room for a connection.
func (c *Conn) admit(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return false
	}
	if len(c.open) == maxOpen {
		_ = c.open[0].Close()
		c.open = slices.Delete(c.open, 0, 1)
		c.pushed.Add(1)
	}
	c.open = append(c.open, conn)
	return true
}

func (c *Conn) dismiss(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.open, conn); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
}

func (c *Conn) read(conn *net.TCPConn, fn func([]byte, netip.AddrPort, bool)) {
	b := make([]byte, c.cfg.Size+1)
	if conn.SetReadDeadline(time.Now().Add(readTimeout)) != nil {
		return
	}
	n, err := io.ReadFull(conn, b[:c.cfg.Size])
	if err == nil {
		if conn.SetReadDeadline(time.Now().Add(more)) != nil {
			return
		}
		if extra, _ := conn.Read(b[n:]); extra > 0 {
			n += extra
		}
	}
	if errors.Is(err, net.ErrClosed) { // pushed out, or the end
		return
	}
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	fn(b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), false)
}
