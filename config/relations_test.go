package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func summary(s *Settings) string {
	p := s.Ping
	switch {
	case s.Design == Design306:
		return fmt.Sprintf("%s %v×%d %v:%d", s.Design, s.Election.Delay, s.Election.Retries, s.Network.Group, s.Network.Port)
	case p.Mode == SocketTCP:
		return fmt.Sprintf("%s %s %s:%d %v", s.Design, p.Mode, p.TCPHost, p.TCPPort, p.TCPPeers)
	}
	return fmt.Sprintf("%s %s %v:%d %d %v %v", s.Design, p.Mode, p.Group, p.Port, s.Election.Position, p.Interval, p.Timeout)
}

// Relations between keys. want holds parts of the faults, each on its own line
// and in order; warn the same of the warnings. Nothing else may be said.
func TestRelations(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), testKey, 0o600)
	write(t, filepath.Join(dir, "open"), testKey, 0o644)
	write(t, filepath.Join(dir, "group"), testKey, 0o640)
	const mg, mp = "failover.multicast.group=230.0.0.9 ", "failover.multicast.port=4444 "
	const pair = mg + mp
	for _, tt := range []struct{ sets, want, warn string }{
		// timers
		{"failover.retries=2", "", "failover.retries: one lost"},
		{"failover.delay=100 failover.retries=3", "", ""},
		{"failover.delay=99 failover.retries=3", "", "failover.delay: delay × retries is 297ms; under 300ms a busy machine causes false takeovers unless the process runs with real-time priority"},
		{"failover.delay=100 failover.retries=2", "", "failover.retries: one lost|failover.delay: delay × retries is 200ms"},
		{"failover.delay=1 failover.retries=3", "failover.delay: \"1\" is too short", ""},
		{"failover.workload.fence.timeout=1000", "", ""},
		{"failover.workload.fence.timeout=1001", "", "failover.workload.fence.timeout: 1.001s is more than a fifth of delay × retries; the command is killed after 1s"},
		{"failover.delay=100", "", ""}, // the default fence timeout gives way in silence

		// quorum
		{"failover.isolation=quorum", "failover.isolation: it needs a quorum", ""},
		{"failover.isolation=quorum failover.quorum=2", "", ""},
		{"failover.isolation=quorum failover.quorum=x", "failover.quorum: \"x\" is not", ""},
		{"failover.quorum=2 failover.votes=3", "", ""},
		{"failover.quorum=2 failover.votes=4", "failover.votes: 4 votes are more than the 3 there are", ""},
		{"failover.quorum=2 failover.voters=a;b;c failover.name=a", "", ""},
		{"failover.quorum=2 failover.voters=a;b;c;d", "failover.voters: 4 voters are more than the 3 votes", ""},
		{"failover.quorum=2 failover.voters=a;b;c failover.name=d", "", "failover.voters: d, this instance's name, is not among them"},
		{"failover.votes=2 failover.voters=a", "", "failover.votes: it has no effect|failover.voters: it has no effect"},
		{"failover.quorum=2 failover.trust.refusal=true", "", "failover.trust.refusal: where a firewall"},

		// the 3.3 design
		{mg, "failover.multicast.port: missing, failover.multicast.group needs it; write failover.multicast.port=PORT", ""},
		{mp, "failover.multicast.group: missing, failover.multicast.port needs it", ""},
		{pair, "", ""},
		{pair + "failover.socket.mode=multicast", "", ""},
		{"failover.socket.mode=multicast", "failover.multicast.group: missing, and failover.multicast.port too", ""},
		{"failover.socket.mode=tcp", "failover.tcp.port: missing, failover.socket.mode=tcp needs it; write failover.tcp.port=PORT (and failover.tcp.host", ""},
		{"failover.socket.mode=tcp failover.tcp.host=a", "failover.tcp.port: missing, failover.socket.mode=tcp needs it; write failover.tcp.port=PORT", ""},
		{"failover.socket.mode=tcp failover.tcp.port=1", "", "failover.socket.mode: without failover.tcp.peers it pings nobody until another one pings it; list the others"},
		{pair + "failover.socket.mode=tcp failover.tcp.port=1 failover.tcp.peers=a:1", "", "failover.multicast.group: it has no effect while failover.socket.mode is tcp|failover.multicast.port: it has no effect"},
		{mg + "failover.socket.mode=tcp failover.tcp.port=1", "failover.multicast.port: missing", ""},
		{"failover.tcp.port=1 failover.tcp.peers=a:1", "failover.socket.mode: missing, failover.tcp.port needs it; write failover.socket.mode=tcp", ""},
		{"failover.socket.mode=jgroups", "failover.socket.mode: jgroups is not supported; write multicast or tcp", ""},
		{pair + "failover.group=230.0.0.1", "failover.group: it belongs to the 3.0.6 design, but failover.multicast.group (--set) chooses the 3.3 design", ""},
		{pair + "failover.port=1 failover.delay=1s failover.retries=3 failover.quorum=0 failover.key=" + testKey,
			"failover.port: it belongs|failover.delay: it belongs|failover.retries: it belongs|failover.quorum: it belongs|failover.key: it belongs", "*"},
		{pair + "failover.key.file=" + dir + "/key", "failover.key.file: it belongs", ""},
		{pair + "failover.peers=a failover.isolation=continue", "", "failover.peers: the 3.3 design, which failover.multicast.group chooses, does not read it|failover.isolation: the 3.3 design"},
		{pair + "failover.slave.position=1 failover.candidate=false failover.cluster=c failover.interface=lo", "", ""},
		{"failover.instance.timeout.seconds=9", "", "failover.instance.timeout.seconds: only the 3.3 design reads it"},
		{pair + "failover.instance.timeout.seconds=5", "failover.instance.timeout.seconds: 5s is less than twice the 3s between two pings", ""},
		{pair + "failover.instance.timeout.seconds=6", "", "failover.instance.timeout.seconds: one lost ping and one late one are a takeover; write three times the 3s"},
		{pair + "failover.instance.timeout.seconds=9", "", ""},
		{pair + "failover.ping.interval.seconds=10", "", "default: failover.instance.timeout.seconds: one lost ping|failover.ping.interval.seconds: a Java instance that starts listens for 5s only"},
		{pair + "failover.ping.interval.seconds=11", "default: failover.instance.timeout.seconds: 20s is less than twice the 11s", ""},
		{pair + "failover.workload.fence.timeout=4000", "", ""},
		{pair + "failover.workload.fence.timeout=4001", "", "failover.workload.fence.timeout: 4.001s is more than a fifth of failover.instance.timeout.seconds; the command is killed after 4s"},
		{pair + "failover.tcp.host=a234567890.b234567890.c234567890.d234567", "", ""},
		{pair + "failover.tcp.host=a234567890.b234567890.c234567890.d2345678", "failover.tcp.host: 41 bytes are more than the 40 that a ping has room for", ""},
		{"failover.socket.mode=tcp failover.tcp.port=1 failover.tcp.peers=a:1;b:1", "", ""},
		{"failover.socket.mode=tcp failover.tcp.port=1 failover.tcp.peers=a:1;b:1;c:1", "", "failover.instance.timeout.seconds: with 3 peers a Java master can be silent for 23s"},
		{"failover.socket.mode=tcp failover.tcp.host=a failover.tcp.port=1 failover.tcp.peers=a:1;b:1;c:1", "", ""},
		{"failover.socket.mode=tcp failover.tcp.host=a failover.tcp.port=2 failover.tcp.peers=a:1;b:1;c:1", "", "with 3 peers a Java master"},

		// secrets
		{"failover.key=" + testKey, "", "failover.key: other users can see it in the list of processes"},
		{"failover.key.file=" + dir + "/key", "", ""},
		{"failover.key=" + testKey + " failover.key.file=" + dir + "/key", "failover.key.file: failover.key (--set) is given too; keep one of the two", "*"},
		{"failover.key.file=" + dir + "/open", "failover.key.file: others can read " + dir + "/open (mode 0644); run chmod 600 " + dir + "/open", ""},
		{"failover.key.file=" + dir + "/group", "(mode 0640); run chmod 600", ""},

		// health
		{"failover.health.timeout=1s failover.health.failures=1", "", "failover.health.timeout: it has no effect without failover.health.command|failover.health.failures: it has no effect"},

		// cache
		{"failover.cache.time.to.live=60", "", "failover.cache.time.to.live: it has no effect while failover.cache.eternal is true"},
		{"failover.cache.time.to.live=60 failover.cache.eternal=false", "", ""},
		{"failover.cache.time.to.live=60 failover.cache.eternal=x", "failover.cache.eternal: \"x\" is neither", ""},
		{"failover.cache.port=4446 failover.cache.max.entries=10 failover.cache.group=230.0.0.3", "", ""},
		{"failover.cache.when.alone=block failover.cache.promote.wait=block", "", "failover.cache.when.alone: it has no effect: no cache is replicated synchronously|failover.cache.promote.wait: it has no effect"},
		{"failover.cache.when.alone=block failover.cache.promote.wait=500 failover.cache.replicate.asynchronously=false", "", ""},
		{"failover.cache.promote.wait=block failover.cache.replicate.asynchronously=false", "", "failover.cache.promote.wait: when a master dies and no slave is sure to hold all it acknowledged, nobody takes over until"},
		{"failover.cache.socket.timeout=50", "", ""},
		{"failover.cache.socket.timeout=49", "", "failover.cache.socket.timeout: under 50ms a busy machine"},
		{"failover.cache.socket.timeout=4999", "", ""},
		{"failover.cache.socket.timeout=5000", "", "failover.cache.socket.timeout: it is not shorter than the 5s after which a silent master is gone"},
		{"failover.delay=100 failover.retries=3 failover.cache.socket.timeout=300", "", "failover.cache.socket.timeout: it is not shorter than the 300ms"},
		{"failover.delay=x failover.cache.socket.timeout=1h", "failover.delay: \"x\" is not a duration", ""},
		{"failover.delay=20 failover.retries=5", "", "failover.delay: delay × retries is 100ms"}, // the default socket timeout is nobody's wish
		{"failover.cache.bind=0.0.0.0:7946", "", "failover.cache.bind: it is every address of this host, and without failover.key anyone"},
		{"failover.cache.bind=[::]:0", "", "failover.cache.bind: it is every address"},
		{"failover.cache.bind=0.0.0.0:7946 failover.key.file=" + dir + "/key", "", ""},
		{"failover.cache.bind=0.0.0.0:7946 failover.key.file=" + dir + "/open", "failover.key.file: others can read", ""},
		{"failover.cache.bind=10.0.0.1:7946", "", ""},
		{pair + "failover.cache.group=230.0.0.9 failover.cache.port=4444", "", "failover.cache.port: it is the port of the pings too, and a Java instance takes all that comes there for pings: the caches look for each other at port 4445 instead"},
		{pair + "failover.cache.group=230.0.0.8 failover.cache.port=4444", "", "failover.cache.port: it is the port of the pings too"},
		{pair + "failover.cache.group=230.0.0.9 failover.cache.port=4445", "", ""},
		{"failover.socket.mode=tcp failover.tcp.port=4444 failover.tcp.peers=a:1 failover.cache.port=4444", "", ""},
		{"failover.cache.bind=127.0.0.1:7946", "", ""},
		{"failover.cache.max.entries=", "failover.cache.max.entries: \"\" is not", ""},
		{"failover.cache.config=", "", ""},

		// hooks
		{"failover.profiler.overflow=block failover.profiler.payload=true", "", ""},
		{pluginFactory + "=log", "", ""},
	} {
		s, err := Load(source(strings.Fields(tt.sets)...))
		var faults, warnings []string
		if err != nil {
			faults = strings.Split(err.Error(), "\n")
		} else {
			warnings = s.Warnings
		}
		if !match(faults, tt.want) {
			t.Errorf("%s\n\tfaults %q\n\twant %q", tt.sets, faults, tt.want)
		}
		if tt.warn != "*" && err == nil && !match(warnings, tt.warn) {
			t.Errorf("%s\n\twarnings %q\n\twant %q", tt.sets, warnings, tt.warn)
		}
	}
}

