package config

import (
	"net"
	"net/netip"
	"strings"
)

func host(field func(*Settings) *string) kind {
	return kind{name: "host", set: func(s *Settings, v string) *complaint {
		h := unbracket(v)
		if !isHost(h) {
			return complain("write a host name or an IP address, without a port", "%s is not a host", quote(v))
		}
		*field(s) = h
		return nil
	}}
}

// unbracket takes a pair of brackets off; one alone stays, and is a fault.
func unbracket(v string) string {
	if inner, ok := strings.CutPrefix(v, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return v
}

// isHost takes IP addresses, and names as any resolver might know them.
func isHost(v string) bool {
	if _, err := netip.ParseAddr(v); err == nil {
		return true
	}
	return v != "" && len(v) <= 253 && plain(v) && !strings.ContainsAny(v, ":;,[]%@\"'")
}

// peers takes HOST[:PORT];HOST[:PORT]… or with commas. Port stays 0 where none is written.
func peers(needPort bool, field func(*Settings) *[]Peer) kind {
	name, instead := "addresses, HOST[:PORT];…", "write host[:port] with ; between them, such as 10.0.0.2;10.0.0.3:2710"
	if needPort {
		name, instead = "addresses, HOST:PORT;…", "write host:port with ; between them, such as 10.0.0.2:4446;10.0.0.3:4446"
	}
	return kind{name: name, set: func(s *Settings, v string) *complaint {
		var list []Peer
		for _, item := range splitList(v, ";,") {
			p, bad := parsePeer(item, instead)
			if bad != nil {
				return bad
			}
			if needPort && p.Port == 0 {
				return complain(instead, "%s has no port", quote(item))
			}
			list = append(list, p)
		}
		if len(list) == 0 {
			return complain(instead, "%s names nobody", quote(v))
		}
		*field(s) = list
		return nil
	}}
}

func parsePeer(item, instead string) (Peer, *complaint) {
	if a, err := netip.ParseAddr(unbracket(item)); err == nil {
		return Peer{Host: a.String()}, nil // IPv6 without a port, in brackets or not
	}
	if !strings.Contains(item, ":") {
		if !isHost(item) {
			return Peer{}, complain(instead, "%s is not a host", quote(item))
		}
		return Peer{Host: item}, nil
	}
	h, p, err := net.SplitHostPort(item)
	if err != nil || !isHost(h) {
		return Peer{}, complain(instead, "%s is not host:port", quote(item))
	}
	n, bad := parsePort(p)
	if bad != nil {
		return Peer{}, complain(instead, "%s has no port from 1 to 65535", quote(item))
	}
	return Peer{Host: h, Port: n}, nil
}

// listen takes HOST:PORT, :PORT for all addresses, and port 0 for a free one.
func listen(field func(*Settings) *string) kind {
	return kind{name: "address, HOST:PORT", set: func(s *Settings, v string) *complaint {
		const instead = "write host:port, such as 127.0.0.1:8710"
		h, p, err := net.SplitHostPort(v)
		if err != nil || h != "" && !isHost(h) {
			return complain(instead, "%s is not host:port", quote(v))
		}
		if _, bad := parsePort(p); bad != nil && p != "0" {
			return complain(instead, "%s has no port from 0 to 65535", quote(v))
		}
		*field(s) = v
		return nil
	}}
}

// isLoopback reports whether only this machine can reach a listen address.
// Names other than localhost can mean anything.
func isLoopback(address string) bool {
	h, _, _ := net.SplitHostPort(address)
	if a, err := netip.ParseAddr(h); err == nil {
		return a.Unmap().IsLoopback()
	}
	return strings.EqualFold(h, "localhost")
}

// bind takes IP, IP:PORT and :PORT.
func bind(field func(*Settings) *netip.AddrPort) kind {
	return kind{name: "address, IP[:PORT]", set: func(s *Settings, v string) *complaint {
		const instead = "write an IP address with or without a port, such as 10.0.0.1:7946"
		var b netip.AddrPort
		if a, err := netip.ParseAddr(unbracket(v)); err == nil {
			b = netip.AddrPortFrom(a.Unmap(), 0)
		} else {
			h, p, err := net.SplitHostPort(v)
			if err != nil {
				return complain(instead, "%s is not an address", quote(v))
			}
			var a netip.Addr
			if h != "" {
				if a, err = netip.ParseAddr(h); err != nil {
					return complain(instead, "%s is not an IP address", quote(h))
				}
			}
			n, bad := parsePort(p)
			if bad != nil && p != "0" {
				return complain(instead, "%s has no port from 0 to 65535", quote(v))
			}
			b = netip.AddrPortFrom(a.Unmap(), n)
		}
		if b.Addr().IsMulticast() {
			return complain(instead, "%s is a multicast address", quote(v))
		}
		*field(s) = b
		return nil
	}}
}
