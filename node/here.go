package node

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
)

// CheckHere tells what would keep an instance with these settings from working
// that [config.Load] cannot see: what this machine lacks, and what other
// instances with the same line would add up to. Each is a warning, for the
// settings may be meant for another machine.
func CheckHere(s *config.Settings) (warnings []string) {
	warn := func(key, text string, args ...any) {
		place := "default"
		for _, shown := range s.Show() {
			if shown.Key == key {
				place = shown.Origin
			}
		}
		warnings = append(warnings, fmt.Sprintf("%s: %s: ", place, key)+fmt.Sprintf(text, args...))
	}
	group, port := s.Network.Group, s.Network.Port
	if s.Design == config.Design33 {
		group, port = s.Ping.Group, s.Ping.Port
	}
	if name := s.Network.Interface; name != "" && group.IsValid() {
		if _, err := mcast.Choose(group, port, name); err != nil {
			warn("failover.interface", "on this machine run would fail: %v", err)
		}
	}
	if host, _, err := net.SplitHostPort(s.Admin.Listen); err == nil {
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && !hasAddr(a) {
			warn("failover.admin.listen", "on this machine run would fail: it does not have the address %v", a)
		}
	}
	if len(s.Health.Command) > 0 {
		if _, err := exec.LookPath(s.Health.Command[0]); err != nil {
			warn("failover.health.command", "on this machine every check would fail: %v", err)
		}
	}
	e := s.Election
	if total := 2*e.Quorum - 1; s.Design == config.Design306 && e.Quorum > 0 && 2*e.Votes > total && e.Votes <= total &&
		(len(e.Voters) == 0 || len(e.Voters) > 1 && slices.Contains(e.Voters, s.Name)) {
		key, votes := "failover.votes", "votes"
		if e.Quorum == 1 {
			key, votes = "failover.quorum", "vote"
		}
		warn(key, "failover.quorum=%d allows %d %s in all: where a second instance has %d too, all stop with \"too many votes\"", e.Quorum, total, votes, e.Votes)
	}
	return warnings
}

// hasAddr reports whether this machine has an address; true if nobody can tell.
func hasAddr(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(addrs, func(have net.Addr) bool {
		n, ok := have.(*net.IPNet)
		ip, good := netip.Addr{}, false
		if ok {
			ip, good = netip.AddrFromSlice(n.IP)
		}
		return good && ip.Unmap() == a.Unmap().WithZone("")
	})
}