func match(got []string, want string) bool {
	var parts []string
	if want != "" {
		parts = strings.Split(want, "|")
	}
	if len(got) != len(parts) {
		return false
	}
	for i := range got {
		if !strings.Contains(got[i], parts[i]) {
			return false
		}
	}
	return true
}

// A key in a file that others can read is no secret.
func TestKeyInOpenFile(t *testing.T) {
	in(t, map[string]string{"b.properties": "failover.key=" + testKey})
	src := source()
	src.File = "b.properties"
	for _, tt := range []struct {
		mode os.FileMode
		want string
	}{{0o600, ""}, {0o644, "b.properties:1: failover.key: others can read this file (mode 0644)"}} {
		if err := os.Chmod("b.properties", tt.mode); err != nil {
			t.Fatal(err)
		}
		s, err := Load(src)
		if err != nil || !match(s.Warnings, tt.want) {
			t.Errorf("mode %o: got %v, %v", tt.mode, s, err)
		}
	}
}

// A relation is judged only if its values are sound: a value at fault has left
// its default behind, of which nothing must be said.
func TestRelationOfFaultyFenceTimeout(t *testing.T) {
	for value, want := range map[string]int{"500": 1, "100": 0, "soon": 0} {
		l := newLoader(source("failover.delay=100", "failover.workload.fence.timeout="+value))
		l.readSets()
		l.apply()
		l.fillIn()
		l.relate()
		if got := len(l.s.Warnings); got != want {
			t.Errorf("fence timeout %s: warnings %q, want %d", value, l.s.Warnings, want)
		}
	}
}

