package config

import (
	"math"
	"net/netip"
	"strings"
	"time"
)

// Key is one row of the table of keys.
type Key struct {
	Name    string
	Aliases []string // older or other spellings of Name
	Default string   // as one would write it; empty: none, or Help says on what it depends
	Help    string   // one line
	Secret  bool     // the value is never shown
	Design  Design   // the design that reads it; empty: both

	kind  kind
	clash bool // given, it cannot stand beside the keys that choose the 3.3 design
	full  bool // an empty value is a fault though there is no fixed default
}

// Kind says in a few words what a value looks like.
func (k Key) Kind() string { return k.kind.name }

// Env is the name of the environment variable that sets the key.
func (k Key) Env() string { return envName(k.Name) }

const envPrefix = "INTERLOK_HA_"

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Keys is the table of all keys, in the order they are shown.
func Keys() []Key { return append([]Key(nil), keys...) }

// keys is THE table: what is not here is not a key.
var keys = []Key{
	// The 3.0.6 design
	{Name: "failover.group", Default: "230.0.0.1", Design: Design306, clash: true,
		Help: "multicast group of the heartbeats",
		kind: group(func(s *Settings) *netip.Addr { return &s.Network.Group })},
	{Name: "failover.port", Default: "2710", Design: Design306, clash: true,
		Help: "UDP port of the group",
		kind: port(func(s *Settings) *uint16 { return &s.Network.Port })},
	{Name: "failover.delay", Default: "1000", Design: Design306, clash: true,
		Help: "time between two heartbeats",
		kind: millis(10*time.Millisecond, time.Hour, func(s *Settings) *time.Duration { return &s.Election.Delay })},
	{Name: "failover.retries", Default: "5", Design: Design306, clash: true,
		Help: "heartbeats of the master that may be missed before a slave tries to take over; lease = delay × retries",
		kind: integer(2, 1000, func(s *Settings) *int { return &s.Election.Retries })},

	// The 3.3 design
	{Name: "failover.multicast.group", Design: Design33,
		Help: "multicast group of the pings; with failover.multicast.port it chooses the 3.3 design",
		kind: group(func(s *Settings) *netip.Addr { return &s.Ping.Group })},
	{Name: "failover.multicast.port", Design: Design33,
		Help: "UDP port of failover.multicast.group",
		kind: port(func(s *Settings) *uint16 { return &s.Ping.Port })},
	{Name: "failover.slave.position", Aliases: []string{"failover.secondary.position"}, Default: "0",
		Help: "place in the line, 1 is promoted next; 0 = allot one",
		kind: integer(0, math.MaxUint16, func(s *Settings) *int { return &s.Election.Position })},
	{Name: "failover.ping.interval.seconds", Default: "3", Design: Design33,
		Help: "time between two pings",
		kind: seconds(10*time.Millisecond, time.Hour, func(s *Settings) *time.Duration { return &s.Ping.Interval })},
	{Name: "failover.instance.timeout.seconds", Aliases: []string{"interval.instance.timeout.seconds"}, Default: "20", Design: Design33,
		Help: "silence after which an instance is gone",
		kind: seconds(20*time.Millisecond, 24*time.Hour, func(s *Settings) *time.Duration { return &s.Ping.Timeout })},
	{Name: "failover.socket.mode", Default: "multicast", Design: Design33,
		Help: "how pings travel",
		kind: socketMode(func(s *Settings) *SocketMode { return &s.Ping.Mode })},
	{Name: "failover.tcp.host", Design: Design33,
		Help: "own address in tcp mode; without it the host's address",
		kind: host(func(s *Settings) *string { return &s.Ping.TCPHost })},
	{Name: "failover.tcp.port", Design: Design33,
		Help: "own port in tcp mode",
		kind: port(func(s *Settings) *uint16 { return &s.Ping.TCPPort })},
	{Name: "failover.tcp.peers", Design: Design33,
		Help: "the other instances in tcp mode",
		kind: peers(true, func(s *Settings) *[]Peer { return &s.Ping.TCPPeers })},

	// Identity and network
	{Name: "failover.cluster", Default: "default",
		Help: "label in every packet: two clusters on one group never mix",
		kind: label(func(s *Settings) *string { return &s.Cluster })},
	{Name: "failover.name", full: true,
		Help: "the instance's name for people; without it the host name",
		kind: label(func(s *Settings) *string { return &s.Name })},
	{Name: "failover.interface",
		Help: "network interface of the multicast; lo keeps all on this machine; without it the route's choice, or the only one that is up",
		kind: word(func(s *Settings) *string { return &s.Network.Interface })},
	{Name: "failover.peers", Design: Design306,
		Help: "heartbeats also go to these by unicast, for networks without multicast; without a port failover.port",
		kind: peers(false, func(s *Settings) *[]Peer { return &s.Network.Peers })},
	{Name: "failover.ttl", Default: "1",
		Help: "time to live of multicast packets; 0 keeps them on this machine",
		kind: integer(0, 255, func(s *Settings) *int { return &s.Network.TTL })},

	// Who may be master
	{Name: "failover.candidate", Default: "true",
		Help: "false = votes and mirrors, is never master (a witness)",
		kind: boolean(func(s *Settings) *bool { return &s.Election.Candidate })},
	{Name: "failover.quorum", Default: "0", Design: Design306, clash: true,
		Help: "votes, one's own included, that a claim and a reign need, alike everywhere; 0 = off",
		kind: integer(0, 127, func(s *Settings) *int { return &s.Election.Quorum })},
	{Name: "failover.voters", Design: Design306,
		Help: "names of the instances that vote; the others mirror only and are never master; without it all vote",
		kind: labels(func(s *Settings) *[]string { return &s.Election.Voters })},
	{Name: "failover.votes", Default: "1", Design: Design306,
		Help: "this instance's votes; 2 = the preferred one of a pair",
		kind: integer(1, 253, func(s *Settings) *int { return &s.Election.Votes })},
	{Name: "failover.isolation", Default: "auto", Design: Design306,
		Help: "what a master does that hears nobody any more",
		kind: enum(func(s *Settings) *Isolation { return &s.Election.Isolation }, IsolationContinue, IsolationAuto, IsolationQuorum)},
	{Name: "failover.trust.refusal", Default: "false", Design: Design306,
		Help: "with a quorum: a refused connection may free a vote before its time; voids the guarantee of one master where a firewall can refuse",
		kind: boolean(func(s *Settings) *bool { return &s.Election.TrustRefusal })},
	{Name: "failover.key", Secret: true, Design: Design306, clash: true,
		Help: "shared keys, 32 bytes in base64 each: the first signs, all verify",
		kind: secrets(func(s *Settings) *[]Secret { return &s.Keys })},
	{Name: "failover.key.file", Design: Design306, clash: true,
		Help: "file with the keys instead; others must not be able to read it",
		kind: keyFile(func(s *Settings) *[]Secret { return &s.Keys })},
	{Name: "failover.state.dir",
		Help: "where epoch and promises are kept; without it interlok-ha/<cluster>/<name> in the user's state directory (root: /var/lib)",
		kind: path(func(s *Settings) *string { return &s.StateDir })},
	{Name: "failover.cluster.generation", Default: "0", Design: Design306,
		Help: "raised by hand, alike everywhere, to leave a poisoned epoch behind",
		kind: generation(func(s *Settings) *uint64 { return &s.Generation })},
	{Name: "failover.on.conflict", Default: "demote", Design: Design306,
		Help: "what a master does that meets one which outranks it",
		kind: enum(func(s *Settings) *OnConflict { return &s.Election.OnConflict }, ConflictDemote, ConflictExit)},

	// The command
	{Name: "failover.workload.restart", Default: "on-failure",
		Help: "when the command is started again on this instance",
		kind: enum(func(s *Settings) *Restart { return &s.Workload.Restart }, RestartOnFailure, RestartAlways, RestartNo)},
	{Name: "failover.workload.restart.delay", Default: "1000",
		Help: "wait before the first restart; doubled up to 30 s",
		kind: millis(0, 30*time.Second, func(s *Settings) *time.Duration { return &s.Workload.RestartDelay })},
	{Name: "failover.workload.restart.limit", Default: "3",
		Help: "restarts within the window before the instance gives the mastership up",
		kind: integer(0, 1_000_000, func(s *Settings) *int { return &s.Workload.RestartLimit })},
	{Name: "failover.workload.restart.window", Default: "60",
		Help: "the time in which restarts are counted",
		kind: seconds(time.Second, 24*time.Hour, func(s *Settings) *time.Duration { return &s.Workload.Window })},
	{Name: "failover.workload.on.epoch", Default: "restart", Design: Design306,
		Help: "when a reigning master's epoch changes, the command is started again or reads the new token from its file",
		kind: enum(func(s *Settings) *OnEpoch { return &s.Workload.OnEpoch }, EpochRestart, EpochKeep)},
	{Name: "failover.health.command",
		Help: "check of the workload, run without a shell; quotes as in a shell keep words together",
		kind: argv(func(s *Settings) *[]string { return &s.Health.Command })},
	{Name: "failover.health.interval", Default: "5000",
		Help: "time between two checks",
		kind: millis(10*time.Millisecond, 24*time.Hour, func(s *Settings) *time.Duration { return &s.Health.Interval })},
	{Name: "failover.health.timeout", Default: "5000",
		Help: "time one check may take",
		kind: millis(10*time.Millisecond, 24*time.Hour, func(s *Settings) *time.Duration { return &s.Health.Timeout })},
	{Name: "failover.health.failures", Default: "3",
		Help: "failed checks in a row that count",
		kind: integer(1, 1000, func(s *Settings) *int { return &s.Health.Failures })},
	{Name: "failover.workload.stop.timeout", Default: "10000",
		Help: "SIGTERM to SIGKILL in a planned stop",
		kind: millis(0, time.Hour, func(s *Settings) *time.Duration { return &s.Workload.StopTimeout })},
	{Name: "failover.workload.fence.timeout", Default: "500",
		Help: "SIGTERM to SIGKILL when the mastership is already lost; never more than a fifth of the lease",
		kind: millis(0, time.Hour, func(s *Settings) *time.Duration { return &s.Workload.FenceTimeout })},

	// The HTTP API
	{Name: "failover.admin.listen",
		Help: "TCP address of the HTTP API; without it only the Unix socket",
		kind: listen(func(s *Settings) *string { return &s.Admin.Listen })},
	{Name: "failover.admin.hosts",
		Help: "names under which callers know the HTTP API, beside its address, this host's name and those of the certificate; others are refused",
		kind: hosts(func(s *Settings) *[]string { return &s.Admin.Hosts })},
	{Name: "failover.admin.token.file",
		Help: "file with the bearer token for what changes state; others must not be able to read it",
		kind: tokenFile(func(s *Settings) *string { return &s.Admin.Token })},
	{Name: "failover.admin.tls.cert",
		Help: "certificate of the HTTP API, PEM",
		kind: path(func(s *Settings) *string { return &s.Admin.TLSCert })},
	{Name: "failover.admin.tls.key",
		Help: "private key of the certificate, PEM",
		kind: path(func(s *Settings) *string { return &s.Admin.TLSKey })},
	{Name: "failover.admin.insecure", Default: "false",
		Help: "true = the token may travel in clear text to an address that is not loopback",
		kind: boolean(func(s *Settings) *bool { return &s.Admin.Insecure })},

	// FAILOVER_CACHE
	{Name: "failover.cache.config",
		Help: "Ehcache file; without it ehcache.xml beside the bootstrap file, if there",
		kind: path(func(s *Settings) *string { return &s.Cache.ConfigFile })},
	{Name: "failover.cache.bind",
		Help: "TCP and UDP address of gossip and replication; without it the first address of the interface, a free port",
		kind: bind(func(s *Settings) *netip.AddrPort { return &s.Cache.Bind })},
	{Name: "failover.cache.group", Default: "230.0.0.1",
		Help: "multicast group that finds peers when the cache is used without a node, or in the 3.3 design",
		kind: group(func(s *Settings) *netip.Addr { return &s.Cache.Group })},
	{Name: "failover.cache.port", Default: "4446",
		Help: "UDP port of failover.cache.group; never that of the pings, but the next one",
		kind: port(func(s *Settings) *uint16 { return &s.Cache.Port })},
	{Name: "failover.cache.max.entries", Default: "100000",
		Help: "finished messages kept; 0 = no bound",
		kind: integer(0, math.MaxInt32, func(s *Settings) *int { return &s.Cache.MaxEntries })},
	{Name: "failover.cache.max.in.flight", Default: "100000",
		Help: "messages in flight beyond which a new one waits or is refused",
		kind: integer(1, math.MaxInt32, func(s *Settings) *int { return &s.Cache.MaxInFlight })},
	{Name: "failover.cache.eternal", Default: "true",
		Help: "entries never expire",
		kind: boolean(func(s *Settings) *bool { return &s.Cache.Eternal })},
	{Name: "failover.cache.time.to.idle", Default: "0",
		Help: "an entry not used for so long expires; 0 = never",
		kind: seconds(0, math.MaxInt64, func(s *Settings) *time.Duration { return &s.Cache.TimeToIdle })},
	{Name: "failover.cache.time.to.live", Default: "0",
		Help: "an entry older than this expires; 0 = never",
		kind: seconds(0, math.MaxInt64, func(s *Settings) *time.Duration { return &s.Cache.TimeToLive })},
	{Name: "failover.cache.replicate.asynchronously", Default: "true",
		Help: "false = a put returns when every live slave in step holds it",
		kind: boolean(func(s *Settings) *bool { return &s.Cache.Asynchronous })},
	{Name: "failover.cache.when.alone", Default: "allow",
		Help: "what a synchronous put does with no slave in step",
		kind: enum(func(s *Settings) *WhenAlone { return &s.Cache.WhenAlone }, AloneAllow, AloneBlock)},
	{Name: "failover.cache.promote.wait",
		Help: "how long a slave that may lack acked puts waits for one that has them; block = for ever; without it the lease",
		kind: promoteWait()},
	{Name: "failover.cache.socket.timeout", Default: "200",
		Help: "silence after which a slave is out of step",
		kind: millis(10*time.Millisecond, time.Hour, func(s *Settings) *time.Duration { return &s.Cache.SocketTimeout })},
	{Name: "failover.cache.ring.bytes", Default: "67108864",
		Help: "what a slow slave may lag behind before it needs a snapshot",
		kind: integer(1<<20, 1<<36, func(s *Settings) *int64 { return &s.Cache.RingBytes })},

	// Hooks
	{Name: "failover.profiler.overflow", Default: "drop",
		Help: "what hooks do when the buffer is full",
		kind: enum(func(s *Settings) *Overflow { return &s.Profiler.Overflow }, OverflowDrop, OverflowBlock)},
	{Name: "failover.profiler.payload", Default: "false",
		Help: "whether a workflow's start keeps the message's bytes",
		kind: boolean(func(s *Settings) *bool { return &s.Profiler.Payload })},
	{Name: pluginFactory, Default: "com.adaptris.failover.plugin.FailoverInterlokPluginFactory",
		Help: "which plugins hear the hooks, also read from adp-profiler.properties; short names: failover, metrics, log, otel",
		kind: words(func(s *Settings) *[]string { return &s.Profiler.Plugins })},
}

const pluginFactory = "com.adaptris.profiler.plugin.factory"

// keyOf finds a row by its name or an alias.
func keyOf(name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
		for _, a := range keys[i].Aliases {
			if a == name {
				return &keys[i]
			}
		}
	}
	return nil
}

// nearest is the known key most like name: few edits apart. A long common start
// counts for half as much, so that a key cut short finds its whole.
func nearest(name string) string {
	best, least := "", math.MaxInt
	try := func(known string) {
		same := 0
		for same < min(len(name), len(known)) && name[same] == known[same] {
			same++
		}
		if far := 2*distance(name, known) - same; far < least {
			best, least = known, far
		}
	}
	for _, k := range keys {
		try(k.Name)
		for _, a := range k.Aliases {
			try(a)
		}
	}
	return best
}

// distance is the number of characters to insert, drop, replace or swap with
// their neighbour to turn a into b.
func distance(a, b string) int {
	if len(a) > 200 { // no key is; bounds the work
		a = a[:200]
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
