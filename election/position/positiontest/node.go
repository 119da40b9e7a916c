package positiontest

import (
	"fmt"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/election/position"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// stopWithin is the longest that work takes to end in its own time.
const stopWithin = 2 * time.Second

// node is one process, ours or Java's, and the work it runs.
type node struct {
	s    *sim
	i    int
	spec Spec
	rate float64 // of its clock; Java instances go by true time
	base time.Duration

	up      bool
	boot    int
	working bool
	frozen  bool
	backlog []func()
	workRun int  // numbers the orders to end the work
	ending  bool // the work was told to end

	// ours
	machine  *position.Machine
	codec    *heartbeat.PingCodec
	id       heartbeat.InstanceID
	guard    time.Duration // local
	wakeTurn int
	disk     election.State
	reigns   bool
	draining bool
	since    time.Duration            // when its reign began
	masters  map[string]time.Duration // when it last heard which master, since its own last reign
	metJava  bool                     // this start heard one

	java      *java
	startedAt time.Duration
}

func newNode(s *sim, i int, spec Spec) *node {
	n := &node{s: s, i: i, spec: spec, rate: 1}
	if !spec.Java && s.sc.Drift > 0 {
		n.rate = 1 + (2*s.rng.Float64()-1)*s.sc.Drift
	}
	n.base = time.Duration(s.rng.Int64N(int64(time.Hour)))
	return n
}

func (n *node) host() string { return fmt.Sprintf("10.0.0.%d", n.i) }

func (n *node) local() time.Duration { return n.base + time.Duration(float64(n.s.now)*n.rate) }

func (n *node) trueTime(local time.Duration) time.Duration {
	return time.Duration(float64(local-n.base)/n.rate) + time.Microsecond
}

func (n *node) pingEvery() time.Duration {
	if n.spec.Slow > 0 {
		return n.spec.Slow
	}
	return n.s.sc.Interval
}

// later runs f after d, if this start of the process still lives then.
func (n *node) later(d time.Duration, f func()) {
	boot := n.boot
	n.s.at(n.s.now+d, func() {
		if n.up && n.boot == boot {
			n.run(f)
		}
	})
}

// run does f now, or when the process runs again.
func (n *node) run(f func()) {
	if n.frozen {
		n.backlog = append(n.backlog, f)
		return
	}
	f()
}

func (n *node) start() {
	if n.up {
		return
	}
	n.boot++
	n.up, n.frozen, n.backlog = true, false, nil
	n.startedAt, n.metJava = n.s.now, false
	var id [16]byte
	for i := range id {
		id[i] = byte(n.s.rng.Uint32())
	}
	if n.spec.ID > 0 {
		id[0] = n.spec.ID
	}
	n.s.chk.stir()
	if n.spec.Java {
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		n.java = newJava(n, id, n.spec.Position)
		n.s.logf("%s starts as %s", n.spec.Name, n.java.id)
		n.java.start()
		return
	}
	n.id = heartbeat.PingInstance(id, n.spec.Position > 0)
	n.s.logf("%s starts as %s", n.spec.Name, n.id.UUID())
	codec, err := heartbeat.NewPingCodec(n.host(), 0)
	if err != nil {
		panic(err)
	}
	n.codec, n.guard, n.reigns, n.masters = codec, 0, false, map[string]time.Duration{}
	n.machine, err = position.New(position.Config{
		Self: n.id, Name: codec.Name(), Position: uint16(n.spec.Position),
		Interval: n.s.sc.Interval, Timeout: n.s.sc.Timeout, Candidate: !n.spec.Witness, Off: n.s.sc.Off,
	}, n.disk, n.local())
	if err != nil {
		panic(err)
	}
	n.step(election.Wake{})
}

func (n *node) uuid() string {
	switch {
	case n.java != nil:
		return n.java.id
	case n.machine != nil:
		return n.id.UUID()
	}
	return ""
}

// kill is SIGKILL: of ours the keeper ends the work at once.
func (n *node) kill() {
	if n.up {
		expect := n.s.chk.killed(n)
		n.s.chk.stir()
		n.die()
		expect()
	}
}

func (n *node) die() {
	n.up, n.frozen, n.backlog = false, false, nil
	n.reigns, n.draining = false, false
	n.workRun++
	n.setWorking(false)
	n.s.chk.rest()
}

// stop is SIGTERM.
func (n *node) stop() {
	if !n.up {
		return
	}
	n.s.chk.stir()
	if n.spec.Java {
		n.die()
		return
	}
	n.run(func() { n.step(election.Stop{}) })
}

// freeze keeps the process from running. Its keeper and its work run on.
func (n *node) freeze(d time.Duration) {
	if !n.up || n.frozen {
		return
	}
	n.frozen = true
	n.s.chk.stir()
	boot := n.boot
	n.s.at(n.s.now+d, func() {
		if !n.up || n.boot != boot {
			return
		}
		n.s.logf("%s thaws", n.spec.Name)
		n.s.chk.stir()
		n.frozen = false
		late := n.backlog
		n.backlog = nil
		for _, f := range late {
			if n.up && n.boot == boot {
				f()
			}
		}
		if n.up && n.boot == boot && n.machine != nil {
			n.step(election.Wake{})
		}
	})
}

func (n *node) order(verb string) {
	if !n.up || n.machine == nil {
		return
	}
	expect := n.s.chk.ordered(n)
	n.s.chk.stir()
	n.run(func() {
		switch verb {
		case "switchover":
			if n.machine.CanHandOver(n.local(), heartbeat.InstanceID{}) == nil {
				expect()
				n.step(election.Handover{Reason: "asked for"})
			}
		case "drain":
			n.step(election.Drain{})
		case "resume":
			n.step(election.Resume{})
		case "fail":
			n.step(election.Handover{NoClaimFor: n.s.sc.Timeout, Reason: "the work fails"})
		}
	})
}

func (n *node) arrive(b []byte, from *node) {
	if !n.up {
		return
	}
	n.run(func() {
		if n.spec.Java {
			n.java.hear(b)
			return
		}
		var p heartbeat.Packet
		if err := n.codec.Open(b, &p); err != nil {
			n.s.violate("wire", "%v", err)
			return
		}
		n.metJava = n.metJava || from.spec.Java
		if p.State.Reigns() {
			n.masters[p.Instance.UUID()] = n.s.now
		}
		n.step(election.Received{Packet: &p, From: addr(from.i)})
	})
}

// step runs the machine and does what it says.
func (n *node) step(in election.Input) {
	out := n.machine.Step(n.local(), in)
	if out.Save != nil {
		n.disk = *out.Save
	}
	for _, m := range out.Send {
		b, err := n.codec.Seal(nil, m.Packet)
		if err != nil {
			n.s.violate("wire", "%v", err)
			return
		}
		n.s.transmit(n, b)
	}
	if n.guard != out.Guard.Until {
		n.guard = out.Guard.Until
		n.keeper()
	}
	for _, e := range out.Events {
		n.tell(e)
	}
	if !n.up {
		return
	}
	n.wakeTurn++
	turn := n.wakeTurn
	n.s.at(n.trueTime(out.WakeAt), func() {
		if n.up && n.wakeTurn == turn {
			n.run(func() { n.step(election.Wake{}) })
		}
	})
}

func (n *node) tell(e election.Event) {
	if e.Type != election.EventOrder {
		n.s.logf("%s: %v %v %d %s", n.spec.Name, e.Type, e.State, e.Position, e.Detail)
	}
	s := n.s
	switch e.Type {
	case election.EventState:
		switch now := e.State.Reigns(); {
		case now && !n.reigns:
			n.since = s.now
		case n.reigns && !now:
			n.masters = map[string]time.Duration{}
		}
		n.reigns, n.draining = e.State.Reigns(), e.State == heartbeat.StateDraining
	case election.EventPromoting:
		s.promoted(n)
	case election.EventBarrier:
		n.later(10*time.Millisecond, func() { n.step(election.BarrierDone{Epoch: e.Epoch}) })
	case election.EventOpened:
		n.workRun++
		n.setWorking(true)
	case election.EventStopWork:
		n.endWork(time.Duration(s.rng.Int64N(int64(stopWithin))))
	case election.EventLost:
		n.endWork(time.Duration(s.rng.Int64N(int64(200 * time.Millisecond))))
	case election.EventStopped:
		n.die()
	}
}

// endWork ends the work after d, whether the process runs or not, and tells.
func (n *node) endWork(d time.Duration) {
	n.workRun++
	n.ending = true
	run, boot := n.workRun, n.boot
	n.s.at(n.s.now+d, func() {
		if n.workRun != run || n.boot != boot || !n.up {
			return
		}
		n.setWorking(false)
		n.run(func() { n.step(election.WorkStopped{}) })
	})
}

// keeper ends the work when the guard was not renewed in time, though the
// process itself may be frozen.
func (n *node) keeper() {
	until := n.guard
	if until == 0 || until > n.local()+24*time.Hour {
		return
	}
	boot := n.boot
	n.s.at(n.trueTime(until), func() {
		if n.boot == boot && n.guard == until && n.working {
			n.s.logf("%s: the keeper ends the work", n.spec.Name)
			n.setWorking(false)
		}
	})
}

func (n *node) setWorking(on bool) {
	if n.working == on {
		return
	}
	n.working, n.ending = on, false
	n.s.logf("%s works: %v", n.spec.Name, on)
}

// place is where the instance stands in the line; 0 = master or nowhere.
func (n *node) place() int {
	if n.java != nil {
		return n.java.position
	}
	return n.machine.View(n.local()).Position
}
