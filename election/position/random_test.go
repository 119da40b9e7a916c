package position

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// TestRandomInputs: whatever comes in whatever order, the same inputs give the
// same outputs, and no output contradicts itself.
func TestRandomInputs(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		c := config()
		if seed%3 == 0 {
			c.Self, c.Position = fixed(0x50), uint16(1+r.IntN(3))
		}
		a, err := New(c, election.State{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(c, election.State{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		now, masterPing := time.Duration(0), time.Duration(-1)
		for range 1000 {
			if r.IntN(3) > 0 {
				now = max(now, a.WakeAt())
			} else {
				now += time.Duration(r.Int64N(int64(2 * every)))
			}
			in := randomInput(r, a)
			out, same := a.Step(now, in), b.Step(now, in)
			if text(out) != text(same) {
				t.Fatalf("seed %d at %v: %T gives\n%s\nand\n%s", seed, now, in, text(out), text(same))
			}
			if len(out.Send) > 2 {
				t.Errorf("seed %d at %v: %d pings in one step", seed, now, len(out.Send))
			}
			for _, m := range out.Send {
				if m.Packet.State.Reigns() {
					masterPing = now
				}
				if m.Packet.State.Reigns() != (m.Packet.Position == 0) {
					t.Errorf("seed %d at %v: a ping of %v with position %d", seed, now, m.Packet.State, m.Packet.Position)
				}
			}
			working := a.state == heartbeat.StateMaster || a.state == heartbeat.StateDraining
			switch {
			case out.Guard.Open(now) != working:
				t.Errorf("seed %d at %v: in state %v the guard is %v", seed, now, a.state, out.Guard)
			case working && out.Guard.Until > masterPing+a.t.guard:
				t.Errorf("seed %d at %v: the guard lasts until %v on a ping of %v", seed, now, out.Guard.Until, masterPing)
			case out.WakeAt <= now || out.WakeAt > now+every:
				t.Errorf("seed %d at %v: wake-up at %v", seed, now, out.WakeAt)
			case !a.left && a.state != heartbeat.StateSlave && a.place.n != 0:
				t.Errorf("seed %d at %v: in state %v it stands at %d", seed, now, a.state, a.place.n)
			}
			if t.Failed() {
				t.FailNow()
			}
			if a.left && r.IntN(20) == 0 {
				break
			}
		}
	}
}

func randomInput(r *rand.Rand, m *Machine) election.Input {
	peers := []heartbeat.InstanceID{id(0x10), fixed(0x20), java(0x30), id(0x60), java(0x70), fixed(0x80)}
	p := peers[r.IntN(len(peers))]
	ping := func(s heartbeat.State, place uint16) election.Input {
		return election.Received{From: netip.MustParseAddrPort("10.0.0.1:1"), Packet: &heartbeat.Packet{
			Kind: heartbeat.KindHeartbeat, State: s, Instance: p, Position: place, Name: "x:0",
		}}
	}
	switch n := r.IntN(100); {
	case n < 40:
		return election.Wake{}
	case n < 60:
		return ping(heartbeat.StateSlave, uint16(r.IntN(5)))
	case n < 66:
		return ping(heartbeat.StateMaster, 0)
	case n < 76:
		return election.BarrierDone{Epoch: m.promotions - uint64(r.IntN(2))}
	case n < 84:
		return election.WorkStopped{}
	case n < 87:
		return election.SendFailed{Seq: m.seq - uint64(r.IntN(2))}
	case n < 90:
		return election.Handover{NoClaimFor: time.Duration(r.IntN(2)) * 5 * sec}
	case n < 92:
		return election.Drain{}
	case n < 95:
		return election.Resume{}
	case n < 98:
		return election.Health{OK: r.IntN(3) > 0}
	case n < 99:
		return election.Promote{}
	case r.IntN(20) == 0:
		return election.Stop{}
	}
	return election.Wake{}
}

// text is all that an output says.
func text(out election.Output) string {
	s := fmt.Sprint(out.Guard, out.WakeAt, out.SaveSeq, out.Save != nil)
	for _, m := range out.Send {
		s += fmt.Sprintf(" %+v", *m.Packet)
	}
	for _, e := range slices.Clone(out.Events) {
		s += fmt.Sprintf(" %+v", e)
	}
	return s
}
