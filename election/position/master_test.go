package position

import (
	"slices"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// TestGuard: each ping that left is good for 0.8 timeouts. PROTOCOL.md §11.5.
func TestGuard(t *testing.T) {
	w := newWorld(t, config()).become()
	w.to(23 * sec).said("ping master 0")
	if w.out.Guard.Until != 39*sec {
		t.Errorf("guard until %v", w.out.Guard.Until)
	}
	w.to(26 * sec).do(election.SendFailed{Seq: w.m.seq})
	if w.out.Guard.Until != 39*sec {
		t.Errorf("a ping that did not leave renewed the guard until %v", w.out.Guard.Until)
	}
	for w.now < 39*sec-1 {
		w.to(min(w.m.WakeAt(), 39*sec-1)).do(election.SendFailed{Seq: w.m.seq})
	}
	w.said("ping master 0")
	w.to(39*sec).said("demoted", "stopping")
	if w.out.Guard.Until != 0 {
		t.Error("the guard is open:", w.out.Guard)
	}
	w.pass(4 * sec).said() // silent while the work runs
	w.do(election.WorkStopped{}).said("ping slave 1", "slave", "place 1")
	// With a network that does not take pings it does not become master again.
	for w.now < 200*sec {
		w.pass(sec).do(election.SendFailed{Seq: w.m.seq})
	}
	w.said("ping slave 1")

	// One that was frozen says nothing more as master.
	w = newWorld(t, config()).become()
	w.now += 17 * sec
	w.do(election.Wake{}).said("stalled", "demoted", "stopping")

	// Where Java instances are about it is shorter: one that starts waits for 10 s,
	// which is of use only if it hears a ping within that time.
	for _, tt := range []struct{ interval, want time.Duration }{{every, 9 * sec}, {JavaMonitor, 9 * sec}, {JavaMonitor + 1, 16 * sec}} {
		c := config()
		c.Interval = tt.interval
		w = newWorld(t, c).become()
		w.slave(java(0x60), 1).pass(tt.interval)
		if got := w.out.Guard.Until - w.now; got != tt.want {
			t.Errorf("with a ping each %v the guard lasts for %v, want %v", tt.interval, got, tt.want)
		}
	}
	// The first ping did not leave: the guard never opens.
	w = newWorld(t, config())
	w.to(timeout).quiet()
	w.do(election.SendFailed{Seq: w.m.seq}).said("slave", "place 1")
	w.do(election.BarrierDone{}).said()
}

// TestConflict: two masters hear each other. PROTOCOL.md §11.5.
func TestConflict(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other heartbeat.InstanceID
		want  []string
	}{
		{"a lower one of ours", id(0x10), []string{"conflict"}},
		{"a higher one of ours", id(0x60), []string{"conflict", "demoted", "stopping", "follow 60:0"}},
		{"a lower Java one", java(0x10), []string{"conflict", "demoted", "stopping"}},
		{"a higher Java one", java(0x60), []string{"conflict", "demoted", "stopping"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, config()).become()
			w.slave(id(0x70), 1).slave(java(0x71), 2).quiet()
			w.pass(sec).master(tt.other).said(tt.want...)
			if len(tt.want) == 1 {
				return
			}
			w.pass(sec / 2).master(tt.other).said()
			w.do(election.WorkStopped{})
			if tt.other == id(0x60) {
				w.said("slave") // and not heard until the others have heard the one that reigns
				w.to(27*sec - 1).said()
				w.to(27*sec).said("ping slave 3", "place 3") // behind the others, whatever its id
				return
			}
			w.said("slave")
		})
	}
}

// TestYield: a Java master that was given way to may have ended itself.
func TestYield(t *testing.T) {
	begin := func(c Config) *world {
		w := newWorld(t, c).become()
		w.pass(sec).master(java(0x60)).pass(sec / 10).do(election.WorkStopped{})
		return w.said("conflict", "demoted", "stopping", "slave")
	}
	w := begin(config())
	w.to(30*sec - 1).said()
	w.to(30*sec).said("ping master 0", "promoting", "opening", "barrier")

	// A ping that was on its way proves nothing; one later does.
	w = begin(config())
	w.pass(2 * sec).master(java(0x60)).said()
	w.pass(2*sec).master(java(0x60)).said("ping slave 1", "follow 60:0", "place 1")
	w.to(40 * sec).said("ping slave 1")

	// The work ends late, but before a slave of that master could be promoted.
	w = newWorld(t, config()).become()
	w.pass(sec).master(java(0x60)).pass(12 * sec).quiet().do(election.WorkStopped{})
	w.said("ping master 0", "slave", "promoting", "opening", "barrier")
	w = newWorld(t, config()).become()
	w.pass(sec).master(java(0x60)).pass(17 * sec).quiet().do(election.WorkStopped{})
	w.said("ping slave 1", "slave", "place 1")

	// While opening there is no work to end.
	w = newWorld(t, config())
	w.to(timeout).quiet().master(java(0x60)).said("conflict", "slave")

	// Another of ours settles it.
	w = begin(config())
	w.pass(sec).master(id(0x10)).said("follow 10:0", "place 1")
}

