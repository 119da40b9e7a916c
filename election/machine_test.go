package election_test

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// TestDeterminism: the same inputs give the same outputs, to the last bit; the
// seed alone changes the jitter.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) uint64 {
		w := newWorld(t)
		for i := range 4 {
			w.node(byte(0x30+3*i), quorum(3), func(c *election.Config, _ *election.State) { c.Seed += seed })
		}
		w.run(20 * time.Second)
		w.one().step(election.Handover{})
		w.run(20 * time.Second)
		w.one().frozen = true
		w.run(20 * time.Second)
		h := fnv.New64a()
		for _, n := range w.nodes {
			fmt.Fprintf(h, "%v\n%v\n%v\n", n.sent, n.events, n.disk)
		}
		return h.Sum64()
	}
	first := run(0)
	for range 5 {
		if got := run(0); got != first {
			t.Fatalf("hash %x, then %x", first, got)
		}
	}
	if run(1) == first {
		t.Error("another seed changes nothing")
	}
}

// TestTimeNeverGoesBack: an input that carries an older time is taken as now.
func TestTimeNeverGoesBack(t *testing.T) {
	w, n, _, _ := reigning(t)
	until := n.guard.Until
	out := n.m.Step(w.now-time.Hour, election.LogAt{})
	if out.Guard.Until != until || n.state() != master {
		t.Errorf("guard until %v, want %v", out.Guard.Until, until)
	}
	if n.m.WakeAt() != out.WakeAt {
		t.Error("WakeAt is not what the last output said")
	}
}

// Nothing is allocated by the heartbeats of a calm time: the loop that
// performs them must not be held up.
func TestNoAllocations(t *testing.T) {
	for _, c := range []struct {
		name   string
		quorum uint8
		master bool
	}{{"slave", 0, false}, {"master", 0, true}, {"slave, quorum", 2, false}, {"master, quorum", 2, true}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(me)
			cfg.Quorum = c.quorum
			m, err := election.New(cfg, election.State{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Duration(0)
			var seq uint64
			var last uint64
			var peers []heartbeat.Packet
			for i := range byte(2) {
				k := config(0x81 + i)
				p := heartbeat.Packet{Kind: heartbeat.KindHeartbeat, State: slave, Flags: heartbeat.FlagCandidate, Node: k.Node, Instance: k.Self,
					Name: k.Name, Delay: delay, Retries: retries, Votes: 1, Quorum: c.quorum,
					Heard: []heartbeat.Heard{{Instance: cfg.Self.Prefix()}}}
				if i == 0 && !c.master {
					p.State, p.Epoch, p.Asks, p.MaxEpoch = master, 5, 5, 5
				}
				peers = append(peers, p)
			}
			step := func(in election.Input) {
				for {
					out := m.Step(now, in)
					for _, msg := range out.Send {
						last = msg.Packet.Seq
					}
					barrier := uint64(0)
					for _, e := range out.Events {
						if e.Type == election.EventBarrier {
							barrier = e.Epoch
						}
					}
					switch {
					case out.Save != nil:
						in = election.Saved{Seq: out.SaveSeq}
					case barrier > 0:
						in = election.BarrierDone{Epoch: barrier}
					default:
						return
					}
				}
			}
			var wake election.Input = election.Wake{}
			var from [2]netip.AddrPort
			for i := range from {
				from[i] = address(byte(i))
			}
			received := make([]election.Received, len(peers))
			epoch := uint64(0)
			round := func() { // of heartbeats: one's own, then each peer's
				now = max(now, m.WakeAt())
				step(wake)
				seq++
				for i := range peers {
					p := &peers[i]
					p.Seq = seq
					p.Heard[0].Seq = uint32(last)
					if epoch > 0 {
						p.Promise = heartbeat.Sighting{Instance: cfg.Self, Epoch: epoch, Seq: last}
					}
					received[i] = election.Received{Packet: p, From: from[i]}
					step(received[i])
				}
			}
			for range 100 {
				round()
				if c.master && c.quorum > 0 {
					epoch = m.View(now).Epoch
				}
			}
			if got := m.View(now).State; got.Reigns() != c.master {
				t.Fatalf("state %v", got)
			}
			if got := testing.AllocsPerRun(200, round); got != 0 {
				t.Errorf("%v allocations in each round of heartbeats, want 0", got)
			}
		})
	}
}
