package config

import (
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
	l.relateUnbuilt()
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

func (l *loader) relatePings() {
	const (
		grp, prt = "failover.multicast.group", "failover.multicast.port"
		mode     = "failover.socket.mode"
		tcpPort  = "failover.tcp.port"
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
	if l.sound(mode) && s.Ping.Mode == SocketTCP {
		if !l.has(tcpPort) {
			also := ""
			if !l.has("failover.tcp.host") {
				also = " (and failover.tcp.host=ADDRESS if the host's own address will not do)"
			}
			l.miss(tcpPort, mode, "write "+tcpPort+"=PORT"+also, "missing, %s=tcp needs it", mode)
		}
		// A Java master waits up to 10 s for each dead peer before it pings the next one.
		slow := 10*time.Second*time.Duration(len(s.Ping.TCPPeers)-1) + s.Ping.Interval
		if l.sound("failover.tcp.peers", "failover.instance.timeout.seconds", "failover.ping.interval.seconds") && len(s.Ping.TCPPeers) > 1 && s.Ping.Timeout <= slow {
			l.warn("failover.instance.timeout.seconds", "with %d peers a Java master can be silent for %v while it waits for dead ones; write more than that if there are Java instances", len(s.Ping.TCPPeers), slow)
		}
	}
	if l.sound("failover.instance.timeout.seconds", "failover.ping.interval.seconds") && s.Ping.Timeout <= s.Ping.Interval {
		l.clash("failover.instance.timeout.seconds", "write at least twice the interval", "%v is not longer than the %v between two pings", s.Ping.Timeout, s.Ping.Interval)
	}
}

func (l *loader) relateTimers() {
	const delay, retries, fence = "failover.delay", "failover.retries", "failover.workload.fence.timeout"
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
	if l.has(fence) && l.sound(fence) && s.Workload.FenceTimeout > s.StopBudget() {
		l.warn(fence, "%v is more than a fifth of delay × retries; the command is killed after %v, before the next master starts", s.Workload.FenceTimeout, s.StopBudget())
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

// relateUnbuilt warns once for each family of keys that are checked and that
// nothing reads yet. Defaults are nobody's wish.
func (l *loader) relateUnbuilt() {
	for _, family := range []string{"failover.admin.", "failover.profiler."} {
		var given []string
		for _, k := range keys {
			if strings.HasPrefix(k.Name, family) && l.has(k.Name) {
				given = append(given, k.Name)
			}
		}
		switch {
		case len(given) == 0:
		case family == "failover.admin.":
			l.warn(given[0], "the HTTP API over TCP is not part of this version; only the Unix socket answers")
		case len(given) == 1:
			l.warn(given[0], "not part of this version: has no effect yet")
		default:
			l.warn(given[0], "not part of this version: has no effect yet; nor have %s", strings.Join(given[1:], ", "))
		}
	}
}

func (l *loader) relateAdmin() {
	const listen, token, cert, key, insecure = "failover.admin.listen", "failover.admin.token.file", "failover.admin.tls.cert", "failover.admin.tls.key", "failover.admin.insecure"
	a := &l.s.Admin
	switch {
	case l.has(cert) && !l.has(key):
		l.miss(key, cert, "write "+key+"=FILE beside it", "missing, %s needs it", cert)
	case l.has(key) && !l.has(cert):
		l.miss(cert, key, "write "+cert+"=FILE beside it", "missing, %s needs it", key)
	}
	for _, name := range []string{cert, key} {
		if l.has(name) && !exists(l.given[name].value) {
			l.clash(name, "name a PEM file that exists", "there is no file %s", l.given[name].value)
		}
	}
	if !l.has(listen) {
		for _, name := range []string{token, cert, key} {
			if l.has(name) {
				l.warn(name, "it has no effect without %s", listen)
			}
		}
		return
	}
	if !l.sound(listen, token, insecure) || isLoopback(a.Listen) {
		return
	}
	switch {
	case l.has(token) && !l.has(cert) && !l.has(key) && !a.Insecure:
		l.clash(token, "write "+cert+" and "+key+", listen on 127.0.0.1, or write "+insecure+"=true",
			"without TLS the token would travel in clear text to %s", a.Listen)
	case !l.has(token):
		l.warn(listen, "anyone who reaches %s could read the state; without %s nobody could change it there", a.Listen, token)
	}
	if l.has(token) {
		if mode, ok := openToOthers(l.given[token].value); ok {
			l.warn(token, "others can read %s (mode %04o); run chmod 600 %[1]s", l.given[token].value, mode)
		}
	}
}
