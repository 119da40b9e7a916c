package mcast

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// receiveBuffer is asked of the kernel, which may give less. It has to hold
	// what arrives while the process is not scheduled.
	receiveBuffer = 4 << 20
	// sendTimeout bounds a send when the card's queue is full. A lost heartbeat
	// is cheaper than an election that waits. It is the sum of all tries: on a
	// busy machine the time of one may pass before the kernel is asked.
	sendTimeout = 10 * time.Millisecond
	sendTries   = 2
)

// Config says where to send and listen.
type Config struct {
	Group       netip.Addr // a multicast address, IPv4 or IPv6
	Port        uint16     // of the group; also of the unicast socket if it is free
	Interface   string     // name of a network interface; "" = where the route to the group leads
	TTL         int        // of multicast packets, 0 to 255 (IPv6: hop limit); 0 keeps them on this machine
	RequirePort bool       // fail if the unicast socket cannot have Port
	LeavePort   bool       // leave Port of the unicast socket to other programs, and take any
	// Rest is for how long what comes to the group may gather before it is read
	// when what is wanted comes more often than that; 0 = not at all. Linux only.
	// What comes to the unicast socket is always read at once.
	Rest time.Duration
	// Moved, if not nil, is called after the address has changed. It must not block.
	Moved func()
	Log   zerolog.Logger
}

func (cfg *Config) validate() error {
	var errs []error
	if !cfg.Group.IsMulticast() || cfg.Group.Zone() != "" {
		errs = append(errs, fmt.Errorf("group %v is not a multicast address", cfg.Group))
	}
	if cfg.Port == 0 {
		errs = append(errs, errors.New("port is 0"))
	}
	if cfg.TTL < 0 || cfg.TTL > 255 {
		errs = append(errs, fmt.Errorf("ttl %d is not in 0 to 255", cfg.TTL))
	}
	return errors.Join(errs...)
}

// Interface is the network interface in use.
type Interface struct {
	Name  string
	Index int
	Addr  netip.Addr // the one our packets come from
}

// Conn is a pair of open sockets. Its methods are safe for concurrent use;
// [Conn.Run] may run once at a time. While it runs, other sockets take the place
// of those whose address or interface is gone.
type Conn struct {
	cfg   Config
	every time.Duration // see lookEvery
	now   atomic.Pointer[sockets]
	look  chan struct{} // a send failed: is the address still there?

	mu     sync.Mutex // guards what follows, and changes of now
	closed bool
}

// sockets are those of one address.
type sockets struct {
	ifi     Interface
	to      netip.AddrPort // group and port, with the zone of the interface
	local   netip.AddrPort
	group   *net.UDPConn
	unicast *net.UDPConn
	checked bool // the kernel tells the destination of what the group socket hears
	rest    *rest
}

// Open chooses the interface, joins the group on it and binds both sockets. It
// needs no privileges. The line it logs names the interface.
func Open(cfg Config) (*Conn, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open heartbeat sockets: %w", err)
	}
	cfg.Group = cfg.Group.Unmap()
	ifi, err := Choose(cfg.Group, cfg.Port, cfg.Interface)
	if err != nil {
		return nil, err
	}
	own := cfg.Port
	if cfg.LeavePort {
		own = 0
	}
	s, err := openSockets(cfg, ifi, own)
	if err != nil {
		return nil, err
	}
	cfg.Interface = ifi.Name // it stays the same, wherever the route leads later
	c := &Conn{cfg: cfg, every: lookEvery, look: make(chan struct{}, 1)}
	c.now.Store(s)
	cfg.Log.Info().Str("interface", ifi.Name).Stringer("address", s.local).
		Stringer("group", netip.AddrPortFrom(cfg.Group, cfg.Port)).Msg("Network interface chosen")
	return c, nil
}

// zone is the interface by its number. Package net may know the number of the one
// that had the name before, for a minute; a number that it does not know it looks
// up, which takes too long for a send, and then it knows the name too.
func (i Interface) zone() string { return strconv.Itoa(i.Index) }

// openSockets opens both. The unicast socket gets the port own if it can.
func openSockets(cfg Config, ifi Interface, own uint16) (*sockets, error) {
	c := &sockets{ifi: ifi, to: netip.AddrPortFrom(cfg.Group, cfg.Port), rest: &rest{every: cfg.Rest}}
	if cfg.Group.Is6() {
		c.to = netip.AddrPortFrom(cfg.Group.WithZone(ifi.Name), cfg.Port)
	}
	if err := c.checkRoute(); err != nil {
		return nil, err
	}
	if err := c.openGroup(); err != nil {
		return nil, err
	}
	if err := c.openUnicast(cfg, own); err != nil {
		c.group.Close()
		return nil, err
	}
	return c, nil
}

