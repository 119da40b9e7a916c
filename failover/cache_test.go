package failover

import (
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// TestCacheHooks: the machine knows where the log stands before anything else,
// and what it asks of the cache goes to the cache.
func TestCacheHooks(t *testing.T) {
	now := time.Hour
	at := election.LogAt{Log: heartbeat.LogPos{Epoch: 3, N: 7}}
	var barriers, seals []election.Event
	sender := &told{}
	m, err := New(Config{
		Election: election.Config{
			Self: heartbeat.InstanceID{1}, Node: heartbeat.NodeID{1}, Name: "a",
			Delay: 100 * time.Millisecond, Retries: 5, Candidate: true, Votes: 1,
		},
		Sender: sender, Work: &lostWork{}, Now: func() time.Duration { return now },
		LogAt:   func() election.LogAt { return at },
		Barrier: func(e election.Event) { barriers = append(barriers, e) },
		Seal:    func(e election.Event) { seals = append(seals, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func(until func() bool) {
		t.Helper()
		for range 1000 {
			if until() {
				return
			}
			now = max(now, m.machine.WakeAt())
			m.step(election.Wake{})
			select {
			case s := <-m.saves:
				m.step(election.Saved{Seq: s.seq})
			default:
			}
		}
		t.Fatal("it does not come to that")
	}
	run(func() bool { return len(barriers) > 0 })
	if sender.last.Log != at.Log {
		t.Errorf("tells %v, want %v", sender.last.Log, at.Log)
	}
	at.Log.N = 8
	m.step(election.BarrierDone{Epoch: barriers[0].Epoch})
	if !m.guard.Open() || sender.last.Log != at.Log {
		t.Errorf("guard open %v, tells %v", m.guard.Open(), sender.last.Log)
	}
	m.step(election.Drain{})
	run(func() bool { return m.machine.View(now).State == heartbeat.StateDraining })
	m.step(election.WorkStopped{})
	if len(seals) != 1 || m.machine.View(now).State != heartbeat.StateDraining {
		t.Fatalf("%d seals asked for, want 1", len(seals))
	}
	m.step(election.Sealed{Log: at.Log})
	if sender.last.Kind != heartbeat.KindResign || sender.last.Resigned.Log != at.Log {
		t.Errorf("sent %v with %v, want the resignation with the end of the log", sender.last.Kind, sender.last.Resigned.Log)
	}
}

// told remembers the last packet.
type told struct {
	said
	last heartbeat.Packet
}

func (s *told) Send(p *heartbeat.Packet) error {
	s.last = *p
	return s.said.Send(p)
}