// TestHandOver: the work stops, then the role is given up; as a slave it stands
// last. PROTOCOL.md §11.3.
func TestHandOver(t *testing.T) {
	w := newWorld(t, config()).become()
	w.do(election.Handover{Reason: "asked"}).said("handover.failed")
	w.slave(java(0x60), 1).slave(id(0x70), 2).quiet()
	w.do(election.Handover{Reason: "asked"}).said("handover", "draining", "stop-work")
	if !w.out.Guard.Open(w.now) {
		t.Error("the guard closes before the work has stopped")
	}
	w.do(election.Handover{}).said()
	w.to(24 * sec).said("ping master 0")
	w.do(election.WorkStopped{}).said("ping slave 3", "slave", "place 3")
	if w.out.Guard.Until != 0 {
		t.Error("the guard stays open")
	}
	// Nobody takes over: it moves up like any other, once they are gone.
	w.to(41*sec).said("ping slave 3", "peer.left", "place 1")

	// One that is about to take a place has one.
	w = newWorld(t, config()).become()
	w.slave(java(0x60), 0).slave(java(0x70), 1).do(election.Handover{Reason: "asked"}).do(election.WorkStopped{})
	w.said("handover", "draining", "stop-work", "ping slave 3", "slave", "place 3")

	// A configured place is taken again once another reigns.
	c := config()
	c.Self, c.Position = fixed(0x50), 1
	w = newWorld(t, c).become()
	w.slave(java(0x60), 1).slave(id(0x70), 2)
	w.do(election.Handover{Reason: "asked"}).do(election.WorkStopped{}).quiet()
	w.pass(sec).slave(id(0x70), 2).said()
	w.master(java(0x60)).said("follow 60:0", "place 1")

	// Work that fails stays away for a while.
	w = newWorld(t, config()).become()
	w.do(election.Handover{NoClaimFor: 30 * sec, Reason: "fails"}).do(election.WorkStopped{})
	w.said("handover", "draining", "stop-work", "ping slave 1", "slave")
	if v := w.m.View(w.now); !v.Unhealthy || v.Position != 0 {
		t.Errorf("%+v", v)
	}
	w.to(50*sec - 1).said()
	w.to(50*sec).said("ping slave 1", "place 1")
	w.to(55*sec).said("ping slave 1", "ping master 0", "promoting", "opening", "barrier")
	w = newWorld(t, config()).become()
	w.do(election.Handover{NoClaimFor: 30 * sec, Reason: "fails"}).do(election.WorkStopped{}).to(25 * sec).quiet()
	w.do(election.Resume{}).said("ping slave 1", "place 1") // unless it is told otherwise

	// An order that comes while it opens: the others heard the master's ping, and hear that it is over.
	w = newWorld(t, config())
	w.to(timeout).quiet().slave(id(0x60), 1).do(election.Drain{}).said("ping slave 2", "slave")
	w.do(election.BarrierDone{}).said()
	// So does a check that fails then. It tells changes only, so it would not say it again.
	w = newWorld(t, config())
	w.to(timeout).quiet().slave(id(0x60), 1).do(election.Health{OK: false}).said("ping slave 2", "slave")
	w.do(election.BarrierDone{}).said()
}

// TestLateBarrier: the answer to a promotion that was called off does not open
// the next one, whose cache is not ready yet.
func TestLateBarrier(t *testing.T) {
	w := newWorld(t, config()).to(timeout)
	first := w.barrier
	w.do(election.Drain{}).do(election.Resume{}).quiet().do(election.Promote{}).said("ping master 0", "promoting", "opening", "barrier")
	w.do(election.BarrierDone{Epoch: first}).said()
	w.pass(every).said("ping master 0") // each ping renews the guard, and leaves the number
	w.do(election.BarrierDone{}).said("master", "promoted")
}

// TestHeir: position 1 sees a resignation, and is not misled by a late ping.
func TestHeir(t *testing.T) {
	w := newWorld(t, config()).line(id(0x99))
	w.pass(sec).slave(id(0x99), 2).said("ping master 0", "no master", "promoting", "opening", "barrier")
	w.do(election.BarrierDone{}).quiet()
	w.master(id(0x99)).said()
	w.to(w.now+every).quiet().master(id(0x99)).said("conflict", "demoted", "stopping", "follow 99:0")

	// Two were heard, and the last of them gives way: the other one reigns on.
	w = newWorld(t, config()).line(id(0x98))
	w.master(id(0x99)).said("follow 99:0").master(id(0x98)).said("follow 98:0")
	w.pass(sec).slave(id(0x98), 2).said("follow 99:0")
	w.to(50*sec-1).quiet().to(50*sec).said("ping master 0", "peer.left", "no master", "promoting", "opening", "barrier") // silent for the timeout

	// Of a Java instance nothing of the kind is believed.
	w = newWorld(t, config()).line(java(0x99))
	w.slave(java(0x99), 2).said()
}

