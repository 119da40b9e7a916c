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

	// BarrierDone says that what the peers held of the cache has been pulled:
	// the winner of a claim may open.
	BarrierDone struct{ Epoch uint64 }

	// WorkStopped says that nothing of the workload runs any more. It answers
	// EventStopWork and EventLost.
	WorkStopped struct{}

	// Health says whether the workload's check passes. While it does not, the
	// instance is no candidate, and a master resigns.
	Health struct{ OK bool }

	// LogAt says how far the local copy of the cache's log reaches.
	LogAt struct{ Log heartbeat.LogPos }

	// Died is the proof that an instance and all it ran are dead.
	Died struct{ Obituary heartbeat.Obituary }

	// Refused says that the host of a silent peer is up and refuses
	// connections to it: it stopped, it was not cut off.
	Refused struct{ Peer heartbeat.InstanceID }

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
func (WorkStopped) input()    {}
func (Health) input()         {}
func (LogAt) input()          {}
func (Died) input()           {}
func (Refused) input()        {}
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
	Type   EventType
	Peer   heartbeat.InstanceID // whom it is about, if anyone
	Name   string               // that peer's name
	Addr   netip.AddrPort       // EventSilent: where its cache listened
	Epoch  uint64
	State  heartbeat.State // EventState: the new one
	Detail string
}

// EventType says what happened.
type EventType uint8

// The first five ask for something; the others tell.
const (
	EventBarrier  EventType = 1 + iota // claim won: pull the cache, answer BarrierDone
	EventOpened                        // the guard is open: start the work
	EventStopWork                      // stop the work in its own time, answer WorkStopped
	EventLost                          // mastership is over: end the work now, answer WorkStopped
	EventStopped                       // goodbye has been said: the process may end

	EventState         // the state changed
	EventMaster        // another master is followed; zero Peer: none is known
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
	eventEnd
)

var eventNames = [...]string{
	"", "barrier", "promoted", "stop-work", "demoted", "stopped",
	"state", "master", "epoch", "peer.joined", "peer.left", "peer.silent", "conflict",
	"peer.deaf", "mute", "isolated", "clone", "fault", "settings.differ", "epoch.jump",
	"stalled", "handover", "handover.failed", "no-candidate", "no-majority", "save.failed", "maintenance",
}

// String is the event's word in logs and in the API.
func (t EventType) String() string {
	if t < eventEnd {
		return eventNames[t]
	}
	return "unknown"
}