// checkRoute finds at start what every send would fail of later: an interface
// without IPv6 multicast, as lo is in Linux. It sends nothing. Only for
// link-local groups does the kernel take the interface from the address; IPv4
// needs no route once the interface is set.
func (c *sockets) checkRoute() error {
	if !c.to.Addr().Is6() || !c.to.Addr().IsLinkLocalMulticast() {
		return nil
	}
	to := netip.AddrPortFrom(c.to.Addr().WithZone(c.ifi.zone()), c.to.Port())
	conn, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return fmt.Errorf("find the route to group %v: %w; choose another failover.interface, or an IPv4 failover.group", c.to.Addr(), err)
	}
	return conn.Close()
}

// openGroup binds the group socket and joins the group on the interface.
func (c *sockets) openGroup() error {
	ifi := &net.Interface{Index: c.ifi.Index, Name: c.ifi.Name}
	conn, err := listenGroup(c.to, c.ifi.Index)
	if err != nil {
		return fmt.Errorf("bind to group %v: %w", c.to, err)
	}
	join := &net.UDPAddr{IP: c.to.Addr().AsSlice()}
	if c.to.Addr().Is4() {
		p := ipv4.NewPacketConn(conn)
		err = p.JoinGroup(ifi, join)
		c.checked = p.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true) == nil
	} else {
		p := ipv6.NewPacketConn(conn)
		err = p.JoinGroup(ifi, join)
		c.checked = p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true) == nil
	}
	if err != nil {
		conn.Close()
		return fmt.Errorf("join group %v on %s: %w", c.to.Addr(), c.ifi.Name, err)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // best effort
	c.group = conn
	c.rest.most = c.held() / 4
	return nil
}

// openUnicast binds the socket that sends, and says how it sends multicast.
func (c *sockets) openUnicast(cfg Config, port uint16) error {
	network, addr := "udp4", c.ifi.Addr
	if addr.Is6() {
		network = "udp6"
		if addr.Zone() != "" {
			addr = addr.WithZone(c.ifi.zone())
		}
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
	if err != nil && cfg.RequirePort {
		return fmt.Errorf("bind to %v port %d for the heartbeats of failover.peers: %w; choose another failover.port", c.ifi.Addr, port, err)
	}
	if err != nil {
		first := err
		conn, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err != nil {
			return fmt.Errorf("bind to %v: port %d: %w; any port: %w", c.ifi.Addr, port, first, err)
		}
	}
	ifi := &net.Interface{Index: c.ifi.Index, Name: c.ifi.Name}
	if c.ifi.Addr.Is4() {
		p := ipv4.NewPacketConn(conn)
		err = errors.Join(p.SetMulticastInterface(ifi), p.SetMulticastTTL(cfg.TTL), p.SetMulticastLoopback(true))
	} else {
		p := ipv6.NewPacketConn(conn)
		err = errors.Join(p.SetMulticastInterface(ifi), p.SetMulticastHopLimit(cfg.TTL), p.SetMulticastLoopback(true))
	}
	if err != nil {
		conn.Close()
		return fmt.Errorf("prepare to send multicast on %s: %w", c.ifi.Name, err)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // best effort
	c.unicast = conn
	a := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	c.local = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	return nil
}

func (c *sockets) close() error { return errors.Join(c.group.Close(), c.unicast.Close()) }

// Interface is the network interface that Open chose, with the address in use now.
func (c *Conn) Interface() Interface { return c.now.Load().ifi }

// LocalAddr is the source address of everything that is sent now, and where
// unicast packets reach this instance.
func (c *Conn) LocalAddr() netip.AddrPort { return c.now.Load().local }

// Multicast sends b to the group. It does not block for longer than 10 ms.
func (c *Conn) Multicast(b []byte) error {
	s := c.now.Load()
	if err := c.send(s, b, s.to); err != nil {
		return fmt.Errorf("multicast on %s: %w", s.ifi.Name, err)
	}
	return nil
}

// Unicast sends b to one address. It does not block for longer than 10 ms.
func (c *Conn) Unicast(b []byte, to netip.AddrPort) error {
	if err := c.send(c.now.Load(), b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())); err != nil {
		return fmt.Errorf("unicast: %w", err)
	}
	return nil
}

func (c *Conn) send(s *sockets, b []byte, to netip.AddrPort) error {
	err := os.ErrDeadlineExceeded
	for n := 0; n < sendTries && errors.Is(err, os.ErrDeadlineExceeded); n++ {
		if err := s.unicast.SetWriteDeadline(time.Now().Add(sendTimeout / sendTries)); err != nil {
			return err
		}
		_, err = s.unicast.WriteToUDPAddrPort(b, to)
	}
	if err != nil {
		select {
		case c.look <- struct{}{}:
		default: // already asked
		}
	}
	return err
}

// Close closes both sockets; a [Conn.Run] under way ends with an error.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.now.Load().close()
}
