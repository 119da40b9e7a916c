package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// source is an input with nothing given.
func source(sets ...string) Source {
	return Source{Environ: []string{"HOME=/home/u"}, Hostname: "box", Sets: sets}
}

// The defaults are promised to users; a change here is a change for them.
func TestDefaults(t *testing.T) {
	want := [][2]string{
		{"failover.group", "230.0.0.1"},
		{"failover.port", "2710"},
		{"failover.delay", "1000"},
		{"failover.retries", "5"},
		{"failover.multicast.group", ""},
		{"failover.multicast.port", ""},
		{"failover.slave.position", "0"},
		{"failover.ping.interval.seconds", "3"},
		{"failover.instance.timeout.seconds", "20"},
		{"failover.socket.mode", "multicast"},
		{"failover.tcp.host", ""},
		{"failover.tcp.port", ""},
		{"failover.tcp.peers", ""},
		{"failover.cluster", "default"},
		{"failover.name", "box"},
		{"failover.interface", ""},
		{"failover.peers", ""},
		{"failover.ttl", "1"},
		{"failover.candidate", "true"},
		{"failover.quorum", "0"},
		{"failover.voters", ""},
		{"failover.votes", "1"},
		{"failover.isolation", "auto"},
		{"failover.trust.refusal", "false"},
		{"failover.key", ""},
		{"failover.key.file", ""},
		{"failover.state.dir", "/home/u/.local/state/interlok-ha/default/box"},
		{"failover.cluster.generation", "0"},
		{"failover.on.conflict", "demote"},
		{"failover.workload.restart", "on-failure"},
		{"failover.workload.restart.delay", "1000"},
		{"failover.workload.restart.limit", "3"},
		{"failover.workload.restart.window", "60"},
		{"failover.workload.on.epoch", "restart"},
		{"failover.health.command", ""},
		{"failover.health.interval", "5000"},
		{"failover.health.timeout", "5000"},
		{"failover.health.failures", "3"},
		{"failover.workload.stop.timeout", "10000"},
		{"failover.workload.fence.timeout", "500"},
		{"failover.admin.listen", ""},
		{"failover.admin.hosts", ""},
		{"failover.admin.token.file", ""},
		{"failover.admin.tls.cert", ""},
		{"failover.admin.tls.key", ""},
		{"failover.admin.insecure", "false"},
		{"failover.cache.config", ""},
		{"failover.cache.bind", ""},
		{"failover.cache.group", "230.0.0.1"},
		{"failover.cache.port", "4446"},
		{"failover.cache.max.entries", "100000"},
		{"failover.cache.max.in.flight", "100000"},
		{"failover.cache.eternal", "true"},
		{"failover.cache.time.to.idle", "0"},
		{"failover.cache.time.to.live", "0"},
		{"failover.cache.replicate.asynchronously", "true"},
		{"failover.cache.when.alone", "allow"},
		{"failover.cache.promote.wait", "5000"},
		{"failover.cache.socket.timeout", "200"},
		{"failover.cache.ring.bytes", "67108864"},
		{"failover.profiler.overflow", "drop"},
		{"failover.profiler.payload", "false"},
		{"com.adaptris.profiler.plugin.factory", "com.adaptris.failover.plugin.FailoverInterlokPluginFactory"},
	}
	s, err := Load(source())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) > 0 {
		t.Errorf("warnings about defaults: %q", s.Warnings)
	}
	shown := s.Show()
	if len(shown) != len(want) || len(keys) != len(want) {
		t.Fatalf("%d keys shown, %d in the table, want %d", len(shown), len(keys), len(want))
	}
	for i, w := range want {
		if got := (Shown{w[0], w[1], "default"}); shown[i] != got {
			t.Errorf("row %d: got %+v, want %+v", i, shown[i], got)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	names, variables := map[string]bool{}, map[string]bool{}
	for _, k := range Keys() {
		if k.Help == "" || strings.Contains(k.Help, "\n") || strings.HasSuffix(k.Help, ".") {
			t.Errorf("%s: help is not one line without a full stop: %q", k.Name, k.Help)
		}
		if k.Kind() == "" {
			t.Errorf("%s has no kind", k.Name)
		}
		for _, n := range append([]string{k.Name}, k.Aliases...) {
			if names[n] || variables[envName(n)] {
				t.Errorf("%s stands twice", n)
			}
			names[n], variables[envName(n)] = true, true
		}
	}
	if got := keyOf("failover.delay").Env(); got != "INTERLOK_HA_FAILOVER_DELAY" {
		t.Errorf("variable is %s", got)
	}
	if k := keyOf("failover.key"); !k.Secret {
		t.Error("failover.key is not secret")
	}
}

const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// Every key: values taken, as the field they end in shows, and values refused,
// with a part of the message. Between them the ends of each range.
func TestValues(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), testKey, 0o600)
	write(t, filepath.Join(dir, "token"), testToken+"\n", 0o600)
	writePair(t, filepath.Join(dir, "pem"))
	write(t, filepath.Join(dir, "xml"), "<ehcache/>", 0o600)
	const mc, tcp = "failover.multicast.group=230.0.0.9 failover.multicast.port=4444", "failover.socket.mode=tcp failover.tcp.port=1"
	tests := []struct {
		key  string
		with string // other keys needed beside it
		path string // of the field
		good string // VALUE → FIELD, with | between several
		bad  string // VALUE → part of the fault
	}{
		{"failover.group", "", "Network.Group", "239.255.255.255→239.255.255.255|224.0.0.0→224.0.0.0|ff02::99→ff02::99", "10.0.0.1→not a multicast|x→not an IP|→not an IP|240.0.0.0→such as 230.0.0.1"},
		{"failover.port", "", "Network.Port", "1→1|65535→65535", "0→1 to 65535|65536→not a port|-1→not a port|x→not a port|→not a port"},
		{"failover.delay", "", "Election.Delay", "10→10ms|250ms→250ms|3s→3s|3600000→1h0m0s|0.5s→500ms| 1000 →1s", "9→too short|3600001→too long|-5→too short|x→not a duration|1e3→not a duration|NaN→not a duration|→not a duration|100.5→whole number of milliseconds|10 s→250ms|99999999999999999999→not a duration"},
		{"failover.retries", "", "Election.Retries", "2→2|1000→1000", "1→2 to 1000|1001→out of range|99999999999999999999→out of range|x→not a whole number|2.5→not a whole number"},
		{"failover.multicast.group", "failover.multicast.port=4444", "Ping.Group", "230.0.0.9→230.0.0.9", "1.2.3.4→not a multicast"},
		{"failover.multicast.port", "failover.multicast.group=230.0.0.9", "Ping.Port", "4444→4444", "99999→not a port"},
		{"failover.slave.position", "", "Election.Position", "0→0|65535→65535", "-1→out of range|65536→out of range"},
		{"failover.secondary.position", "", "Election.Position", "2→2", "x→not a whole number"},
		{"failover.ping.interval.seconds", mc, "Ping.Interval", "1→1s|10ms→10ms|0.5→500ms", "0→too short|2h→too long|x→20 (seconds)"},
		{"failover.instance.timeout.seconds", mc, "Ping.Timeout", "6→6s|24h→24h0m0s", "0→too short|25h→too long"},
		{"interval.instance.timeout.seconds", mc, "Ping.Timeout", "7→7s", "x→not a duration"},
		{"failover.socket.mode", mc + " failover.tcp.port=1", "Ping.Mode", "multicast→multicast|TCP→tcp", "jgroups→multicast or tcp|udp→write multicast or tcp"},
		{"failover.tcp.host", tcp, "Ping.TCPHost", "10.0.0.1→10.0.0.1|[::1]→::1|node-a.example→node-a.example", "a:1→without a port|a b→not a host|[::1→not a host|::1]→not a host"},
		{"failover.tcp.port", "failover.socket.mode=tcp", "Ping.TCPPort", "4446→4446", "0→not a port"},
		{"failover.tcp.peers", tcp, "Ping.TCPPeers", "localhost:4444;localhost:4445→[{localhost 4444} {localhost 4445}]", "a→has no port|a:1;b→has no port|;→names nobody"},
		{"failover.cluster", "", "Cluster", "blue→blue", "a/b→has a /|a\u202eb→direction|a\u2028b→line|a\xffb→not UTF-8|→empty|..→name of a file|" + strings.Repeat("x", 64) + "→64 bytes"},
		{"failover.name", "", "Name", "a→a|" + strings.Repeat("x", 63) + "→" + strings.Repeat("x", 63) + "|Zoë 2→Zoë 2", "→empty|.→name of a file|a/b→has a /|" + strings.Repeat("ä", 32) + "→64 bytes|a\x7fb→control|a\xffb→not UTF-8|a\u202eb→direction|a\u200bb→direction|a\ufeffb→direction|a\u2028b→line|a\u2029b→line|a\u0085b→control|a\ufffdb→not UTF-8"},
		{"failover.interface", "", "Network.Interface", "lo→lo|→", "a b→one name|a/b→one name"},
		{"failover.peers", "", "Network.Peers", "10.0.0.2→[{10.0.0.2 2710}]|a;b:99→[{a 2710} {b 99}]|::1;[::2];[::3]:7→[{::1 2710} {::2 2710} {::3 7}]|a,b;→[{a 2710} {b 2710}]|→[]", "a:0→1 to 65535|a:x→no port|a b→not a host|[::1→not host:port|::1]→not host:port|[10.0.0.2→not a host|:1→not host:port|http://a→such as 10.0.0.2|;→names nobody"},
		{"failover.ttl", "", "Network.TTL", "0→0|255→255", "256→out of range"},
		{"failover.candidate", "", "Election.Candidate", "false→false|TRUE→true", "no→true or false|→true or false"},
		{"failover.quorum", "", "Election.Quorum", "127→127", "-1→out of range|128→0 to 127"},
		{"failover.voters", "failover.quorum=2", "Election.Voters", "a;b→[a b]|a, b→[a b]", "a;a→twice|a/b→has a /|a;b\u202ec→direction|b\u2029c;a→line|a;\xff→not UTF-8|;→names nobody"},
		{"failover.votes", "failover.quorum=127", "Election.Votes", "1→1|253→253", "0→1 to 253|254→out of range"},
		{"failover.isolation", "failover.quorum=2", "Election.Isolation", "continue→continue|Auto→auto|quorum→quorum", "x→continue, auto or quorum"},
		{"failover.trust.refusal", "", "Election.TrustRefusal", "true→true", "1→true or false"},
		{"failover.key", "", "Keys", testKey + "→[******]|" + testKey + ";" + testKey + "→[****** ******]", "abc→key 1 is not base64|YWJj→key 1 has 3 bytes, not 32|" + testKey + ",x→key 2|;→no key"},
		{"failover.key.file", "", "Keys", dir + "/key→[******]", dir + "/none→no such file|" + dir + "→is a directory|" + dir + "/token→key 1 has 24 bytes"},
		{"failover.state.dir", "", "StateDir", "/x/y→/x/y", "a\x00b→NUL"},
		{"failover.cluster.generation", "", "Generation", "0→0|999999999999999999→999999999999999999", "-1→not a count|x→not a count|1000000000000000000→0 to 999999999999999999|18446744073709551615→too large|99999999999999999999→too large"},
		{"failover.on.conflict", "", "Election.OnConflict", "exit→exit", "x→demote or exit"},
		{"failover.workload.restart", "", "Workload.Restart", "always→always|no→no", "yes→on-failure, always or no"},
		{"failover.workload.restart.delay", "", "Workload.RestartDelay", "0→0s|30s→30s", "31s→too long|-1→too short"},
		{"failover.workload.restart.limit", "", "Workload.RestartLimit", "0→0", "-1→out of range"},
		{"failover.workload.restart.window", "", "Workload.Window", "1→1s|2m→2m0s", "0→too short"},
		{"failover.workload.on.epoch", "", "Workload.OnEpoch", "keep→keep", "x→restart or keep"},
		{"failover.health.command", "", "Health.Command", `check "a b" 'c d' e\ f→[check a b c d e f]|→[]`, `check "a→inside a quote|""→no command`},
		{"failover.health.interval", "failover.health.command=x", "Health.Interval", "10→10ms", "0→too short"},
		{"failover.health.timeout", "failover.health.command=x", "Health.Timeout", "10→10ms", "0→too short"},
		{"failover.health.failures", "failover.health.command=x", "Health.Failures", "1→1", "0→out of range"},
		{"failover.workload.stop.timeout", "", "Workload.StopTimeout", "0→0s|1h→1h0m0s", "2h→too long"},
		{"failover.workload.fence.timeout", "", "Workload.FenceTimeout", "0→0s", "-1→too short"},
		{"failover.admin.listen", "", "Admin.Listen", "127.0.0.1:0→127.0.0.1:0|:8710→:8710|[::1]:1→[::1]:1|localhost:80→localhost:80", "8710→not host:port|127.0.0.1→not host:port|a:99999→no port|a b:1→not host:port"},
		{"failover.admin.hosts", "failover.admin.listen=127.0.0.1:0", "Admin.Hosts", "ha.example→[ha.example]|a, b;[::1]→[a b ::1]", "a:1→not a host name|*.example→not a host name|;→names nobody"},
		{"failover.admin.token.file", "failover.admin.listen=127.0.0.1:0", "Admin.Token", dir + "/token→" + testToken, dir + "/none→no such file"},
		{"failover.admin.tls.cert", "failover.admin.tls.key=" + dir + "/pem", "Admin.TLSCert", dir + "/pem→" + dir + "/pem", dir + "/none→there is no file"},
		{"failover.admin.tls.key", "failover.admin.tls.cert=" + dir + "/pem", "Admin.TLSKey", dir + "/pem→" + dir + "/pem", dir + "/none→there is no file"},
		{"failover.admin.insecure", "", "Admin.Insecure", "true→true", "x→true or false"},
		{"failover.cache.config", "", "Cache.ConfigFile", dir + "/xml→" + dir + "/xml", dir + "/none→there is no file|" + dir + "→there is no file"},
		{"failover.cache.bind", "", "Cache.Bind", "10.0.0.1→10.0.0.1:0|10.0.0.1:0→10.0.0.1:0|[::1]:7946→[::1]:7946|::1→[::1]:0|0.0.0.0→0.0.0.0:0|:7946→invalid AddrPort", "host:1→not an IP|[::1→not an address|::1]→not an address|x→not an address|10.0.0.1:x→no port|224.0.0.1:1→multicast"},
		{"failover.cache.group", "", "Cache.Group", "230.0.0.2→230.0.0.2", "1.1.1.1→not a multicast"},
		{"failover.cache.port", "", "Cache.Port", "1→1", "0→not a port"},
		{"failover.cache.max.entries", "", "Cache.MaxEntries", "0→0", "-1→out of range"},
		{"failover.cache.max.in.flight", "", "Cache.MaxInFlight", "1→1", "0→out of range"},
		{"failover.cache.eternal", "", "Cache.Eternal", "false→false", "x→true or false"},
		{"failover.cache.time.to.idle", "", "Cache.TimeToIdle", "60→1m0s", "-1→0s or more"},
		{"failover.cache.time.to.live", "", "Cache.TimeToLive", "1h→1h0m0s", "x→not a duration"},
		{"failover.cache.replicate.asynchronously", "", "Cache.Asynchronous", "false→false", "x→true or false"},
		{"failover.cache.when.alone", "", "Cache.WhenAlone", "block→block", "x→allow or block"},
		{"failover.cache.promote.wait", "", "Cache.PromoteWait", "0→0s|250ms→250ms|block→0s", "x→or block|-1→too short"},
		{"failover.cache.socket.timeout", "", "Cache.SocketTimeout", "10→10ms", "0→too short"},
		{"failover.cache.ring.bytes", "", "Cache.RingBytes", "1048576→1048576|68719476736→68719476736", "1048575→out of range"},
		{"failover.profiler.overflow", "", "Profiler.Overflow", "block→block", "x→drop or block"},
		{"failover.profiler.payload", "", "Profiler.Payload", "true→true", "x→true or false"},
		{pluginFactory, "", "Profiler.Plugins", "failover, metrics→[failover metrics]", ",→names nothing|a b→has a space"},
	}
	tried := make(map[string]bool)
	for _, tt := range tests {
		tried[keyOf(tt.key).Name] = true
		for _, c := range strings.Split(tt.good, "|") {
			value, want, _ := strings.Cut(c, "→")
			s, err := Load(source(append(strings.Fields(tt.with), tt.key+"="+value)...))
			if err != nil {
				t.Errorf("%s=%s: %v", tt.key, value, err)
				continue
			}
			if got := fmt.Sprint(fieldOf(s, tt.path).Interface()); got != want {
				t.Errorf("%s=%s: %s is %q, want %q", tt.key, value, tt.path, got, want)
			}
		}
		for _, c := range strings.Split(tt.bad, "|") {
			value, want, _ := strings.Cut(c, "→")
			_, err := Load(source(append(strings.Fields(tt.with), tt.key+"="+value)...))
			faults, ok := err.(Faults)
			if !ok || len(faults) != 1 || faults[0].Key != tt.key || faults[0].Instead == "" || !strings.Contains(err.Error(), want) {
				t.Errorf("%s=%s: got %v, want one fault with %q", tt.key, value, err, want)
			}
			if keyOf(tt.key).Secret && len(value) > 1 && err != nil && strings.Contains(err.Error(), value) {
				t.Errorf("the fault shows the secret: %v", err)
			}
		}
	}
	for _, k := range keys {
		if !tried[k.Name] {
			t.Errorf("%s has no row in this test", k.Name)
		}
	}
}

func TestPromoteWaitForever(t *testing.T) {
	s, err := Load(source("failover.cache.promote.wait=block"))
	if err != nil || !s.Cache.PromoteWaitForever {
		t.Errorf("got %v, %v", s, err)
	}
}

func fieldOf(s *Settings, path string) reflect.Value {
	v := reflect.ValueOf(s).Elem()
	for name := range strings.SplitSeq(path, ".") {
		v = v.FieldByName(name)
	}
	return v
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // past the umask
		t.Fatal(err)
	}
}

func TestNearest(t *testing.T) {
	for _, tt := range []struct{ wrong, want string }{
		{"failover.dealy", "failover.delay"},
		{"failover.retry", "failover.retries"},
		{"failover.slave.postion", "failover.slave.position"},
		{"failover.workload.fence", "failover.workload.fence.timeout"},
		{"failover." + strings.Repeat("x", 5000), nearest("failover." + strings.Repeat("x", 200))},
	} {
		if got := nearest(tt.wrong); got != tt.want {
			t.Errorf("nearest(%.40s) = %s, want %s", tt.wrong, got, tt.want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"delay", "dealy", 1}, {"kitten", "sitting", 3}, {"abc", "abc", 0}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
