package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	defaultTimeout = time.Second
	// maxLearned bounds the peers that pings told of and that are pinged: anybody
	// can make pings. Those that came first are. More are remembered, up to
	// maxKnown, and move in when one is forgotten.
	maxLearned = 64
	maxKnown   = 256
	// lastPings is the time for what is on its way at the end.
	lastPings = 300 * time.Millisecond
)

// Config says where to listen and whom to send to.
type Config struct {
	Listen netip.AddrPort // an unspecified address is all of this host's
	Size   int            // of a ping, in bytes
	Self   string         // host:port under which peers know this one; it is not sent to
	Peers  []string       // host:port each; names are looked up anew for each ping
	// Timeout bounds the way of one ping to one peer, 0 = 1 s.
	Timeout time.Duration
	// Dial opens connections, nil = the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  zerolog.Logger
}

func (cfg *Config) validate() error {
	var errs []error
	if !cfg.Listen.Addr().IsValid() {
		errs = append(errs, errors.New("no Listen"))
	}
	if cfg.Size < 1 {
		errs = append(errs, fmt.Errorf("the Size is %d", cfg.Size))
	}
	if cfg.Timeout < 0 || cfg.Timeout > time.Minute {
		errs = append(errs, fmt.Errorf("the Timeout is %v", cfg.Timeout))
	}
	for _, p := range cfg.Peers {
		if _, _, err := net.SplitHostPort(p); err != nil {
			errs = append(errs, fmt.Errorf("peer %q: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// Conn is a listening socket and the peers. Its methods are safe for concurrent
// use; [Conn.Run] may run once.
type Conn struct {
	cfg      Config
	listener *net.TCPListener
	ctx      context.Context // ends what is on its way
	cancel   context.CancelFunc
	sending  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	fixed   []*peer
	learned map[[16]byte]*peer // by the instance whose ping told of it
	order   [][16]byte         // of learned, the oldest first
	open    []net.Conn         // what is being read, the oldest first

	sent, unsent, pushed atomic.Uint64
}

// Open binds the listening socket.
func Open(cfg Config) (*Conn, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open ping socket: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(cfg.Listen))
	if err != nil {
		return nil, fmt.Errorf("listen for pings: %w", err)
	}
	c := &Conn{cfg: cfg, listener: l, learned: map[[16]byte]*peer{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, p := range cfg.Peers {
		if p != cfg.Self {
			c.fixed = append(c.fixed, &peer{conn: c, addr: p})
		}
	}
	return c, nil
}

// LocalAddr is where this instance listens.
func (c *Conn) LocalAddr() netip.AddrPort {
	a := c.listener.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close closes the socket and ends what is on its way; a [Conn.Run] under way
// ends with an error.
func (c *Conn) Close() error {
	err := c.listener.Close()
	c.cancel()
	c.shut()
	return err
}

// shut ends all connections that are read, and lets the last pings leave: they
// are those that give a place up.
func (c *Conn) shut() {
	c.mu.Lock()
	c.closed = true
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.mu.Unlock()
	late := time.AfterFunc(lastPings, c.cancel)
	c.sending.Wait()
	late.Stop()
	c.cancel()
}

// Learn adds a peer that the ping of an instance told of: host:port. One that
// is configured is not added twice. The first 64 are pinged.
func (c *Conn) Learn(instance [16]byte, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "0" || addr == c.cfg.Self {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.learned[instance]; old != nil {
		if old.addr == addr {
			return
		}
		c.forget(instance)
	}
	for _, p := range c.fixed {
		if p.addr == addr {
			return
		}
	}
	if len(c.order) == maxKnown {
		return
	}
	p := &peer{conn: c, addr: addr}
	for _, other := range c.learned {
		if other.addr == addr { // the same address under another id: it was started again
			p = other
			break
		}
	}
	c.learned[instance] = p
	c.order = append(c.order, instance)
}

// Forget takes back what the pings of an instance told.
func (c *Conn) Forget(instance [16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(instance)
}

func (c *Conn) forget(instance [16]byte) {
	delete(c.learned, instance)
	for i, id := range c.order {
		if id == instance {
			c.order = append(c.order[:i], c.order[i+1:]...)
			return
		}
	}
}

// targets are all peers, each once. The lock is held.
func (c *Conn) targets() []*peer {
	all := append([]*peer(nil), c.fixed...)
	seen := map[*peer]bool{}
	for _, id := range c.order {
		if p := c.learned[id]; !seen[p] && len(seen) < maxLearned {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// Peers are the addresses that pings go to now, the configured ones first.
func (c *Conn) Peers() (addrs []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.targets() {
		addrs = append(addrs, p.addr)
	}
	return addrs
}

// Stats counts pings since the start.
type Stats struct {
	Sent   uint64 // written to a peer
	Unsent uint64 // the peer could not be reached in time
	Pushed uint64 // connections closed to make room for newer ones
}

// Stats counts pings since the start.
func (c *Conn) Stats() Stats {
	return Stats{Sent: c.sent.Load(), Unsent: c.unsent.Load(), Pushed: c.pushed.Load()}
}

func now() time.Duration { return boottime.Now() }