// TestOut: drained, unhealthy, witness: not to be heard, so that nobody waits
// behind them. PROTOCOL.md §11.5.
func TestOut(t *testing.T) {
	w := newWorld(t, config()).line(id(0x99), id(0x10), id(0x20))
	w.do(election.Drain{}).said("ping slave 3", "place 0")
	if w.out.Save == nil || !w.out.Save.Drained || w.out.SaveSeq != 1 {
		t.Errorf("not saved: %+v", w.out)
	}
	w.do(election.Drain{}).said().to(40 * sec).said()
	if v := w.m.View(w.now); !v.Drained || v.Position != 0 {
		t.Errorf("%+v", v)
	}
	w.do(election.Resume{}).said("ping slave 3", "place 3")
	if w.out.Save == nil || w.out.Save.Drained || w.out.SaveSeq != 2 {
		t.Errorf("not saved: %+v", w.out)
	}
	w.do(election.Health{OK: false}).said("ping slave 3", "place 0")
	w.do(election.Health{OK: true}).pass(every).said("place 3", "ping slave 3")

	c := config()
	c.Candidate = false
	newWorld(t, c).to(100 * sec).said("slave")

	w = newWorld(t, config()).become()
	w.do(election.Health{OK: false}).said("handover", "draining", "stop-work")
	w.do(election.WorkStopped{}).said("ping slave 1", "slave").to(100 * sec).said()

	w = newWorld(t, config()).become()
	w.do(election.Drain{}).said("draining", "stop-work")
	w.do(election.WorkStopped{}).said("ping slave 1", "slave").to(100 * sec).said()

	m, err := New(config(), election.State{Drained: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w = &world{t: t, m: m}
	w.do(election.Wake{}).to(100 * sec).said("slave").do(election.Promote{}).said()
	w.do(election.Resume{}).said("ping slave 1", "place 1")
}

func TestPromoteByOrder(t *testing.T) {
	w := newWorld(t, config()).line(id(0x99), id(0x10))
	w.do(election.Promote{Force: true}).said() // there is a master
	w.to(51*sec).quiet().do(election.Promote{}).said("ping master 0", "promoting", "opening", "barrier")
	w = newWorld(t, config())
	w.to(sec).do(election.Promote{}).said("ping master 0", "promoting", "opening", "barrier")
}

// TestStop: the last word gives the place up; nothing is sent after.
func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    func() *world
		want []string
	}{
		{"listening", func() *world { return newWorld(t, config()) }, []string{"stopped"}},
		{"last slave", func() *world { return newWorld(t, config()).line(id(0x99), id(0x10)) }, []string{"ping slave 2", "place 0", "stopped"}},
		{"first slave", func() *world { return newWorld(t, config()).line(id(0x99)).slave(id(0x60), 2) }, []string{"ping slave 3", "place 0", "stopped"}},
		{"opening", func() *world { return newWorld(t, config()).to(timeout).quiet() }, []string{"ping slave 1", "slave", "stopped"}},
		{"master", func() *world {
			return newWorld(t, config()).become().do(election.Stop{}).said("draining", "stop-work")
		}, []string{"ping slave 1", "slave", "stopped"}},
		{"stopping", func() *world {
			w := newWorld(t, config()).become().master(java(1)).do(election.Stop{})
			return w.said("conflict", "demoted", "stopping")
		}, []string{"slave", "stopped"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.w()
			w.t = t
			w.do(election.Stop{}).do(election.WorkStopped{}).said(tt.want...)
			before := w.now
			w.now += time.Minute
			w.do(election.Wake{}).master(id(0x10)).do(election.Stop{}).said()
			if w.out.Guard.Until != 0 || w.m.WakeAt() <= before {
				t.Errorf("%+v", w.out)
			}
		})
	}
}

// A ping that did not leave is sent again before what the last one gave is
// over, also where the guard hardly lasts for two intervals.
func TestSendAgain(t *testing.T) {
	cfg := config()
	cfg.Interval, cfg.Timeout = 5*sec, 20*sec
	w := newWorld(t, cfg)
	w.m.javaAt = 1 // since a Java instance was heard the guard is 9 s
	w.to(20 * sec).do(election.BarrierDone{}).pass(31 * sec)
	if w.m.state != heartbeat.StateMaster {
		t.Fatalf("%v at %v", w.m.state, w.now)
	}
	w.to(w.m.nextPing).do(election.SendFailed{Seq: w.m.seq}).quiet()
	w.pass(60 * sec)
	if w.m.state != heartbeat.StateMaster || slices.Contains(w.log, "lost") {
		t.Errorf("after one failed send it is %v: %v", w.m.state, w.log)
	}
}
