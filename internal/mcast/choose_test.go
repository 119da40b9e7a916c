package mcast

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

const up = net.FlagUp | net.FlagMulticast

var (
	lo   = card{"lo", 1, net.FlagUp | net.FlagLoopback, []netip.Addr{ip("127.0.0.1"), ip("::1")}}
	eth0 = card{"eth0", 2, up, []netip.Addr{ip("192.0.2.7"), ip("192.0.2.8"), ip("2001:db8::7"), ip("fe80::7%eth0")}}
	eth1 = card{"eth1", 3, up, []netip.Addr{ip("198.51.100.7"), ip("fe80::8%eth1")}}
	down = card{"eth2", 4, net.FlagMulticast, []netip.Addr{ip("203.0.113.7")}}
	tun  = card{"tun0", 5, net.FlagUp | net.FlagPointToPoint, []netip.Addr{ip("203.0.113.8")}}
	bare = card{"eth3", 6, up, nil}
)

func TestChoose(t *testing.T) {
	all := []card{lo, eth0, eth1, down, tun, bare}
	tests := []struct {
		name  string
		cards []card
		group string
		ifi   string
		route string // the answer of the kernel, "" = none
		want  string // "name address"
		err   []string
	}{
		{name: "the route's choice", cards: all, group: "230.0.0.1", route: "198.51.100.7", want: "eth1 198.51.100.7"},
		{name: "the route's choice, a second address", cards: all, group: "230.0.0.1", route: "192.0.2.8", want: "eth0 192.0.2.8"},
		{name: "the route's choice, IPv6", cards: all, group: "ff05::9", route: "2001:db8::7", want: "eth0 2001:db8::7"},
		{name: "by name, whatever the route", cards: all, group: "230.0.0.1", ifi: "eth0", route: "198.51.100.7", want: "eth0 192.0.2.7"},
		{name: "lo by name", cards: all, group: "230.0.0.1", ifi: "lo", want: "lo 127.0.0.1"},
		{name: "lo by name, IPv6", cards: all, group: "ff02::9", ifi: "lo", want: "lo ::1"},
		{name: "link-local group, link-local address", cards: all, group: "ff02::9", ifi: "eth0", want: "eth0 fe80::7%eth0"},
		{name: "wider group, wider address", cards: all, group: "ff05::9", ifi: "eth0", want: "eth0 2001:db8::7"},
		{name: "wider group, only a link-local address", cards: all, group: "ff05::9", ifi: "eth1", want: "eth1 fe80::8%eth1"},
		{name: "link-local group without a route, one card", cards: []card{lo, eth1, down}, group: "ff02::9", want: "eth1 fe80::8%eth1"},
		{name: "link-local group without a route, two cards", cards: all, group: "ff02::9",
			err: []string{"failover.interface: eth0 (fe80::7), eth1 (fe80::8)"}},
		{name: "no route", cards: all, group: "230.0.0.1",
			err: []string{"find the interface for group 230.0.0.1", "no route", "choose one with failover.interface: lo (127.0.0.1, this machine only), eth0 (192.0.2.7), eth1 (198.51.100.7)"}},
		{name: "no route, one card", cards: []card{lo, eth1, down, tun}, group: "230.0.0.1", want: "eth1 198.51.100.7"},
		{name: "no route, two cards", cards: all, group: "230.0.0.1", err: []string{"no route", "eth0 (192.0.2.7), eth1"}},
		{name: "no route, the other card has no address yet", cards: []card{lo, eth1, bare}, group: "230.0.0.1", err: []string{"no route"}},
		{name: "no route, nothing but lo", cards: []card{lo}, group: "230.0.0.1", want: "lo 127.0.0.1"},
		{name: "no route, a card that may come up", cards: []card{lo, down}, group: "230.0.0.1", err: []string{"no route", "this machine only"}},
		{name: "a route to lo, one card", cards: []card{lo, eth1}, group: "230.0.0.1", route: "127.0.0.1", err: []string{"leads to lo"}},
		{name: "a route to lo", cards: all, group: "230.0.0.1", route: "127.0.0.1", err: []string{"leads to lo, which keeps all packets on this machine", "lo (127.0.0.1"}},
		{name: "a route to a tunnel", cards: all, group: "230.0.0.1", route: "203.0.113.8", err: []string{"tun0, which cannot do multicast", "eth0"}},
		{name: "a route to nowhere", cards: all, group: "230.0.0.1", route: "203.0.113.99", err: []string{"203.0.113.99, which no interface has"}},
		{name: "unknown", cards: all, group: "230.0.0.1", ifi: "eth9", err: []string{`no interface "eth9"`, "eth0", "eth1"}},
		{name: "down", cards: all, group: "230.0.0.1", ifi: "eth2", err: []string{"interface eth2 is down", "eth0"}},
		{name: "not for multicast", cards: all, group: "230.0.0.1", ifi: "tun0", err: []string{"interface tun0 cannot do multicast"}},
		{name: "without an address", cards: all, group: "230.0.0.1", ifi: "eth3", err: []string{"interface eth3 has no IPv4 address"}},
		{name: "nothing at all", cards: []card{down, tun}, group: "230.0.0.1", err: []string{"no interface is up with multicast and an IPv4 address", "failover.interface"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := host{cards: tt.cards, route: func(netip.AddrPort) (netip.Addr, error) {
				if tt.route == "" {
					return netip.Addr{}, errors.New("no route")
				}
				return ip(tt.route), nil
			}}
			got, err := h.choose(ip(tt.group), 2710, tt.ifi)
			if len(tt.err) == 0 {
				if err != nil || got.Name+" "+got.Addr.String() != tt.want {
					t.Errorf("got %v, %v, want %s", got, err, tt.want)
				}
				return
			}
			if err == nil {
				t.Fatalf("got %v, want an error", got)
			}
			for _, want := range tt.err {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q\ndoes not say %q", err, want)
				}
			}
		})
	}
}

// The machine's own interfaces can be listed and lo be chosen; nothing is sent.
func TestThisHost(t *testing.T) {
	h, err := thisHost()
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.choose(ip("230.0.0.1"), 2710, loopbackName(t))
	if err != nil || got.Addr != ip("127.0.0.1") {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := h.choose(ip("230.0.0.1"), 2710, ""); err != nil && !strings.Contains(err.Error(), "failover.interface") {
		t.Errorf("%q does not say how to choose", err)
	}
}
