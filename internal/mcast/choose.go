package mcast

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// host is what the choice of an interface depends on.
type host struct {
	cards []card
	// route is the local address that the kernel would send to a group from.
	// It sends nothing.
	route func(group netip.AddrPort) (netip.Addr, error)
}

type card struct {
	name  string
	index int
	flags net.Flags
	addrs []netip.Addr // link-local ones with their zone
}

func thisHost() (host, error) {
	ifis, err := net.Interfaces()
	if err != nil {
		return host{}, err
	}
	h := host{route: kernelRoute}
	for _, ifi := range ifis {
		c := card{name: ifi.Name, index: ifi.Index, flags: ifi.Flags}
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // it went away since it was listed
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(n.IP)
			if !ok {
				continue
			}
			ip = ip.Unmap()
			if ip.Is6() && ip.IsLinkLocalUnicast() {
				ip = ip.WithZone(ifi.Name)
			}
			c.addrs = append(c.addrs, ip)
		}
		h.cards = append(h.cards, c)
	}
	return h, nil
}

func kernelRoute(group netip.AddrPort) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(group))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// choose picks the interface called name, or with no name the one that the
// kernel routes the group to. Where it has no route, that is the only one that
// is up.
func (h host) choose(group netip.Addr, port uint16, name string) (Interface, error) {
	if name != "" {
		return h.named(group, name)
	}
	addr, err := h.route(netip.AddrPortFrom(group, port))
	if err != nil {
		// A link-local IPv6 group has no route without an interface. That is no
		// obstacle where there is only one to take.
		if c, a, ok := h.only(group); ok && group.IsLinkLocalMulticast() && group.Is6() {
			return Interface{c.name, c.index, a}, nil
		}
		if c, a, ok := h.alone(group); ok {
			return Interface{c.name, c.index, a}, nil
		}
		return Interface{}, h.unusable(group, fmt.Errorf("find the interface for group %v: %w", group, err))
	}
	for _, c := range h.cards {
		for _, a := range c.addrs {
			if a.WithZone("") != addr.WithZone("") || addr.Zone() != "" && addr.Zone() != c.name {
				continue
			}
			if err := c.usable(false); err != nil {
				return Interface{}, h.unusable(group, fmt.Errorf("the route to group %v leads to %s, which %w", group, c.name, err))
			}
			return Interface{c.name, c.index, a}, nil
		}
	}
	return Interface{}, h.unusable(group, fmt.Errorf("the route to group %v leads to %v, which no interface has", group, addr))
}

func (h host) named(group netip.Addr, name string) (Interface, error) {
	for _, c := range h.cards {
		if c.name != name {
			continue
		}
		if err := c.usable(true); err != nil {
			return Interface{}, h.unusable(group, fmt.Errorf("interface %s %w", name, err))
		}
		a, ok := c.addr(group)
		if !ok {
			return Interface{}, h.unusable(group, fmt.Errorf("interface %s has no %s address", name, family(group)))
		}
		return Interface{c.name, c.index, a}, nil
	}
	return Interface{}, h.unusable(group, fmt.Errorf("there is no interface %q", name))
}

// usable tells why a card cannot carry multicast. The loopback interface says
// that it cannot, but it can: it counts when it was chosen by name. Chosen by
// the route it would silently keep the heartbeats on this machine.
func (c card) usable(byName bool) error {
	switch {
	case c.flags&net.FlagUp == 0:
		return errors.New("is down")
	case c.flags&net.FlagLoopback != 0:
		if !byName {
			return errors.New("keeps all packets on this machine")
		}
	case c.flags&net.FlagMulticast == 0:
		return errors.New("cannot do multicast")
	}
	return nil
}

// addr is the address to send to group from: the first of its family, where
// IPv6 prefers a link-local one for a link-local group and another one for others.
func (c card) addr(group netip.Addr) (netip.Addr, bool) {
	var spare netip.Addr
	for _, a := range c.addrs {
		switch {
		case a.Is4() != group.Is4():
		case a.Is4() || a.IsLinkLocalUnicast() == group.IsLinkLocalMulticast():
			return a, true
		case !spare.IsValid():
			spare = a
		}
	}
	return spare, spare.IsValid()
}

// only is the single card, besides loopback, that can carry the group.
func (h host) only(group netip.Addr) (found card, addr netip.Addr, ok bool) {
	for _, c := range h.cards {
		a, has := c.addr(group)
		if !has || c.usable(false) != nil {
			continue
		}
		if ok {
			return card{}, netip.Addr{}, false
		}
		found, addr, ok = c, a, true
	}
	return found, addr, ok
}

// alone is the single card, besides loopback, that is up for multicast, whatever
// its addresses: one that is about to get its address must not be passed over.
// Loopback is it on a machine that has nothing else, up or down.
func (h host) alone(group netip.Addr) (found card, addr netip.Addr, ok bool) {
	n := 0
	for _, c := range h.cards {
		if c.usable(false) == nil || len(h.cards) == 1 && group.Is4() && c.usable(true) == nil {
			found = c
			n++
		}
	}
	addr, ok = found.addr(group)
	return found, addr, ok && n == 1
}

// unusable adds to err what the user can choose instead.
func (h host) unusable(group netip.Addr, err error) error {
	var names []string
	for _, c := range h.cards {
		a, ok := c.addr(group)
		if !ok || c.usable(true) != nil || group.Is6() && c.flags&net.FlagLoopback != 0 {
			continue // most systems have no IPv6 multicast on loopback
		}
		note := ""
		if c.flags&net.FlagLoopback != 0 {
			note = ", this machine only"
		}
		names = append(names, fmt.Sprintf("%s (%v%s)", c.name, a.WithZone(""), note))
	}
	if len(names) == 0 {
		return fmt.Errorf("%w; no interface is up with multicast and an %s address: set one up and name it with failover.interface", err, family(group))
	}
	return fmt.Errorf("%w; choose one with failover.interface: %s", err, strings.Join(names, ", "))
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// Choose is the interface that [Open] would take. It opens nothing.
func Choose(group netip.Addr, port uint16, name string) (Interface, error) {
	here, err := thisHost()
	if err != nil {
		return Interface{}, fmt.Errorf("list network interfaces: %w", err)
	}
	return here.choose(group.Unmap(), port, name)
}
