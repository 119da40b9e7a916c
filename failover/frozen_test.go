package failover

import (
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// said remembers the states that were sent.
type said struct{ states []heartbeat.State }

func (s *said) Send(p *heartbeat.Packet) error {
	s.states = append(s.states, p.State)
	return nil
}

func (s *said) SendTo(p *heartbeat.Packet, _ netip.AddrPort) error { return s.Send(p) }

// lostWork counts how often it was ended at once.
type lostWork struct{ lost int }

func (*lostWork) Open(uint64)          {}
func (*lostWork) Guard(election.Guard) {}
func (*lostWork) Epoch(uint64)         {}
func (w *lostWork) Stop(planned bool) {
	if !planned {
		w.lost++
	}
}

// A master that was frozen after it had decided to send a heartbeat, and woken
// after its lease, does not send it.
func TestFrozenBeforeTheSend(t *testing.T) {
	now, leap := time.Hour, time.Duration(0)
	clock := func() time.Duration {
		was := now
		now, leap = now+leap, 0
		return was
	}
	barrier := false
	sender, work := &said{}, &lostWork{}
	m, err := New(Config{
		Election: election.Config{
			Self: heartbeat.InstanceID{1}, Node: heartbeat.NodeID{1}, Name: "a",
			Delay: 100 * time.Millisecond, Retries: 5, Candidate: true, Votes: 1,
		},
		Sender: sender, Work: work, Now: clock,
		Observe: func(e election.Event) { barrier = barrier || e.Type == election.EventBarrier },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if m.guard.Open() {
			break
		}
		now = max(now, m.machine.WakeAt())
		m.step(election.Wake{})
		select {
		case s := <-m.saves:
			m.step(election.Saved{Seq: s.seq})
		default:
		}
		if barrier {
			barrier = false
			f := <-m.calls
			f()
		}
	}
	if !m.guard.Open() {
		t.Fatal("it did not become master")
	}

	now = m.machine.WakeAt()
	sender.states = nil
	m.step(election.Wake{})
	if len(sender.states) != 1 || sender.states[0] != heartbeat.StateMaster {
		t.Fatalf("in good health it sends %v, want one heartbeat as master", sender.states)
	}

	now = m.machine.WakeAt()
	sender.states = nil
	leap = time.Second // between the decision and the send
	m.step(election.Wake{})
	for _, s := range sender.states {
		if s.Reigns() {
			t.Errorf("it sent %v as one that reigns", sender.states)
		}
	}
	if m.guard.Open() || work.lost != 1 {
		t.Errorf("guard open %v, work ended %d times; want false, 1", m.guard.Open(), work.lost)
	}
}
