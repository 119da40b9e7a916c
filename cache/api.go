package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// What callers branch on.
var (
	ErrNotMaster = errors.New("cache: this instance is not the master")
	ErrNoReplica = errors.New("cache: no slave is in step")
	ErrFull      = errors.New("cache: too many entries in flight")
	ErrTooLarge  = errors.New("cache: key or value too large")
	ErrOutcome   = errors.New("what waited may be written all the same")
	ErrNoKey     = errors.New("cache: the key is empty")
	ErrLagged    = errors.New("cache: the watcher fell behind the ring")
	ErrClosed    = errors.New("cache: closed")
	ErrUnknown   = errors.New("cache: no cache of that name")
)

// Entry is a copy of one entry.
type Entry struct {
	Key      string
	Value    []byte
	N        uint64        // of the record that wrote it; 0: on this instance alone
	Age      time.Duration // since it was written
	InFlight bool          // pinned: never evicted, never expired
	Orphan   *Pos          // where a deposed master wrote it; nil for an ordinary entry
	From     InstanceID    // of an orphan: that master
}

// Op is what a record did.
type Op uint8

// What a record did.
const (
	OpPut Op = 1 + iota
	OpUpdate
	OpRemove // in a synchronous cache also of a key that is not there
	OpEvict
	OpExpire
	OpOrphan
)

// Change is one record, as a watcher sees it. Key and Value are the watcher's.
type Change struct {
	Cache    string
	N        uint64
	Op       Op
	Key      string
	Value    []byte
	InFlight bool
}

// Obituary is what a dead instance's keeper says.
type Obituary struct {
	Instance InstanceID
	Secret   [32]byte
	Age      time.Duration // since the death, by the keeper's clock
}

// String hides the secret.
func (o Obituary) String() string {
	if o.Instance.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%v died %v ago", o.Instance, o.Age)
}

// EventType says what happened.
type EventType uint8

// What happened.
const (
	EventConnected  EventType = 1 + iota // Peer's stream to us, or ours to Peer, is open
	EventBroken                          // a stream broke
	EventObituary                        // Obituary came from the master's address
	EventRefused                         // the host of the followed master refuses connections
	EventInStep                          // Peer is in step
	EventOutOfStep                       // Peer is not any more
	EventAlone                           // synchronous puts go on (or wait) with no slave in step
	EventLost                            // From..To of the log is known to be lost
	EventMaybeLost                       // synchronous puts may be lost
	EventSnapshot                        // Detail: progress of a snapshot
	EventResync                          // a copy that differed from the master's is fetched anew
	EventOrphans                         // Count entries of a deposed master were kept as orphans
	EventDeposed                         // a slave has promised itself to a newer reign, or a newer one is told
	EventSealed                          // promised to take nothing more from masters before Epoch
	EventMember                          // gossip: Peer at Addr is there
	EventMemberGone                      // gossip: Peer is gone
	eventEnd
)

var eventNames = [...]string{"", "cache.connected", "cache.broken", "cache.obituary", "cache.refused", "cache.in-step",
	"cache.out-of-step", "cache.alone", "cache.lost", "cache.maybe-lost", "cache.snapshot", "cache.resync", "cache.orphans",
	"cache.deposed", "cache.sealed", "cache.member", "cache.member-gone"}

// String is the event's word in logs and in the API.
func (t EventType) String() string {
	if t < eventEnd {
		return eventNames[t]
	}
	return "unknown"
}

// Event is something that happened.
type Event struct {
	Type     EventType
	Peer     InstanceID
	Name     string // that peer's, if known
	Addr     netip.AddrPort
	Epoch    uint64
	Reign    Reign // of EventMember: that it has or follows, or is promised to (Config.TellPromise)
	From, To uint64
	Count    int
	Obituary Obituary // of EventObituary
	// RoundTrip is how long the answer took, of EventConnected to a master.
	RoundTrip time.Duration
	Detail    string
}

// Network is where the bytes travel.
type Network interface {
	// Listen opens a stream listener and a datagram socket on one port.
	Listen(bind netip.AddrPort) (net.Listener, net.PacketConn, error)
	// Dial opens a stream.
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Status is the state of a Cache, for people.
type Status struct {
	Instance  InstanceID
	Name      string
	Addr      netip.AddrPort
	Master    bool  // this instance writes
	Reign     Reign // the last one in the log
	Pos       Pos
	Caches    []NamedStatus
	Followers []Follower // of the master: the slaves' streams
	Following Following  // of a slave
	Members   int        // that gossip knows, this one included
	RingBytes int64      // used
	Counters  Counters
}

// NamedStatus is one named cache.
type NamedStatus struct {
	Spec     Spec
	Entries  int // in flight ones included
	InFlight int
	Orphans  int
	Bytes    int64 // of keys and values
}

// Follower is one slave, as the master sees it.
type Follower struct {
	Instance InstanceID
	Name     string
	Addr     netip.AddrPort
	Acked    uint64
	Behind   uint64 // records
	InStep   bool
	Snapshot bool          // it is being sent one
	Silent   time.Duration // since its last ack
}

// Following is the stream to the master, as a slave sees it.
type Following struct {
	Reign     Reign
	Addr      netip.AddrPort
	Connected bool
	Snapshot  bool          // it is being received
	Behind    uint64        // records, as of the last frame
	Silent    time.Duration // since the last frame
	InStep    bool          // this slave was in step by the last it heard
}

// Counters only grow.
type Counters struct {
	Puts, Removes, Evictions, Expirations, Hits, Misses      uint64
	BytesSent, BytesReceived                                 uint64
	Snapshots, Resyncs, Cuts                                 uint64 // Cuts: slaves that fell off the ring
	RefusedKey, RefusedCluster, RefusedMalformed             uint64
	RefusedTooLarge, RefusedSlow, RefusedBusy, RefusedGossip uint64
}
