package config

import (
	"slices"
	"strings"
	"time"
)

// relate checks what several keys must hold together. A relation is judged only
// if each of its values is sound alone, so that one mistake is one fault.
func (l *loader) relate() {
	l.relateDesign()
	if l.s.Design == Design33 {
		l.relatePings()
	} else {
		l.relateTimers()
		l.relateQuorum()
	}
	l.relateSecrets()
	l.relateHealth()
	l.relateAdmin()
	l.relateCache()
}

// clash faults key at its place.
func (l *loader) clash(key, instead, wrong string, args ...any) {
	place, written := l.where(key)
	l.fault(place, written, complain(instead, wrong, args...))
}

// miss faults a key that is not there, at the place of the one that needs it.
func (l *loader) miss(key, neededBy, instead, wrong string, args ...any) {
	place, _ := l.where(neededBy)
	l.fault(place, key, complain(instead, wrong, args...))
}

func (l *loader) relateDesign() {
	chooser := l.chooses33()
	for _, k := range keys {
		if k.Design == "" || k.Design == l.s.Design || !l.has(k.Name) {
			continue
		}
		switch {
		case k.clash:
			place, written := l.where(chooser)
			l.clash(k.Name, "remove one of the two", "it belongs to the 3.0.6 design, but %s (%s) chooses the 3.3 design", written, place)
		case l.s.Design == Design33:
			l.warn(k.Name, "the 3.3 design, which %s chooses, does not read it", chooser)
		default:
			l.warn(k.Name, "only the 3.3 design reads it, and failover.multicast.group and failover.multicast.port are not given")
		}
	}
}

// javaListens is how long a Java instance listens after its start.
const javaListens = 5 * time.Second

// maxPingHost is the room for the host in a ping.
const maxPingHost = 40

func (l *loader) relatePings() {
	const (
		grp, prt = "failover.multicast.group", "failover.multicast.port"
		mode     = "failover.socket.mode"
		tcpPort  = "failover.tcp.port"
		tcpHost  = "failover.tcp.host"
		peers    = "failover.tcp.peers"
		timeout  = "failover.instance.timeout.seconds"
	)
	s, chooser := &l.s, l.chooses33()
	switch {
	case l.has(grp) && !l.has(prt):
		l.miss(prt, grp, "write "+prt+"=PORT beside it", "missing, %s needs it", grp)
	case l.has(prt) && !l.has(grp):
		l.miss(grp, prt, "write "+grp+"=GROUP beside it", "missing, %s needs it", prt)
	case l.has(grp) || !l.sound(mode) || s.Ping.Mode == SocketTCP:
	case l.has(mode):
		l.miss(grp, mode, "write "+grp+"=GROUP and "+prt+"=PORT", "missing, and %s too: %s=multicast needs both", prt, mode)
	default: // failover.tcp.* alone
		l.miss(mode, chooser, "write "+mode+"=tcp beside it", "missing, %s needs it", chooser)
	}
	if n := len(s.Ping.TCPHost); n > maxPingHost && l.has(tcpHost) && l.sound(tcpHost) {
		l.clash(tcpHost, "write an IP address, or a shorter name", "%d bytes are more than the %d that a ping has room for", n, maxPingHost)
	}
	if l.sound(mode) && s.Ping.Mode == SocketTCP {
		if !l.has(tcpPort) {
			also := ""
			if !l.has(tcpHost) {
				also = " (and failover.tcp.host=ADDRESS if the host's own address will not do)"
			}
			l.miss(tcpPort, mode, "write "+tcpPort+"=PORT"+also, "missing, %s=tcp needs it", mode)
		}
		if !l.has(peers) {
			l.warn(mode, "without %s it pings nobody until another one pings it; list the others", peers)
		}
		for _, key := range []string{grp, prt} {
			if l.has(key) && l.sound(key) {
				l.warn(key, "it has no effect while %s is tcp", mode)
			}
		}
		// A Java master waits up to 10 s for each dead peer before it pings the next one.
		others := 0 // the list may hold this one too
		for _, p := range s.Ping.TCPPeers {
			if p.Host != s.Ping.TCPHost || p.Port != s.Ping.TCPPort {
				others++
			}
		}
		slow := 10*time.Second*time.Duration(others-1) + s.Ping.Interval
		if l.sound(peers, timeout, "failover.ping.interval.seconds") && others > 1 && s.Ping.Timeout <= slow {
			l.warn(timeout, "with %d peers a Java master can be silent for %v while it waits for dead ones; write more than that if there are Java instances", others, slow)
		}
	}
	if l.sound(timeout, "failover.ping.interval.seconds") {
		switch {
		case s.Ping.Timeout < 2*s.Ping.Interval:
			l.clash(timeout, "write at least three times the interval", "%v is less than twice the %v between two pings: one lost ping would be a takeover", s.Ping.Timeout, s.Ping.Interval)
		case s.Ping.Timeout < 3*s.Ping.Interval:
			l.warn(timeout, "one lost ping and one late one are a takeover; write three times the %v between two pings, or more", s.Ping.Interval)
		}
		l.relateFence(timeout)
	}
	if l.sound("failover.ping.interval.seconds") && s.Ping.Interval > javaListens {
		l.warn("failover.ping.interval.seconds", "a Java instance that starts listens for %v only, and promotes itself if it hears no ping of the master in that time; write that or less if there are Java instances", javaListens)
	}
}

