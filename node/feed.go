package node

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// feed turns the election's events into the API's, each complete with the
// state it left the instance in.
type feed struct {
	name   string
	out    *admin.Feed
	counts *counts

	mu      sync.Mutex // guards all below
	state   heartbeat.State
	master  string               // name of the master that is followed, or own; "" = none
	unheard heartbeat.InstanceID // that master, while only others have told of it; its name is not known yet
	epoch   uint64
	since   time.Time // when the present role began
	hooks   map[chan election.Event]struct{}
}

const subscriberBuffer = 256

func newFeed(name string, since time.Time) *feed {
	f := &feed{name: name, counts: newCounts(), state: heartbeat.StateListening, since: since, hooks: map[chan election.Event]struct{}{}}
	f.out = admin.NewFeed(f.complete(admin.Event{}), subscriberBuffer)
	return f
}

// isMaster reports whether an instance in this state has the role of master.
func isMaster(s heartbeat.State) bool {
	return s == heartbeat.StateMaster || s == heartbeat.StateDraining
}

func role(s heartbeat.State) string {
	if isMaster(s) {
		return admin.RoleMaster
	}
	return admin.RoleSlave
}

// put takes in an event of the election. It does not block.
func (f *feed) put(e election.Event) {
	f.counts.put(e)
	f.mu.Lock()
	defer f.mu.Unlock()
	for h := range f.hooks {
		select {
		case h <- e:
		default: // whoever waits that long has a deadline of its own
		}
	}
	out := admin.Event{Type: e.Type.String(), Peer: e.Name, Detail: e.Detail}
	switch e.Type {
	case election.EventBarrier, election.EventSeal, election.EventStopWork, election.EventStopped, election.EventLost:
		return // the change of state tells it
	case election.EventPosition, election.EventCollision:
		out.Detail = strings.TrimSuffix(fmt.Sprintf("position %d: %s", e.Position, e.Detail), ": ")
	case election.EventOpened:
		f.epoch, f.master = e.Epoch, f.name
	case election.EventEpoch:
		f.epoch = e.Epoch
	case election.EventMaster:
		f.master, f.epoch, f.unheard = e.Name, e.Epoch, heartbeat.InstanceID{}
		if e.Name == "" && !e.Peer.IsZero() {
			f.master, f.unheard = e.Peer.String(), e.Peer
		}
		out.Peer = ""
	case election.EventPeerJoined:
		if e.Peer == f.unheard && !e.Peer.IsZero() {
			f.master, f.unheard = e.Name, heartbeat.InstanceID{}
			f.out.Publish(f.complete(out))
			out = admin.Event{Type: admin.EventMaster}
		}
	case election.EventState:
		was := f.state
		f.state = e.State
		if isMaster(was) == isMaster(e.State) {
			break
		}
		f.since = time.Now()
		if isMaster(was) {
			f.master = ""
			f.out.Publish(f.complete(admin.Event{Type: admin.EventDemoted, Detail: e.Detail}))
		}
	}
	f.out.Publish(f.complete(out))
}

// tell passes an event on that is not the election's.
func (f *feed) tell(kind, peer, detail string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.Publish(f.complete(admin.Event{Type: kind, Peer: peer, Detail: detail}))
}

func (f *feed) complete(e admin.Event) admin.Event {
	e.Time = admin.Time{Time: time.Now()}
	e.Instance = f.name
	e.Role, e.State = role(f.state), stateWord(f.state, false, false)
	e.Epoch, e.Master = f.epoch, f.master
	return e
}

// roleSince is when the present role began.
func (f *feed) roleSince() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since
}

// hook gives the election's own events, until off is called.
func (f *feed) hook() (ch <-chan election.Event, off func()) {
	h := make(chan election.Event, subscriberBuffer)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hooks[h] = struct{}{}
	return h, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.hooks, h)
	}
}
