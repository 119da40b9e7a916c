package cache

import (
	"net/netip"
	"testing"
)

// TestTellPromise: what a copy is promised to is told in gossip if that is
// asked for, and else whom it follows.
func TestTellPromise(t *testing.T) {
	at := netip.MustParseAddrPort("127.0.0.1:1")
	lower, greater := Reign{Epoch: 3, Instance: InstanceID{3}}, Reign{Epoch: 7, Instance: InstanceID{7}}
	for _, tell := range []bool{true, false} {
		c, err := Open(Config{Cluster: "c", Name: "a", Bind: netip.MustParseAddrPort("127.0.0.1:0"), TellPromise: tell})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		c.Follow(greater, at)
		c.Follow(lower, at) // as after a heal: it refuses that one's frames
		want := lower
		if tell {
			want = greater
		}
		if master, got := c.gossip.role(); master || got != want {
			t.Errorf("tell %v: gossip tells %+v, master %v; want %+v", tell, got, master, want)
		}
		if got := c.Promised(); got != greater || !got.Outranks(lower) {
			t.Errorf("promised to %+v", got)
		}
	}
}
