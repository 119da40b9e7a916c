package mcast

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	// is cheaper than an election that waits.
	sendTimeout = 10 * time.Millisecond
)

// Config says where to send and listen.
type Config struct {
	Group       netip.Addr // a multicast address, IPv4 or IPv6
	Port        uint16     // of the group; also of the unicast socket if it is free
	Interface   string     // name of a network interface; "" = where the route to the group leads
	TTL         int        // of multicast packets, 1 to 255 (IPv6: hop limit)
	RequirePort bool       // fail if the unicast socket cannot have Port
	LeavePort   bool       // leave Port of the unicast socket to other programs, and take any
	Log         zerolog.Logger
}

func (cfg *Config) validate() error {
	var errs []error
	if !cfg.Group.IsMulticast() || cfg.Group.Zone() != "" {
		errs = append(errs, fmt.Errorf("group %v is not a multicast address", cfg.Group))
	}
	if cfg.Port == 0 {
		errs = append(errs, errors.New("port is 0"))
	}
	if cfg.TTL < 1 || cfg.TTL > 255 {
		errs = append(errs, fmt.Errorf("ttl %d is not in 1 to 255", cfg.TTL))
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
// [Conn.Run] may run once at a time.
type Conn struct {
	ifi     Interface
	to      netip.AddrPort // group and port, with the zone of the interface
	local   netip.AddrPort
	group   *net.UDPConn
	unicast *net.UDPConn
	checked bool // the kernel tells the destination of what the group socket hears
}

// Open chooses the interface, joins the group on it and binds both sockets. It
// needs no privileges. The line it logs names the interface.
func Open(cfg Config) (*Conn, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open heartbeat sockets: %w", err)
	}
	cfg.Group = cfg.Group.Unmap()
	here, err := thisHost()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	ifi, err := here.choose(cfg.Group, cfg.Port, cfg.Interface)
	if err != nil {
		return nil, err
	}
	c := &Conn{ifi: ifi, to: netip.AddrPortFrom(cfg.Group, cfg.Port)}
	if cfg.Group.Is6() {
		c.to = netip.AddrPortFrom(cfg.Group.WithZone(ifi.Name), cfg.Port)
	}
	if err := c.checkRoute(); err != nil {
		return nil, err
	}
	if err := c.openGroup(); err != nil {
		return nil, err
	}
	if err := c.openUnicast(cfg); err != nil {
		c.group.Close()
		return nil, err
	}
	cfg.Log.Info().Str("interface", ifi.Name).Stringer("address", c.local).
		Stringer("group", netip.AddrPortFrom(cfg.Group, cfg.Port)).Msg("Network interface chosen")
	return c, nil
}

// checkRoute finds at start what every send would fail of later: an interface
// without IPv6 multicast, as lo is in Linux. It sends nothing. Only for
// link-local groups does the kernel take the interface from the address; IPv4
// needs no route once the interface is set.
func (c *Conn) checkRoute() error {
	if !c.to.Addr().Is6() || !c.to.Addr().IsLinkLocalMulticast() {
		return nil
	}
	conn, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(c.to))
	if err != nil {
		return fmt.Errorf("find the route to group %v: %w; choose another failover.interface, or an IPv4 failover.group", c.to.Addr(), err)
	}
	return conn.Close()
}

// openGroup binds the group socket and joins the group on the interface.
func (c *Conn) openGroup() error {
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
	return nil
}

// openUnicast binds the socket that sends, and says how it sends multicast.
func (c *Conn) openUnicast(cfg Config) error {
	network := "udp4"
	if c.ifi.Addr.Is6() {
		network = "udp6"
	}
	port := cfg.Port
	if cfg.LeavePort {
		port = 0
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.ifi.Addr, port)))
	if err != nil && cfg.RequirePort {
		return fmt.Errorf("bind to %v port %d for the heartbeats of failover.peers: %w; choose another failover.port", c.ifi.Addr, cfg.Port, err)
	}
	if err != nil {
		first := err
		conn, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.ifi.Addr, 0)))
		if err != nil {
			return fmt.Errorf("bind to %v: port %d: %w; any port: %w", c.ifi.Addr, cfg.Port, first, err)
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

// Interface is the network interface that Open chose.
func (c *Conn) Interface() Interface { return c.ifi }

// LocalAddr is the source address of everything that is sent, and where
// unicast packets reach this instance.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Multicast sends b to the group. It does not block for longer than 10 ms.
func (c *Conn) Multicast(b []byte) error {
	if err := c.send(b, c.to); err != nil {
		return fmt.Errorf("multicast on %s: %w", c.ifi.Name, err)
	}
	return nil
}

// Unicast sends b to one address. It does not block for longer than 10 ms.
func (c *Conn) Unicast(b []byte, to netip.AddrPort) error {
	if err := c.send(b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())); err != nil {
		return fmt.Errorf("unicast: %w", err)
	}
	return nil
}

func (c *Conn) send(b []byte, to netip.AddrPort) error {
	if err := c.unicast.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := c.unicast.WriteToUDPAddrPort(b, to)
	return err
}

// Close closes both sockets; a [Conn.Run] under way ends with an error.
func (c *Conn) Close() error { return errors.Join(c.group.Close(), c.unicast.Close()) }
