package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/broadcast"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/election/position"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
	"github.com/interlok-ha/interlok-ha/internal/tcp"
	"github.com/interlok-ha/interlok-ha/listen"
)

// The 3.3 design: pings in place of heartbeats, and places in a line in place
// of claims.

// positions reports whether this instance is of the 3.3 design.
func (n *Node) positions() bool { return n.s.Design == config.Design33 }

// openPings opens the sockets of the 3.3 design.
func (n *Node) openPings() error {
	p, log := n.s.Ping, n.o.Log
	log.Info().Msg("Starting Interlok instance in failover mode as a slave.")
	if place := n.s.Election.Position; place > 0 {
		log.Info().Msgf("Slave position %d", place)
	} else {
		log.Info().Msg("No slave position has been set, one will be allocated.")
	}
	log.Warn().Msg("The 3.3 design has no key: anyone on this network can forge pings and take mastership, and reach the cache")
	open := n.openGroup
	if p.Mode == config.SocketTCP {
		open = n.openDirect
	}
	host, own, err := open()
	if err != nil {
		return err
	}
	in, err := heartbeat.NewPingCodec(host, p.TCPPort)
	if err != nil {
		return fmt.Errorf("failover.tcp.host: %w", err)
	}
	out, err := heartbeat.NewPingCodec(host, p.TCPPort)
	if err != nil {
		return err
	}
	n.address = out.Name()
	if n.listen, err = listen.New(listen.Config{Conn: n.conn, Codec: in, Self: n.id, Drop: n.o.Drop, Log: log}); err != nil {
		return err
	}
	if n.broadcast, err = broadcast.New(broadcast.Config{Conn: n.conn, Codec: out, Log: log}); err != nil {
		return err
	}
	return n.openCache(own)
}

// openGroup has pings go by multicast. host is what they say of their sender,
// own an address of this host.
func (n *Node) openGroup() (host string, own netip.Addr, err error) {
	p := n.s.Ping
	conn, err := mcast.Open(mcast.Config{
		Group: p.Group, Port: p.Port, Interface: n.s.Network.Interface, TTL: n.s.Network.TTL,
		LeavePort: true, // a Java instance of this host binds to it
		Moved:     n.noteMove, Log: n.o.Log,
	})
	if err != nil {
		return "", netip.Addr{}, err
	}
	n.conn, n.card = conn, conn.Interface().Name
	own = conn.LocalAddr().Addr()
	if host = p.TCPHost; host == "" {
		host = own.WithZone("").String()
	}
	return host, own, nil
}

// openDirect has pings go by TCP.
func (n *Node) openDirect() (host string, own netip.Addr, err error) {
	p, bind := n.s.Ping, netip.IPv4Unspecified()
	literal, card := cardOf(p.TCPHost)
	switch {
	case n.s.Network.Interface == "" && card != "":
		own, bind, n.card = literal, literal, card
	default: // any group will do, it is for the route
		ifi, chooseErr := mcast.Choose(n.s.Cache.Group, n.s.Cache.Port, n.s.Network.Interface)
		if chooseErr != nil {
			return "", own, fmt.Errorf("%w; name one with failover.interface, or an address of this host with failover.tcp.host", chooseErr)
		}
		own, n.card = ifi.Addr, ifi.Name
		if n.s.Network.Interface != "" {
			bind = own
		}
	}
	if host = p.TCPHost; host == "" {
		host = own.WithZone("").String()
	}
	peers := make([]string, len(p.TCPPeers))
	for i, peer := range p.TCPPeers {
		peers[i] = joinPeer(peer.Host, peer.Port)
	}
	conn, err := tcp.Open(tcp.Config{
		Listen: netip.AddrPortFrom(bind, p.TCPPort), Size: heartbeat.PingSize,
		Self: joinPeer(host, p.TCPPort), Peers: peers,
		Timeout: min(time.Second, p.Interval), Log: n.o.Log,
	})
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		err = fmt.Errorf("%w; choose another failover.tcp.port", err)
	}
	if err != nil {
		return "", own, err
	}
	n.conn, n.direct = conn, conn
	n.o.Log.Info().Stringer("address", conn.LocalAddr()).Strs("peers", peers).Msg("Pings go by TCP")
	return host, own, nil
}

func joinPeer(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// cardOf is the network card of this host that has an address, or "" if host is
// none of its addresses.
func cardOf(host string) (a netip.Addr, card string) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return a, ""
	}
	cards, err := net.Interfaces()
	if err != nil {
		return a, ""
	}
	for _, c := range cards {
		addrs, err := c.Addrs()
		if err != nil {
			continue // it went away since it was listed
		}
		for _, known := range addrs {
			if p, err := netip.ParsePrefix(known.String()); err == nil && p.Addr().Unmap() == a.Unmap() {
				return a.Unmap(), c.Name
			}
		}
	}
	return a, ""
}

// newPositions makes the machine of the 3.3 design.
func (n *Node) newPositions(saved election.State) func(time.Duration) (failover.Machine, error) {
	return func(now time.Duration) (failover.Machine, error) {
		return position.New(position.Config{
			Self: n.id, Name: n.address, Position: uint16(n.s.Election.Position),
			Interval: n.s.Ping.Interval, Timeout: n.s.Ping.Timeout, Candidate: n.s.Election.Candidate,
		}, saved, now)
	}
}

// learn keeps the list of peers that pings are sent to by TCP.
func (n *Node) learn(e election.Event) {
	if n.direct == nil {
		return
	}
	switch e.Type {
	case election.EventPeerJoined:
		n.direct.Learn(e.Peer, e.Name)
	case election.EventPeerLeft:
		n.direct.Forget(e.Peer)
	}
}
