package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/rs/zerolog"
)

// DefaultName is the name of the cache of an Interlok failover cluster.
const DefaultName = "FAILOVER_CACHE"

// Limits of what can be stored.
const (
	MaxKey    = 1 << 10 // bytes of a key
	MaxValue  = 1 << 20 // bytes of a value
	MaxCaches = 64      // named caches of one cluster
)

// InstanceID is the identity of one start of one process: 128 random bits.
type InstanceID [16]byte

// String is the id as 32 hexadecimal digits.
func (id InstanceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is unset.
func (id InstanceID) IsZero() bool { return id == InstanceID{} }

// Reign is the token under which a master writes. Greater epochs win, and
// among equal ones the lower instance.
type Reign struct {
	Epoch    uint64
	Instance InstanceID
}

// Pos is a position in the log: the number of the last record, and the epoch
// it was written under.
type Pos struct {
	Epoch uint64
	N     uint64
}

// Less reports whether p lies before q.
func (p Pos) Less(q Pos) bool { return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.N < q.N }

// Spec is one named cache, with Ehcache's rules.
type Spec struct {
	Name       string
	MaxEntries int           // entries kept, those in flight not counted; 0: no bound
	Eternal    bool          // TimeToIdle and TimeToLive do not count
	TimeToIdle time.Duration // since the last read or write on the master; 0: none
	TimeToLive time.Duration // since the last write; 0: none
	// Synchronous puts return when every slave in step holds the entry.
	Synchronous bool
	// What stays on the master alone.
	LocalPuts, LocalUpdates, LocalRemovals bool
}

// WhenAlone is what a synchronous put does with no slave in step.
type WhenAlone uint8

// What a synchronous put does with no slave in step.
const (
	AloneAllow WhenAlone = iota // goes on, with an event
	AloneBlock                  // waits for one
)

// Beacon is multicast discovery of peers.
type Beacon struct {
	Group     netip.Addr
	Port      uint16
	Interface string // empty: the route's choice
	TTL       int
}

// Config is what a Cache is made of.
type Config struct {
	Cluster  string     // only instances of one cluster talk to each other
	Name     string     // of this instance, for people
	Instance InstanceID // new at each start of the process; zero: drawn by Open

	// Bind is the TCP and UDP address; port 0: a free one. Never all
	// interfaces unless written so.
	Bind   netip.AddrPort
	Caches []Spec // FAILOVER_CACHE of 100,000 entries if empty

	// Keys encrypt and authenticate gossip and streams: the first is used, all
	// are accepted. None: in the clear. See [Cache.SetKeys].
	Keys [][32]byte

	Peers  []string // host:port of other caches; names are resolved anew at each try
	Beacon *Beacon  // nil: none
	// AutoFollow follows the greatest reign that gossip tells of. Without it
	// [Cache.Follow] says whom.
	AutoFollow bool
	// TellPromise has gossip tell what reign this copy is promised to, and not
	// only whom it follows: for masters that no heartbeat tells of greater
	// reigns. See [Event].Reign.
	TellPromise bool

	SocketTimeout time.Duration // silence after which a slave is out of step; 200 ms if 0
	RingBytes     int64         // how far a slave may lag before it needs a snapshot; 64 MiB if 0
	MaxInFlight   int           // entries in flight; 100,000 if 0
	WhenAlone     WhenAlone
	// MinInStep is how many slaves in step a synchronous put needs when WhenAlone
	// is AloneBlock; 1 if 0. One less than a majority of the voters, so that with
	// the master a majority holds it.
	MinInStep int

	// OnEvent is told what happened, from one goroutine, in order. May be nil.
	OnEvent func(Event)

	Network Network              // nil: this host's
	Now     func() time.Duration // nil: CLOCK_BOOTTIME
	Log     zerolog.Logger
}

func (cfg *Config) fill() error {
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf("cache: "+format, a...)) }
	if cfg.Cluster == "" || len(cfg.Cluster) > 63 {
		bad("Cluster %q must have 1 to 63 bytes", cfg.Cluster)
	}
	if cfg.Name == "" || len(cfg.Name) > 63 {
		bad("Name %q must have 1 to 63 bytes", cfg.Name)
	}
	if !cfg.Bind.Addr().IsValid() {
		bad("Bind is not set")
	}
	if len(cfg.Caches) == 0 {
		cfg.Caches = []Spec{{Name: DefaultName, MaxEntries: 100_000, Eternal: true}}
	}
	if len(cfg.Caches) > MaxCaches {
		bad("%d Caches are more than %d", len(cfg.Caches), MaxCaches)
	}
	seen := map[string]bool{}
	for _, s := range cfg.Caches {
		if s.Name == "" || len(s.Name) > 255 || seen[s.Name] {
			bad("a cache's Name %q must be unique and have 1 to 255 bytes", s.Name)
		}
		seen[s.Name] = true
		if s.MaxEntries < 0 || s.TimeToIdle < 0 || s.TimeToLive < 0 {
			bad("cache %s: MaxEntries, TimeToIdle and TimeToLive must not be negative", s.Name)
		}
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.SocketTimeout, 200*time.Millisecond)
	if cfg.SocketTimeout < time.Millisecond {
		bad("SocketTimeout %v must be at least 1ms", cfg.SocketTimeout)
	}
	if cfg.RingBytes == 0 {
		cfg.RingBytes = 64 << 20
	}
	if cfg.RingBytes < 1<<20 {
		bad("RingBytes %d must be at least 1 MiB", cfg.RingBytes)
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 100_000
	}
	if cfg.MinInStep < 0 {
		bad("MinInStep %d must not be negative", cfg.MinInStep)
	}
	if cfg.MaxInFlight < 0 {
		bad("MaxInFlight %d must not be negative", cfg.MaxInFlight)
	}
	return errors.Join(faults...)
}
