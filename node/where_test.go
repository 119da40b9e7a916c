package node

import (
	"net/netip"
	"testing"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// A master that others told of has an id, and no more.
func TestWhereMaster(t *testing.T) {
	a, b := heartbeat.InstanceID{1}, heartbeat.InstanceID{2}
	v := election.View{Follow: heartbeat.Sighting{Instance: a}, Peers: []election.PeerView{
		{ID: b, Name: "b", Addr: netip.MustParseAddrPort("192.0.2.2:2710")},
	}}
	if got := whereMaster(v); got != a.String() {
		t.Errorf("of one that was not heard itself: %s", got)
	}
	v.Peers = append(v.Peers, election.PeerView{ID: a, Name: "a", Addr: netip.MustParseAddrPort("192.0.2.1:2710")})
	if got := whereMaster(v); got != "a on 192.0.2.1:2710" {
		t.Errorf("of one that was: %s", got)
	}
}
