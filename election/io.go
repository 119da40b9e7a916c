package election

import (
	"net/netip"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Input is one thing that happened. The types below are all there are.
type Input interface{ input() }

type (
	// Wake says that Output.WakeAt has come.
	Wake struct{}

	// Received is a packet from another instance. From is where to answer it.
	// The machine does not keep Packet.
	Received struct {
		Packet *heartbeat.Packet
		From   netip.AddrPort
	}

	// Saved says that the State of the Output with this SaveSeq, and so each
	// earlier one, survives a crash of the machine from now on.
	Saved struct{ Seq uint64 }

	// SaveFailed says that it could not be stored.
	SaveFailed struct{ Seq uint64 }

	// SendFailed says that the packet with this sequence number left on no path.
	SendFailed struct{ Seq uint64 }

	// BarrierDone answers EventBarrier, with its Epoch: what could be pulled has
	// been. Log, if not zero, is how far the local copy reaches now.
	BarrierDone struct {
		Epoch uint64
		Log   heartbeat.LogPos
	}

	// Sealed answers EventSeal: no record is added to the log any more. Log is
	// its end; Acked says that the heir holds all of it.
	Sealed struct {
		Log   heartbeat.LogPos
		Acked bool
	}

	// WorkStopped says that nothing of the workload runs any more. It answers
	// EventStopWork and EventLost.
	WorkStopped struct{}

	// Health says whether the workload's check passes. While it does not, the
	// instance is no candidate, and a master resigns.
	Health struct{ OK bool }

	// LogAt says where the local copy of the cache's log stands. Log is the
	// position of its last record: a promise made to a later reign does not
	// raise it. Sync: a put is acknowledged only when all slaves in step hold
	// it. SureUntil: a master that died before that time, on the machine's
	// clock, had this slave in step.
	LogAt struct {
		Log       heartbeat.LogPos
		Sync      bool
		SureUntil time.Duration
	}

	// Died is the proof that an instance and all it ran are dead. At is when it
	// died at the latest, on the machine's clock; 0 = now.
	Died struct {
		Obituary heartbeat.Obituary
		At       time.Duration
	}

	// Refused says that the host of a peer is up and refuses connections to it.
	// Of a silent peer: it stopped, it was not cut off. Of the followed master,
	// after its stream broke: a suspicion, see PROTOCOL.md §4.2.
	Refused struct{ Peer heartbeat.InstanceID }

	// Stream says that the cache's stream to a peer opened, or broke.
	// RoundTrip, if not 0, is how long an answer took on it.
	Stream struct {
		Peer      heartbeat.InstanceID
		Open      bool
		RoundTrip time.Duration
	}

	// Reigned says that another reign of this epoch is known of: a copy of the
	// cache was promised to it. A master raises its own above it.
	Reigned struct{ Epoch uint64 }

	// CacheAt says that the cache listens at another address from now on.
	CacheAt struct{ Addr netip.AddrPort }

	// Handover asks the master to give its role to a peer: To, or, when zero,
	// the best one. NoClaimFor keeps this instance from claiming afterwards.
	Handover struct {
		To         heartbeat.InstanceID
		NoClaimFor time.Duration
		Reason     string
	}

	// Request is Handover asked of whoever is master, from another instance.
	Request struct{ To heartbeat.InstanceID }

	// Drain gives the role up and stays out until Resume, across restarts.
	Drain struct{}

	// Resume takes part again after Drain, and ends a pause by NoClaimFor.
	Resume struct{}

	// Promote claims at once. With Force it needs no votes, ends an isolation,
	// and asks a master that is reachable to hand over.
	Promote struct{ Force bool }

	// SetMaintenance keeps everybody from claiming for so long; 0 ends it.
	SetMaintenance struct{ For time.Duration }

	// Stop hands over if this is the master, says goodbye, and ends with
	// EventStopped.
	Stop struct{}
)

func (Wake) input()           {}
func (Received) input()       {}
func (Saved) input()          {}
func (SaveFailed) input()     {}
func (SendFailed) input()     {}
func (BarrierDone) input()    {}
func (Sealed) input()         {}
func (WorkStopped) input()    {}
func (Health) input()         {}
func (LogAt) input()          {}
func (Died) input()           {}
func (Refused) input()        {}
func (Stream) input()         {}
func (Reigned) input()        {}
func (CacheAt) input()        {}
func (Handover) input()       {}
func (Request) input()        {}
func (Drain) input()          {}
func (Resume) input()         {}
func (Promote) input()        {}
func (SetMaintenance) input() {}
func (Stop) input()           {}

// Output is what has to be done now, in the order of its fields: save, send,
// tell. It is valid until the next Step.
type Output struct {
	// Save, if not nil, is to be stored durably, beside the loop; answer with
	// Saved or SaveFailed and SaveSeq. A later one replaces an earlier one that
	// is still waiting.
	Save    *State
	SaveSeq uint64

	Send   []Message
	Events []Event

	// Guard is the permission to work as it stands after this step. Publish it
	// after the sends: a failed one takes back what it granted.
	Guard Guard

	// WakeAt is when to call Step with Wake at the latest, on the machine's clock.
	WakeAt time.Duration
}

// Message is a packet and where it goes: to the group and the configured peers
// if Everyone is set, and to each address of To.
type Message struct {
	Packet   *heartbeat.Packet
	Everyone bool
	To       []netip.AddrPort
}

// Guard is the permission to work. It is open while Until lies in the future
// on CLOCK_BOOTTIME; whoever acts as master checks it before each act.
type Guard struct {
	Until time.Duration // 0 = closed
	Epoch uint64
}

// Open reports whether the guard permits work at now.
func (g Guard) Open(now time.Duration) bool { return g.Until > now }

// Event is something to do or to tell.
type Event struct {
	Type  EventType
	Peer  heartbeat.InstanceID // whom it is about, if anyone
	Name  string               // that peer's name
	Addr  netip.AddrPort       // where that peer's cache listens, if known: EventMaster, EventSeal, EventSilent
	Addrs []netip.AddrPort     // EventBarrier: the caches to pull from
	Epoch uint64               // EventSilent: of the followed master, else 0; in the 3.3 design, which has none: of EventBarrier its number
	State heartbeat.State      // EventState: the new one

	Position int // EventPosition, EventCollision: the place in the line

	From   heartbeat.LogPos // EventLogLost: what is held here
	To     heartbeat.LogPos // and what a peer had held; EventSealed: the end of the log
	Detail string
}

// EventType says what happened.
type EventType uint8

// The first six ask for something; the others tell.
const (
	EventBarrier  EventType = 1 + iota // claim won: pull the cache from Addrs, answer BarrierDone; Peer: the one that holds more
	EventOpened                        // the guard is open: start the work
	EventStopWork                      // stop the work in its own time, answer WorkStopped
	EventSeal                          // the work has stopped: end the log, wait until Peer holds it, answer Sealed
	EventLost                          // mastership is over: end the work now, answer WorkStopped
	EventStopped                       // goodbye has been said: the process may end

	EventState         // the state changed
	EventMaster        // another master is followed, or its epoch or Addr changed; zero Peer: none is known
	EventEpoch         // this master reigns on under a new epoch
	EventPeerJoined    // a peer was heard for the first time
	EventPeerLeft      // a peer said goodbye, or is proved dead
	EventSilent        // a confirmed peer fell silent: dial it, answer Refused if it refuses
	EventConflict      // another master is heard
	EventDeafPeer      // a master hears nobody
	EventMute          // this master is heard by nobody
	EventIsolated      // none of the peers is heard any more
	EventClone         // another live instance has this one's name
	EventFault         // this instance may not vote or claim
	EventSettings      // a peer has other settings
	EventEpochJump     // an epoch grew by more than 1,000 in one packet
	EventStalled       // this process was late by more than a delay
	EventHandover      // a hand-over began
	EventHandoverFails // and ended without a successor; still master
	EventNoCandidate   // nobody may become master
	EventNoMajority    // a claim did not get the votes it needs
	EventSaveFailed    // state could not be stored
	EventMaintenance   // maintenance began, changed or ended
	EventSealed        // the log has ended at To and is handed over
	EventLogLost       // what a lost peer held, From to To, is not in this master's log
	EventMaybeLost     // what the last master acknowledged may be missing here

	// The 3.3 design has these besides.
	EventPosition  // this slave took another place in the line: Position, 0 = none
	EventOrder     // the order of promotion changed: Detail lists it, position 1 first
	EventCollision // another instance keeps the place that is configured here
	EventPromoting // no master is left: this instance becomes master
	eventEnd
)

var eventNames = [...]string{
	"", "barrier", "promoted", "stop-work", "seal", "demoted", "stopped",
	"state", "master", "epoch", "peer.joined", "peer.left", "peer.silent", "conflict",
	"peer.deaf", "mute", "isolated", "clone", "fault", "settings.differ", "epoch.jump",
	"stalled", "handover", "handover.failed", "no-candidate", "no-majority", "save.failed", "maintenance",
	"sealed", "cache.lost", "cache.maybe-lost",
	"position", "order", "position.taken", "promoting",
}

// String is the event's word in logs and in the API.
func (t EventType) String() string {
	if t < eventEnd {
		return eventNames[t]
	}
	return "unknown"
}
