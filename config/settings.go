package config

import (
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Settings are all settings of one instance, valid alone and together. They do
// not change after [Load]; they may be read from several goroutines.
type Settings struct {
	Design     Design   // which of the two protocols the instance speaks
	Name       string   // the instance's name for people, 1 to 63 bytes
	Cluster    string   // label in every packet, 1 to 63 bytes
	Generation uint64   // raised by hand to leave a poisoned epoch behind
	StateDir   string   // where epoch and promises are kept
	Keys       []Secret // the first signs, all verify; none: packets are not signed

	Network  Network
	Election Election
	Ping     Ping // for Design33 only
	Workload Workload
	Health   Health
	Admin    Admin
	Cache    Cache
	Profiler Profiler

	// Warnings are settings that work but probably not as meant, each as
	// "PLACE: KEY: TEXT".
	Warnings []string

	shown []Shown
}

// Design is one of the two protocols.
type Design string

// The two designs. The keys that are given choose one, see [Load].
const (
	Design306 Design = "3.0.6" // claims, epochs, leases; PROTOCOL.md
	Design33  Design = "3.3"   // slave positions and the 70-byte ping of the Java instances
)

// Secret is one 32-byte key. Printing it shows asterisks.
type Secret [32]byte

// Format hides the secret from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// Network is how heartbeats travel.
type Network struct {
	Group     netip.Addr // multicast group of the heartbeats (Design306)
	Port      uint16     // its UDP port
	Interface string     // network interface of the multicast; empty: the route's choice
	TTL       int        // of multicast packets, 0 to 255
	Peers     []Peer     // get heartbeats by unicast too
}

// Peer is the address of another instance. Host is a name or an IP address
// without brackets; names are resolved by the user of the setting.
type Peer struct {
	Host string
	Port uint16
}

// Election is when and how an instance becomes master.
type Election struct {
	Delay        time.Duration // between two heartbeats, whole milliseconds
	Retries      int           // heartbeats of the master that may be missed
	Position     int           // place in the line, 1 is next; 0: allot one
	Candidate    bool          // false: votes and mirrors, is never master
	Quorum       int           // votes a claim and a reign need; 0: off
	Voters       []string      // names of the instances that vote; empty: all
	Votes        int           // this instance's votes
	Isolation    Isolation
	TrustRefusal bool // a refused connection may free a vote before its time
	OnConflict   OnConflict
}

// Isolation is what a master does that hears nobody any more.
type Isolation string

// What a master does that hears nobody any more.
const (
	IsolationContinue Isolation = "continue" // reigns on
	IsolationAuto     Isolation = "auto"     // steps down if two or more fell silent at once
	IsolationQuorum   Isolation = "quorum"   // steps down without a quorum
)

// OnConflict is what a master does that meets one which outranks it.
type OnConflict string

// What a master does that meets one which outranks it.
const (
	ConflictDemote OnConflict = "demote" // becomes a slave
	ConflictExit   OnConflict = "exit"   // ends the process
)

// Ping is the 3.3 design.
type Ping struct {
	Interval time.Duration // between two pings
	Timeout  time.Duration // silence after which an instance is gone
	Mode     SocketMode
	Group    netip.Addr // multicast mode; invalid in tcp mode if not given
	Port     uint16     // multicast mode; 0 in tcp mode if not given
	TCPHost  string     // tcp mode: own address as the pings carry it; empty: not known here
	TCPPort  uint16     // tcp mode: own port
	TCPPeers []Peer     // tcp mode: the others
}

// SocketMode is how pings of the 3.3 design travel.
type SocketMode string

// How pings of the 3.3 design travel.
const (
	SocketMulticast SocketMode = "multicast"
	SocketTCP       SocketMode = "tcp"
)

// Workload is how COMMAND is started again and stopped.
type Workload struct {
	Restart      Restart
	RestartDelay time.Duration // before the first restart; doubled up to 30 s
	RestartLimit int           // restarts within the window before the instance resigns
	Window       time.Duration // in which restarts are counted
	OnEpoch      OnEpoch
	StopTimeout  time.Duration // SIGTERM to SIGKILL in a planned stop
	FenceTimeout time.Duration // the same when the mastership is already lost; see [Settings.StopBudget]
}

// Restart is when COMMAND is started again on the same instance.
type Restart string

// When COMMAND is started again on the same instance.
const (
	RestartOnFailure Restart = "on-failure"
	RestartAlways    Restart = "always"
	RestartNo        Restart = "no"
)

// OnEpoch is what happens to COMMAND when a reigning master's epoch changes.
type OnEpoch string

// What happens to COMMAND when a reigning master's epoch changes.
const (
	EpochRestart OnEpoch = "restart" // it is started again with the new token
	EpochKeep    OnEpoch = "keep"    // it reads the new token from its token file
)

// Health is a check of the workload.
type Health struct {
	Command  []string      // argv, run without a shell; empty: no check
	Interval time.Duration // between two checks
	Timeout  time.Duration // of one check
	Failures int           // in a row that count
}

// Admin is the HTTP API over TCP. The Unix socket is always there.
type Admin struct {
	Listen   string   // host:port; empty: none
	Hosts    []string // names under which callers know it, beside those it knows itself
	Token    string   // bearer token; empty: none
	TLSCert  string   // path
	TLSKey   string   // path
	Insecure bool     // a token may travel in clear text
}

// Cache is FAILOVER_CACHE and the caches beside it.
type Cache struct {
	ConfigFile string         // path of the Ehcache file that was read; empty: none
	Bind       netip.AddrPort // invalid address: that of Host, or else the first of the interface; port 0: a free one
	Host       string         // name of the host to bind to, from the file; empty: Bind says it all
	Caches     []CacheSpec    // 1 to 64, FAILOVER_CACHE among them

	// Discovery. Peers that a heartbeat tells of are known without it.
	Group  netip.Addr // multicast group; without meaning if Manual
	Port   uint16     // its UDP port
	TTL    int        // of its packets, 0 to 255
	Manual bool       // Peers only, no multicast
	Peers  []Peer     // caches of other instances, from the file

	// The rules of FAILOVER_CACHE, as in Caches.
	MaxEntries   int // finished messages kept; 0: no bound
	Eternal      bool
	TimeToIdle   time.Duration // 0: none
	TimeToLive   time.Duration // 0: none
	Asynchronous bool          // false: a put waits for the slaves in step

	MaxInFlight        int
	WhenAlone          WhenAlone
	PromoteWait        time.Duration // of a slave that may lack acked puts; without meaning if PromoteWaitForever
	PromoteWaitForever bool          // until an operator promotes it
	SocketTimeout      time.Duration // silence after which a slave is out of step
	RingBytes          int64         // what a slow slave may lag behind
}

// CacheSpec is one named cache, with Ehcache's rules.
type CacheSpec struct {
	Name       string        // 1 to 255 bytes, unique
	MaxEntries int           // entries kept, those in flight not counted; 0: no bound
	Eternal    bool          // TimeToIdle and TimeToLive do not count
	TimeToIdle time.Duration // 0: none
	TimeToLive time.Duration // 0: none
	// Synchronous puts return when every slave in step holds the entry.
	Synchronous bool
	// What is not replicated, and stays on the master alone.
	LocalPuts, LocalUpdates, LocalRemovals bool
}

// WhenAlone is what a synchronous put does with no slave in step.
type WhenAlone string

// What a synchronous put does with no slave in step.
const (
	AloneAllow WhenAlone = "allow"
	AloneBlock WhenAlone = "block"
)

// Profiler is the hooks.
type Profiler struct {
	Plugins  []string // names of the plugin factories, as written
	Overflow Overflow
	Payload  bool // a workflow's start keeps the message's bytes
}

// Overflow is what hooks do when the buffer is full.
type Overflow string

// What hooks do when the buffer is full.
const (
	OverflowDrop  Overflow = "drop"
	OverflowBlock Overflow = "block"
)

// Lease is delay × retries: the silence after which the master counts as gone
// in the 3.0.6 design.
func (s *Settings) Lease() time.Duration {
	return s.Election.Delay * time.Duration(s.Election.Retries)
}

// Down is the silence after which the master counts as gone in the design in use.
func (s *Settings) Down() time.Duration {
	if s.Design == Design33 {
		return s.Ping.Timeout
	}
	return s.Lease()
}

// Every is the time between two heartbeats, or pings, in the design in use.
func (s *Settings) Every() time.Duration {
	if s.Design == Design33 {
		return s.Ping.Interval
	}
	return s.Election.Delay
}

// StopBudget is the time COMMAND has to end once the mastership is lost: the
// fence timeout, but never more than a fifth of [Settings.Down]. A longer stop
// could reach into the next master's reign.
func (s *Settings) StopBudget() time.Duration {
	return min(s.Workload.FenceTimeout, s.Down()/5)
}

// Shown is one line of `config show`.
type Shown struct {
	Key    string
	Value  string // "******" for a secret; empty: none
	Origin string // "default", "FILE:LINE", "environment NAME" or "--set"
}

const masked = "******"

// Show is every key in the order of the table, with its value and where that
// came from. Relative paths are shown as they were resolved.
func (s *Settings) Show() []Shown { return append([]Shown(nil), s.shown...) }
