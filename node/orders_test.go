package node

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
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
