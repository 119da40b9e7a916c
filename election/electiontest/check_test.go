package electiontest

import (
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// stage is a run without machines: the test says what the nodes do, and looks
// what the checker makes of it.
type stage struct {
	*sim
	a, b, c *node
}

func newStage(t *testing.T, quorum int) *stage {
	t.Helper()
	sc := parse("quorum %d\nnet delay=1ms..5ms\n%slength 1h\n0s start all", quorum, nodes(3))
	codec, err := heartbeat.NewCodec("sim", 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newSim(sc, codec, false)
	for _, n := range s.nodes {
		n.boot, n.up, n.id = 1, true, instanceID(1, n.i, 1)
	}
	s.advance(20 * time.Second)
	return &stage{s, s.nodes[0], s.nodes[1], s.nodes[2]}
}

// wait lets time pass in steps of a millisecond.
func (s *stage) wait(d time.Duration) {
	for end := s.now + d; s.now < end; {
		s.advance(s.now + time.Millisecond)
	}
}

func (s *stage) packet(n *node, kind heartbeat.Kind, state heartbeat.State, epoch uint64) *heartbeat.Packet {
	return &heartbeat.Packet{Kind: kind, State: state, Instance: n.id, Epoch: epoch}
}

// claims has n claim for a window.
func (s *stage) claims(n *node, epoch uint64) {
	n.state = heartbeat.StateClaiming
	s.chk.sent(n, s.packet(n, heartbeat.KindClaim, heartbeat.StateClaiming, epoch))
	s.wait(time.Second)
}

// opens has n begin to work, with its guard open for a lease.
func (s *stage) opens(n *node, epoch uint64) {
	n.working, n.epoch, n.state = true, epoch, heartbeat.StateMaster
	s.chk.opened(n, epoch)
	s.guards(n, epoch, 4*time.Second)
	s.chk.sent(n, s.packet(n, heartbeat.KindHeartbeat, heartbeat.StateMaster, epoch))
}

func (s *stage) guards(n *node, epoch uint64, left time.Duration) {
	g := election.Guard{}
	if left > 0 {
		g = election.Guard{Until: n.local() + left, Epoch: epoch}
	}
	s.chk.guardMoved(n, n.guard, g)
	n.guard = g
}

// reigns keeps n's guard open for so long.
func (s *stage) reigns(n *node, d time.Duration) {
	for end := s.now + d; s.now < end; {
		s.guards(n, n.epoch, 4*time.Second)
		s.chk.sent(n, s.packet(n, heartbeat.KindHeartbeat, heartbeat.StateMaster, n.epoch))
		s.wait(min(time.Second, end-s.now))
	}
}

func (s *stage) ends(n *node) {
	n.working = false
	s.guards(n, 0, 0)
	s.chk.workEnded(n)
}

func (s *stage) dies(n *node) {
	s.chk.crashed(n)
	n.up, n.guard = false, election.Guard{}
	n.working = false
	s.chk.workEnded(n)
}

// TestChecker tells the checker stories that violate one invariant each, and
// the same stories as they should go.
func TestChecker(t *testing.T) {
	for _, c := range []struct {
		name   string
		quorum int
		want   string
		story  func(s *stage)
	}{
		{"a reign", 2, "", func(s *stage) { s.claims(s.a, 1); s.opens(s.a, 1); s.reigns(s.a, time.Minute) }},
		{"two work with a quorum", 2, "S1", func(s *stage) {
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.cut[0][1], s.cut[1][0] = true, true
			s.chk.linksMoved()
			s.reigns(s.a, 10*time.Second)
			s.claims(s.b, 2)
			s.opens(s.b, 2)
		}},
		{"two guards with a quorum", 2, "S1", func(s *stage) {
			s.claims(s.a, 1)
			s.guards(s.a, 1, time.Second)
			s.guards(s.b, 2, time.Second)
		}},
		{"a frozen one works on beside another", 2, "S1", func(s *stage) {
			s.a.working, s.b.working = true, true
			s.chk.thawed(s.a)
		}},
		{"two work without a quorum, in a split", 0, "", func(s *stage) {
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.cut[0][1], s.cut[1][0] = true, true
			s.chk.linksMoved()
			s.reigns(s.a, 10*time.Second)
			s.claims(s.b, 2)
			s.opens(s.b, 2)
		}},
		{"an epoch twice", 2, "S2", func(s *stage) {
			s.chk.newEpoch(s.a, 3)
			s.chk.newEpoch(s.b, 3)
		}},
		{"a lower epoch later", 2, "S2", func(s *stage) {
			s.chk.newEpoch(s.a, 3)
			s.chk.newEpoch(s.b, 2)
		}},
		{"an epoch twice, after a memory was lost", 2, "", func(s *stage) {
			s.chk.lossy = true
			s.chk.newEpoch(s.a, 3)
			s.chk.newEpoch(s.b, 3)
		}},
		{"two masters in a calm time", 0, "S3", func(s *stage) {
			s.a.working, s.b.working = true, true
			s.a.guard.Until, s.b.guard.Until = time.Hour*3, time.Hour*3
			s.chk.calm()
			s.wait(1050*time.Millisecond + 15*time.Millisecond + time.Second + 5*time.Millisecond)
		}},
		{"two masters for less than that", 0, "", func(s *stage) {
			s.a.working, s.b.working = true, true
			s.a.guard.Until, s.b.guard.Until = time.Hour*3, time.Hour*3
			s.chk.calm()
			s.wait(1050*time.Millisecond + 15*time.Millisecond + time.Second - 5*time.Millisecond)
		}},
		{"no time to listen", 0, "S4", func(s *stage) {
			s.a.startAt = s.now - 3*time.Second
			s.claims(s.a, 1)
			s.opens(s.a, 1)
		}},
		{"no time to object", 0, "S4", func(s *stage) {
			s.chk.sent(s.a, s.packet(s.a, heartbeat.KindClaim, heartbeat.StateClaiming, 1))
			s.wait(900 * time.Millisecond)
			s.opens(s.a, 1)
		}},
		{"no time to object to the greater epoch", 0, "S4", func(s *stage) {
			s.claims(s.a, 1)
			s.chk.sent(s.a, s.packet(s.a, heartbeat.KindClaim, heartbeat.StateClaiming, 2))
			s.opens(s.a, 2)
		}},
		{"an heir whom nobody named", 0, "S4", func(s *stage) {
			p := s.packet(s.a, heartbeat.KindClaim, heartbeat.StateClaiming, 1)
			p.Resigned.Heir = s.a.id
			s.chk.sent(s.a, p)
			s.opens(s.a, 1)
		}},
		{"the death of one that lives", 0, "S4", func(s *stage) {
			p := s.packet(s.a, heartbeat.KindClaim, heartbeat.StateClaiming, 1)
			p.Flags, p.Obituary.Instance = heartbeat.FlagGone, s.b.id
			s.chk.sent(s.a, p)
			s.wait(100 * time.Millisecond)
			s.opens(s.a, 1)
		}},
		{"a master that could object", 0, "S5", func(s *stage) {
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.reigns(s.a, 10*time.Second)
			s.claims(s.b, 2)
			s.opens(s.b, 2)
		}},
		{"a take-over in a calm time", 0, "S5", func(s *stage) {
			s.chk.calm()
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.reigns(s.a, 15*time.Second)
			s.a.frozen = true // so it could not object; calm it is not, but nobody said so
			s.claims(s.b, 2)
			s.opens(s.b, 2)
		}},
		{"deposed in a calm time", 0, "S5", func(s *stage) {
			s.chk.calm()
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.reigns(s.a, 15*time.Second)
			s.ends(s.a)
		}},
		{"a token that goes back", 0, "S6", func(s *stage) {
			s.chk.newEpoch(s.a, 3)
			s.chk.newEpoch(s.a, 2)
		}},
		{"work without a guard", 0, "S6", func(s *stage) {
			s.claims(s.a, 1)
			s.a.working, s.a.epoch = true, 1
			s.chk.opened(s.a, 1)
			s.guards(s.a, 1, 0)
		}},
		{"work under another epoch than the guard's", 0, "S6", func(s *stage) {
			s.claims(s.a, 1)
			s.a.working, s.a.epoch = true, 1
			s.chk.opened(s.a, 1)
			s.guards(s.a, 2, time.Second)
		}},
		{"a guard that opens again", 0, "S7", func(s *stage) {
			s.guards(s.a, 1, time.Second)
			s.wait(2 * time.Second)
			s.guards(s.a, 1, time.Second)
		}},
		{"a word after the guard", 0, "S7", func(s *stage) {
			s.guards(s.a, 1, time.Second)
			s.wait(2 * time.Second)
			s.chk.sent(s.a, s.packet(s.a, heartbeat.KindHeartbeat, heartbeat.StateMaster, 1))
		}},
		{"work after the guard", 0, "S7", func(s *stage) {
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.wait(4*time.Second + 1200*time.Millisecond)
		}},
		{"work after the guard, but not for long", 0, "", func(s *stage) {
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.wait(4*time.Second + 1000*time.Millisecond)
		}},
		{"two that hear each other", 0, "S12", func(s *stage) {
			s.a.working, s.b.working = true, true
			s.a.guard.Until, s.b.guard.Until = time.Hour*3, time.Hour*3
			s.wait(5100 * time.Millisecond)
		}},
		{"two of which one hears the other", 0, "", func(s *stage) {
			s.a.working, s.b.working = true, true
			s.a.guard.Until, s.b.guard.Until = time.Hour*3, time.Hour*3
			s.cut[0][1] = true
			s.chk.linksMoved()
			s.wait(time.Minute)
		}},
		{"a lesser token in the end", 0, "S17", func(s *stage) {
			s.claims(s.b, 2)
			s.opens(s.b, 2)
			s.dies(s.b)
			s.chk.calm()
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.reigns(s.a, 11*time.Second)
			s.chk.end()
		}},
		{"no master in a calm time", 0, "L1", func(s *stage) { s.chk.calm(); s.wait(10100 * time.Millisecond) }},
		{"no master any more", 0, "L1", func(s *stage) {
			s.chk.calm()
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.dies(s.a)
			s.chk.stir()
			s.wait(10100 * time.Millisecond)
		}},
		{"nobody takes over", 0, "L2", func(s *stage) {
			s.chk.calm()
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.reigns(s.a, 15*time.Second)
			s.dies(s.a)
			s.wait(6200 * time.Millisecond)
		}},
		{"the heir does not open", 0, "L3", func(s *stage) {
			s.claims(s.a, 1)
			s.opens(s.a, 1)
			s.reigns(s.a, 15*time.Second)
			s.a.drains = true
			s.ends(s.a)
			p := s.packet(s.a, heartbeat.KindResign, heartbeat.StateSlave, 0)
			p.Resigned = heartbeat.Resignation{Instance: s.a.id, Epoch: 1, Heir: s.b.id}
			s.chk.sent(s.a, p)
			s.wait(1300 * time.Millisecond)
		}},
		{"claim after claim", 0, "L4", func(s *stage) {
			s.claims(s.a, 1)
			s.chk.sent(s.a, s.packet(s.a, heartbeat.KindWithdraw, heartbeat.StateSlave, 0))
			s.claims(s.a, 2)
		}},
		{"a long goodbye", 0, "L4", func(s *stage) {
			s.chk.stopping(s.a)
			s.wait(4 * time.Second)
			s.chk.left(s.a)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, c.quorum)
			c.story(s)
			got := invariants(s.rep)
			if want := map[bool]string{true: c.want, false: "nothing"}[c.want != ""]; got != want {
				t.Errorf("the checker says %s, want %s: %v", got, want, s.rep.Violations)
			}
		})
	}
}
