package demo

import (
	"net/netip"
	"testing"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func TestCut(t *testing.T) {
	reigns := make(chan string, 1)
	c := &cut{reigns: reigns}
	drops := func(name string, s heartbeat.State) bool {
		return c.drop(netip.AddrPort{}, &heartbeat.Packet{Name: name, State: s})
	}
	obey := func(line, answer string) {
		t.Helper()
		if got, ok := c.order(line); got != answer || !ok {
			t.Errorf("order %q: got %q, %v; want %q", line, got, ok, answer)
		}
	}
	check := func(a, b bool) {
		t.Helper()
		if gotA, gotB := drops("a", heartbeat.StateSlave), drops("b", heartbeat.StateSlave); gotA != a || gotB != b {
			t.Errorf("drops a %v, b %v; want %v, %v", gotA, gotB, a, b)
		}
	}
	check(false, false)
	obey("drop b", "b")
	check(false, true)
	obey("drop a,b", "a,b")
	check(true, true)
	if _, ok := c.order("dorp a"); ok {
		t.Error("an order that is none was obeyed")
	}
	check(true, true)

	// Who claims to reign is told of even if dropped, and a full channel blocks nobody.
	drops("a", heartbeat.StateMaster)
	drops("b", heartbeat.StateDraining)
	if got := <-reigns; got != "a" || len(reigns) > 0 {
		t.Errorf("reigns %q, want a alone", got)
	}
	obey("drop ", "")
	check(false, false)
	if drops("b", heartbeat.StateOpening); <-reigns != "b" {
		t.Error("an opening master was not told of")
	}
}
