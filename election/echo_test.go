package election

import (
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// TestEchoAcross32Bits: heard lists carry the low half of a sequence number.
// Around 2^32 the right packet is found; one of the future is not.
func TestEchoAcross32Bits(t *testing.T) {
	cfg := Config{Self: heartbeat.InstanceID{1}, Name: "a", Delay: time.Second, Retries: 5}
	for _, start := range []uint64{1, 200, 1<<32 - 2, 1 << 32, 1<<32 + 1, 1<<40 - 1} {
		m, err := New(cfg, State{}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		m.seq = start - 1
		for i := range time.Duration(5) {
			m.now = time.Hour + i*time.Second
			m.pooled, m.to = 0, nil
			m.sendEverywhere(heartbeat.KindHeartbeat)
		}
		for i := range uint64(5) {
			p := &peer{}
			m.noteEcho(p, uint32(start+i))
			if want := time.Hour + time.Duration(i)*time.Second; !p.echoed || p.echoAt != want {
				t.Errorf("from %d: packet %d left at %v (%v), want %v", start, start+i, p.echoAt, p.echoed, want)
			}
		}
		p := &peer{}
		m.noteEcho(p, uint32(start+5))
		if p.echoed {
			t.Errorf("from %d: an echo of a packet that was never sent", start)
		}
	}
}

// TestRing: what left too long ago, or did not leave, proves nothing.
func TestRing(t *testing.T) {
	m, err := New(Config{Self: heartbeat.InstanceID{1}, Name: "a", Delay: time.Second, Retries: 5}, State{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 1100 {
		m.pooled, m.to = 0, m.to[:0]
		m.sendEverywhere(heartbeat.KindHeartbeat)
	}
	for seq, want := range map[uint64]bool{0: false, 1: false, 76: false, 77: true, 1100: true, 1101: false} {
		if _, ok := m.sentAt(seq); ok != want {
			t.Errorf("packet %d of 1100 is known: %v, want %v", seq, ok, want)
		}
	}
	m.sendFailed(1100)
	if _, ok := m.sentAt(1100); ok {
		t.Error("a packet that failed proves something")
	}
	m.state, m.reign.epoch = heartbeat.StateMaster, 1
	if got := m.leaseUntil(); got != m.now+m.t.Lease {
		t.Errorf("lease until %v, want it from the packet before", got)
	}
	m.now++
	m.sendTo(heartbeat.KindGrant, netip.AddrPort{}) // one peer got it, not everyone
	if got := m.leaseUntil(); got != m.now-1+m.t.Lease {
		t.Errorf("lease until %v, want it from the last heartbeat to everyone", got)
	}
	m.now--
	for seq := range uint64(1100) {
		m.sendFailed(seq)
	}
	if got := m.leaseUntil(); got != 0 {
		t.Errorf("lease until %v although nothing left", got)
	}
}

// TestSighted keeps the last few masters only.
func TestSighted(t *testing.T) {
	m, err := New(Config{Self: heartbeat.InstanceID{1}, Name: "a", Delay: time.Second, Retries: 5}, State{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := func(i byte, seq uint64) heartbeat.Sighting {
		return heartbeat.Sighting{Instance: heartbeat.InstanceID{100, i}, Seq: seq}
	}
	for i := range byte(40) {
		m.sight(s(i, 5))
	}
	if len(m.sighted) != maxSighted {
		t.Errorf("%d masters remembered, want %d", len(m.sighted), maxSighted)
	}
	m.sight(s(39, 9))
	if m.news(s(39, 9)) || !m.news(s(39, 10)) || !m.news(s(0, 1)) {
		t.Error("news are greater numbers than those remembered")
	}
}
