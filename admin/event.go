package admin

// Types of events. The list is open: readers pass over words they don't know.
const (
	EventState           = "state"            // the present state; the first event of each stream
	EventPromoted        = "promoted"         // this instance became master
	EventDemoted         = "demoted"          // it is master no more
	EventMaster          = "master"           // the followed master changed, or was lost
	EventPeerJoined      = "peer.joined"      // another instance was heard for the first time
	EventPeerLeft        = "peer.left"        // it said goodbye, or was silent for too long
	EventConflict        = "conflict"         // two masters were heard
	EventIsolated        = "isolated"         // all peers fell silent
	EventSettingsDiffer  = "settings.differ"  // a peer runs with other settings
	EventClone           = "clone"            // two instances live under one identity
	EventFault           = "fault"            // this instance can take no part
	EventPosition        = "position"         // 3.3: this slave took another place in the line
	EventOrder           = "order"            // 3.3: the order of promotion changed
	EventPromoting       = "promoting"        // 3.3: no master is left, this instance becomes master
	EventWorkloadStarted = "workload.started" // the command runs
	EventWorkloadExited  = "workload.exited"  // the command has ended
	EventCut             = "cut"              // the reader was too slow; events were lost, the stream ends
)

// Event is one thing that happened, with the state it left the instance in.
type Event struct {
	Time Time   `json:"time"`
	Type string `json:"type"`
	// Instance is the name of the instance that tells it.
	Instance string `json:"instance,omitempty"`
	Role     string `json:"role"`
	State    string `json:"state"`
	Epoch    uint64 `json:"epoch"`
	// Master is the name of the master that is followed now; empty when none is.
	Master string `json:"master"`
	// Peer is the name of the other instance that it is about, if any.
	Peer string `json:"peer,omitempty"`
	// Detail is for people.
	Detail string `json:"detail,omitempty"`
}
