//go:build linux

package attack

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// beats watches the master's heartbeats on the wire.
type beats struct {
	v    *victim
	from int           // of what the wire heard
	id   string        // whose
	late *atomic.Int64 // worst lateness, in ns, of somebody who only sleeps
	end  func()
}

// listen begins to watch. Beside it somebody only sleeps: what the machine is
// too busy for, that one misses as well.
func (v *victim) listen() *beats {
	b := &beats{v: v, from: len(v.wire.Heard()), id: v.master.MustStatus().Instance.ID, late: new(atomic.Int64)}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			from := time.Now()
			select {
			case <-quit:
				return
			case <-time.After(v.delay / 10):
			}
			if late := int64(time.Since(from) - v.delay/10); late > b.late.Load() {
				b.late.Store(late)
			}
		}
	}()
	b.end = sync.OnceFunc(func() { close(quit); <-ended })
	return b
}

// whole fails the test if a heartbeat is missing: its number, or one that is
// due was not sent.
func (b *beats) whole(t *testing.T) {
	t.Helper()
	b.end()
	// Somewhat more than the most that lies between two: 5 % are chance.
	late := time.Duration(b.late.Load())
	most := b.v.delay*3/2 + 2*late
	var last heartbeat.Packet
	var at time.Time
	n := 0
	for _, h := range b.v.wire.Heard()[b.from:] {
		if h.Packet.Instance.String() != b.id {
			continue
		}
		n++
		if !at.IsZero() {
			if h.Packet.Seq != last.Seq+1 {
				t.Errorf("heartbeat %d follows %d", h.Packet.Seq, last.Seq)
			}
			if gap := h.At.Sub(at); gap > most {
				t.Errorf("%v between heartbeats %d and %d, every %v one is due, and the machine was late by %v", gap, last.Seq, h.Packet.Seq, b.v.delay, late)
			}
		}
		last, at = h.Packet, h.At
	}
	if at.IsZero() || time.Since(at) > most {
		t.Errorf("no heartbeat for %v", time.Since(at))
	}
	t.Logf("%d heartbeats on the wire, none missing; the machine was late by %v at most", n, late)
}
