package node

import (
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// A master that others told of first is called by its name once it is heard.
func TestMasterNamedLate(t *testing.T) {
	f := newFeed("b", time.Now())
	events := f.out.Subscribe(t.Context())
	<-events // the present state
	id := heartbeat.InstanceID{7}
	f.put(election.Event{Type: election.EventMaster, Peer: id, Epoch: 2})
	f.put(election.Event{Type: election.EventPeerJoined, Peer: heartbeat.InstanceID{8}, Name: "a"})
	f.put(election.Event{Type: election.EventPeerJoined, Peer: id, Name: "c"})
	for i, want := range []struct{ kind, peer, master string }{
		{admin.EventMaster, "", id.String()},
		{admin.EventPeerJoined, "a", id.String()},
		{admin.EventPeerJoined, "c", "c"},
		{admin.EventMaster, "", "c"},
	} {
		if e := <-events; e.Type != want.kind || e.Peer != want.peer || e.Master != want.master || e.Epoch != 2 {
			t.Errorf("event %d: got %+v, want %+v", i, e, want)
		}
	}
}
