package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// An instance died when its keeper saw it die, which may be long before that is
// heard: it may have been started again, and spoken, since.
func TestDeath(t *testing.T) {
	o := cache.Obituary{Instance: cache.InstanceID{1}, Secret: [32]byte{2}, Age: 3 * time.Second}
	want := election.Died{Obituary: heartbeat.Obituary{Instance: heartbeat.InstanceID{1}, Secret: [32]byte{2}}, At: 7 * time.Second}
	if got := death(o, 10*time.Second); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestProbes has more peers fall silent than are asked at once: the others are
// asked later, but for those that are heard again meanwhile.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbes()
		entered := make(chan heartbeat.InstanceID, 2*maxProbes)
		for n := range 2 * maxProbes {
			id := heartbeat.InstanceID{byte(n)}
			p.wants(id)
			go func() {
				if p.enter(id, false) {
					entered <- id
				}
			}()
			synctest.Wait() // in this order
		}
		if n := len(entered); n != maxProbes {
			t.Fatalf("%d are asked at once, want %d", n, maxProbes)
		}
		master := heartbeat.InstanceID{2 * maxProbes}
		p.wants(master)
		if !p.enter(master, true) {
			t.Error("the followed master is not asked")
		}
		p.leave(true)
		back := heartbeat.InstanceID{2*maxProbes - 1}
		p.heard(back)
		for range maxProbes {
			p.leave(false)
		}
		synctest.Wait()
		if n := len(entered); n != 2*maxProbes-1 {
			t.Errorf("%d were asked, want %d: all but the one that came back", n, 2*maxProbes-1)
		}
		for len(entered) > 0 {
			if id := <-entered; id == back {
				t.Error("one that is heard again was asked")
			}
		}
		if len(p.silent) > 0 {
			t.Errorf("%d are kept for nothing", len(p.silent))
		}
		if len(p.slots) != maxProbes-1 {
			t.Errorf("%d slots are taken, want %d", len(p.slots), maxProbes-1)
		}
	})
}
