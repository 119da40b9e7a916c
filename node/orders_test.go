package node

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// A slave that is asked to pass an order on says at once what the master would:
// its refusal has no way back.
func TestSwitchoverToNobody(t *testing.T) {
	c := newCluster(t)
	key := "failover.key=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	a := c.start("a", idle, key)
	expect(t, "a's mastership", a.masters)
	c.start("w", idle, key, "failover.candidate=false")
	w := admin.NewClient(c.dir + "/w.sock")
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if s, err := w.Status(t.Context()); err == nil && s.Master != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("w hears no master")
		}
	}
	_, err := w.Switchover(t.Context(), "", patience)
	if e, ok := errors.AsType[*admin.Error](err); !ok || e.Kind != admin.KindRefused || e.Detail != "no other instance may become master" {
		t.Errorf("switchover: %v, want a refusal: no other instance may become master", err)
	}
}

// Who may be counted on when this instance goes.
func TestOthersServe(t *testing.T) {
	n := &Node{s: &config.Settings{}}
	for _, tt := range []struct {
		name        string
		peer        election.PeerView
		maintenance time.Duration
		want        bool
	}{
		{"one that hears us", election.PeerView{Eligible: true, Confirmed: true}, 0, true},
		{"one that does not", election.PeerView{Eligible: true}, 0, false},
		{"one that may not", election.PeerView{Confirmed: true}, 0, false},
		{"in maintenance", election.PeerView{Eligible: true, Confirmed: true}, time.Hour, false},
		{"in maintenance, it works already", election.PeerView{Eligible: true, Confirmed: true, State: heartbeat.StateMaster}, time.Hour, true},
	} {
		v := election.View{Maintenance: tt.maintenance, Peers: []election.PeerView{{}, tt.peer}}
		if got := n.othersServe(v); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// In maintenance a slave may go: the master works on. The master may not.
func TestDrainInMaintenance(t *testing.T) {
	c := newCluster(t)
	c.start("a", idle)
	c.start("b", idle)
	clients := []*admin.Client{admin.NewClient(c.dir + "/a.sock"), admin.NewClient(c.dir + "/b.sock")}
	var master, slave *admin.Client
	var name string
	for end := time.Now().Add(patience); slave == nil; time.Sleep(20 * time.Millisecond) {
		for i, client := range clients {
			if s, err := client.Status(t.Context()); err == nil && s.Instance.State == admin.StateMaster && len(s.Peers) == 1 {
				master, slave, name = client, clients[1-i], s.Instance.Name
			}
		}
		if time.Now().After(end) {
			t.Fatal("no master")
		}
	}
	if _, err := slave.Maintenance(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, err := slave.Drain(t.Context(), false) // it must have been heard by the master before
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("drain of the slave: %v", err)
		}
	}
	if s, err := slave.Status(t.Context()); err != nil || s.Instance.State != admin.StateDrained || s.Master == nil || s.Master.Name != name {
		t.Errorf("the slave says %+v, %v", s.Instance, err)
	}
	if _, err := master.Drain(t.Context(), false); err == nil {
		t.Error("the master went too, and nobody works")
	}
}

// Who may not be promoted is told what is missing.
func TestPromoteWithoutVotes(t *testing.T) {
	c := newCluster(t)
	c.start("a", idle, "failover.quorum=2", "failover.delay=50", "failover.workload.stop.timeout=100")
	a := admin.NewClient(c.dir + "/a.sock")
	const want = "the promotion was not seen in time: 1 vote is heard, 2 votes are needed; if the others are gone for good: promote --force"
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, err := a.Promote(t.Context(), false)
		if e, ok := errors.AsType[*admin.Error](err); ok && e.Kind == admin.KindTimeout && e.Detail == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("promote: %v, want %s", err, want)
		}
	}
}
