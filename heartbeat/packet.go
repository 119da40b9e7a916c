package heartbeat

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"
)

// Limits of the wire format, PROTOCOL.md §1.
const (
	// MaxSize is the greatest length of a datagram in bytes.
	MaxSize = 1000
	// MaxName is the greatest length of a name in bytes.
	MaxName = 63
	// MaxHeard is the greatest number of heard entries in one packet.
	MaxHeard = 40
	// MaxEpoch is the greatest valid epoch; greater ones are malformed, so an
	// epoch can never overflow.
	MaxEpoch = 1<<63 - 1
)

// InstanceID is the identity of one start of one process: 128 random bits.
type InstanceID [16]byte

// String is the id as 32 hexadecimal digits.
func (id InstanceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is unset.
func (id InstanceID) IsZero() bool { return id == InstanceID{} }

// Prefix is the part of the id that heard lists carry.
func (id InstanceID) Prefix() (p [8]byte) {
	copy(p[:], id[:8])
	return p
}

// NodeID is the identity of a configured name in a cluster. It outlives
// restarts; votes are counted by it.
type NodeID [16]byte

// NewNodeID derives the id of name in cluster.
func NewNodeID(cluster, name string) NodeID {
	sum := sha256.Sum256([]byte(cluster + "\x00" + name))
	return NodeID(sum[:16])
}

// Kind says why a packet was sent.
type Kind uint8

// The kinds of packets, PROTOCOL.md §1.2.
const (
	KindHeartbeat Kind = 1 + iota // I live
	KindClaim                     // I take over unless you object
	KindWithdraw                  // I give up my claim; votes for it are free
	KindGrant                     // you have my vote
	KindRefusal                   // you don't; here is whom I promised, and my epoch
	KindResign                    // my reign is over; here is my heir
	KindPrepare                   // will you take over?
	KindReady                     // I will
	KindBehind                    // you claim with an older log than mine: see its position
	KindLeave                     // I stop
	KindRequest                   // master, hand over to this one (needs a key, or force)
	kindEnd
)

var kindNames = [...]string{"", "heartbeat", "claim", "withdraw", "grant", "refusal", "resign", "prepare", "ready", "behind", "leave", "request"}

// String is the kind's word in PROTOCOL.md.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return "unknown"
}

// State is what the sender is doing.
type State uint8

// The states, PROTOCOL.md §3.
const (
	StateListening State = 1 + iota
	StateSlave
	StateClaiming
	StateOpening  // won its claim, is not yet open for work
	StateMaster   // open for work
	StateDraining // master that stops its work to hand over
	StateStopping // mastership is over, the work is still being ended
	StateFault    // may not vote or claim
	stateEnd
)

var stateNames = [...]string{"", "listening", "slave", "claiming", "opening", "master", "draining", "stopping", "fault"}

// String is the state's word in PROTOCOL.md.
func (s State) String() string {
	if s < stateEnd {
		return stateNames[s]
	}
	return "unknown"
}

// Reigns reports whether a sender in this state holds mastership: it is
// followed, and its claim is won.
func (s State) Reigns() bool { return s == StateOpening || s == StateMaster || s == StateDraining }

// Flags are yes-or-no facts about the sender.
type Flags uint16

// The flags, PROTOCOL.md §1.3.
const (
	FlagCandidate Flags = 1 << iota // may become master
	FlagVoter                       // its votes count
	FlagDrained                     // stays out until resumed
	FlagUnhealthy                   // its workload's check fails, or FlagPaused
	FlagStalled                     // was late by more than a delay just now
	FlagIsolated                    // hears none of the peers it had
	FlagGone                        // this claim rests on an obituary
	FlagSure                        // surely holds all that the last master acknowledged
	FlagForced                      // this claim or reign was ordered by an operator, without votes
	FlagEmbargo                     // restarted voter that does not promise yet
	FlagCommand                     // runs a command, which may outlive its process
	FlagRefused                     // this claim rests on a refused connection: who knows better, object
	FlagConnected                   // the stream to the master that this packet names is open
	FlagPaused                      // unhealthy, for it was told not to claim for a while after a failure
)

// Has reports whether all flags of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// Sighting names a packet of a master: the last one that the sender knows of,
// heard directly or relayed. As a promise, Instance is who holds the sender's
// vote now, Seq the packet that it answers, and Epoch the greatest epoch that
// the sender ever granted.
type Sighting struct {
	Instance InstanceID
	Epoch    uint64
	Seq      uint64
}

// LogPos is a position in the cache's log.
type LogPos struct {
	Epoch uint64
	N     uint64
}

// Less reports whether p lies before q.
func (p LogPos) Less(q LogPos) bool { return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.N < q.N }

// Resignation ends the reigns of Instance up to Epoch and names who follows.
// A zero Heir means that anyone may claim.
type Resignation struct {
	Instance InstanceID
	Epoch    uint64
	Heir     InstanceID
	Log      LogPos
}

// Obituary is the proof that Instance and all it ran are dead: a secret that
// only its keeper knew. See [ObituaryHash].
type Obituary struct {
	Instance InstanceID
	Secret   [32]byte
}

// ObituaryHash is what an instance publishes at its start so that its secret
// can be recognised later.
func ObituaryHash(id InstanceID, secret [32]byte) [32]byte {
	b := make([]byte, 0, 4+len(id)+len(secret))
	b = append(b, "obit"...)
	b = append(b, id[:]...)
	b = append(b, secret[:]...)
	return sha256.Sum256(b)
}

// Order is what crossed claims are compared by (PROTOCOL.md §5), frozen at the start of a claim.
// [FlagSure] and the instance belong to it too.
type Order struct {
	Position uint16
	N        uint64
}

// Maintenance is the cluster's maintenance flag: while Left is positive nobody claims.
// The greater Version wins.
type Maintenance struct {
	Version uint32
	Left    time.Duration // whole milliseconds on the wire
}

// Heard is one entry of the heard list: the sender received packet Seq of the
// instance that starts with these bytes.
type Heard struct {
	Instance [8]byte
	Seq      uint32
}

// Packet is one heartbeat, in memory. The zero value of a field means "none".
type Packet struct {
	Kind        Kind
	State       State
	Flags       Flags
	Node        NodeID
	Instance    InstanceID
	Seq         uint64
	Epoch       uint64
	Asks        uint64
	MaxEpoch    uint64
	Master      Sighting
	Promise     Sighting
	Resigned    Resignation
	Obituary    Obituary
	Log         LogPos
	Order       Order
	Delay       time.Duration // whole milliseconds on the wire
	Retries     uint16
	Votes       uint8
	Quorum      uint8
	Position    uint16
	Maintenance Maintenance
	Cache       netip.AddrPort
	ObitHash    [32]byte
	Name        string
	Heard       []Heard
}

// Lease is the silence after which the sender counts as dead: delay × retries.
func (p *Packet) Lease() time.Duration { return p.Delay * time.Duration(p.Retries) }