func (l *loader) relateTimers() {
	const delay, retries = "failover.delay", "failover.retries"
	s := &l.s
	if !l.sound(delay, retries) {
		return
	}
	if s.Election.Retries < 3 {
		l.warn(retries, "one lost heartbeat and one late one are a takeover; write 3 or more")
	}
	if lease := s.Lease(); lease < 300*time.Millisecond {
		key := delay
		if !l.has(delay) {
			key = retries
		}
		l.warn(key, "delay × retries is %v; under 300ms a busy machine causes false takeovers unless the process runs with real-time priority", lease)
	}
	l.relateFence("delay × retries")
}

// relateFence compares the time for a stop with that after which another is master.
func (l *loader) relateFence(down string) {
	const fence = "failover.workload.fence.timeout"
	if s := &l.s; l.has(fence) && l.sound(fence) && s.Workload.FenceTimeout > s.StopBudget() {
		l.warn(fence, "%v is more than a fifth of %s; the command is killed after %v, before the next master starts", s.Workload.FenceTimeout, down, s.StopBudget())
	}
}

func (l *loader) relateQuorum() {
	const quorum, votes, voters, isolation = "failover.quorum", "failover.votes", "failover.voters", "failover.isolation"
	e := &l.s.Election
	if !l.sound(quorum) {
		return
	}
	if e.Quorum == 0 {
		if l.sound(isolation) && e.Isolation == IsolationQuorum {
			l.clash(isolation, "write failover.quorum=2 (for three votes), or isolation auto or continue", "it needs a quorum, and %s is 0", quorum)
		}
		for _, key := range []string{votes, voters, "failover.trust.refusal"} {
			if l.has(key) {
				l.warn(key, "it has no effect while %s is 0", quorum)
			}
		}
		return
	}
	total := 2*e.Quorum - 1
	if l.sound(votes) && e.Votes > total {
		l.clash(votes, "lower it, or raise failover.quorum everywhere", "%d votes are more than the %d there are with %s=%d", e.Votes, total, quorum, e.Quorum)
	}
	if l.sound(voters) && len(e.Voters) > total {
		l.clash(voters, "name fewer, or raise failover.quorum everywhere", "%d voters are more than the %d votes there are with %s=%d", len(e.Voters), total, quorum, e.Quorum)
	}
	if l.sound(voters, "failover.name") && len(e.Voters) > 0 && !slices.Contains(e.Voters, l.s.Name) {
		l.warn(voters, "%s, this instance's name, is not among them: it mirrors the cache, and is never master", l.s.Name)
	}
	if e.TrustRefusal && l.sound("failover.trust.refusal") {
		l.warn("failover.trust.refusal", "where a firewall can refuse connections, one master at a time is no longer guaranteed")
	}
}

func (l *loader) relateSecrets() {
	const key, file = "failover.key", "failover.key.file"
	if l.has(key) && l.has(file) {
		place, _ := l.where(key)
		l.clash(file, "keep one of the two", "%s (%s) is given too", key, place)
	}
	if !l.has(key) {
		return
	}
	switch g := l.given[key]; {
	case g.place == setPlace:
		l.warn(key, "other users can see it in the list of processes; write %s", file)
	case g.inFile:
		if mode, ok := openToOthers(l.src.File); ok {
			l.warn(key, "others can read this file (mode %04o); write %s, or run chmod 600 %s", mode, file, l.src.File)
		}
	}
}

func (l *loader) relateHealth() {
	const command = "failover.health.command"
	if l.has(command) {
		return
	}
	for _, k := range keys {
		if strings.HasPrefix(k.Name, "failover.health.") && l.has(k.Name) {
			l.warn(k.Name, "it has no effect without %s", command)
		}
	}
}