// The caches never meet where Java instances hear pings.
func TestCachesMeetApartFromPings(t *testing.T) {
	for _, tt := range []struct {
		sets, origin string
		want         uint16
	}{
		{"", "default", 4446},
		{"failover.multicast.group=230.0.0.9 failover.multicast.port=4445", "default", 4446},
		{"failover.multicast.group=230.0.0.9 failover.multicast.port=4446", "default", 4447},
		{"failover.multicast.group=230.0.0.9 failover.multicast.port=5 failover.cache.port=5", "--set", 6},
		{"failover.multicast.group=230.0.0.9 failover.multicast.port=65535 failover.cache.port=65535", "--set", 65534},
		{"failover.socket.mode=tcp failover.tcp.port=4446", "default", 4446},
	} {
		s, err := Load(source(strings.Fields(tt.sets)...))
		if err != nil {
			t.Fatal(err)
		}
		if s.Cache.Port != tt.want {
			t.Errorf("%s: port %d, want %d", tt.sets, s.Cache.Port, tt.want)
		}
		for _, row := range s.Show() {
			if row.Key == "failover.cache.port" && (row.Origin != tt.origin || tt.origin == "default" && row.Value != fmt.Sprint(tt.want)) {
				t.Errorf("%s: shown as %+v", tt.sets, row)
			}
		}
	}
}

func TestStopBudget(t *testing.T) {
	s := &Settings{Design: Design306, Election: Election{Delay: time.Second, Retries: 5}, Workload: Workload{FenceTimeout: 500 * time.Millisecond}}
	if got := s.StopBudget(); got != 500*time.Millisecond {
		t.Errorf("got %v", got)
	}
	s.Election.Delay = 100 * time.Millisecond
	if got := s.StopBudget(); got != 100*time.Millisecond {
		t.Errorf("got %v", got)
	}
	s.Design, s.Ping.Timeout = Design33, time.Second
	if got := s.StopBudget(); got != 200*time.Millisecond {
		t.Errorf("got %v", got)
	}
}
