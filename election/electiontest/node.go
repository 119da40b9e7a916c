package electiontest

import (
	"cmp"
	"crypto/sha256"
	"math"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// node is one instance: its process, its clock, its disk, its workload.
type node struct {
	s    *sim
	i    int
	spec Node

	up      bool
	boot    int // how often it was started
	machine *election.Machine
	id      heartbeat.InstanceID
	secret  [32]byte
	wake    time.Duration // when the machine wants to be woken, true time
	wakeAt  time.Duration // when the one wake-up in the queue comes; 0 = none
	wakeSeq uint64        // and its number
	guard   election.Guard
	epoch   uint64 // of the last opening or re-epoch
	state   heartbeat.State

	// The clock: local = base + (true − since)·rate while it runs.
	base  time.Duration
	since time.Duration
	rate  float64

	frozen  bool
	stopped bool          // its clock and its work too
	asleep  bool          // what is sent to it is lost
	warped  time.Duration // until when its clock's stop may be felt
	thawN   uint64
	packets []func() // what came while it was frozen, read first when it thaws
	backlog []func() // timers and answers of that time

	disk     election.State
	diskSeq  uint64
	diskBad  bool
	diskSlow time.Duration
	sendBad  bool

	working bool          // its workload runs
	drains  bool          // and was told to stop in its own time
	workRun uint64        // numbers the orders to end it
	killAt  time.Duration // when the keeper kills it, local time
	looksAt time.Duration // when the keeper looks at the clock, true time; 0 = never
	lookSeq uint64
	startAt time.Duration
	claim   claimSeen
	diedAt  time.Duration // true time of the end of its process
	c       copyOf

	// What the checker notes.
	opened   bool          // in the running step
	openedAt time.Duration // when its work last began
	beatAt   time.Duration // when it last sent as a master
	closedAt time.Duration // since when it works with its guard closed; 0 = it does not
	thawedAt time.Duration
	held     bool // drained, sick, or in maintenance
}

func newNode(s *sim, i int, spec Node) *node {
	n := &node{s: s, i: i, spec: spec, rate: 1}
	if s.net.Drift > 0 {
		n.rate = 1 + (2*s.rng.Float64()-1)*s.net.Drift
	}
	n.base = time.Duration(s.rng.Int64N(int64(time.Hour)))
	return n
}

func (n *node) local() time.Duration {
	if n.stopped {
		return n.base
	}
	return n.base + time.Duration(float64(n.s.now-n.since)*n.rate)
}

// trueToLocal is what the local clock showed at a time.
func (n *node) trueToLocal(t time.Duration) time.Duration {
	return n.local() - time.Duration(float64(n.s.now-t)*n.rate)
}

// trueTime is when the local clock will show t.
func (n *node) trueTime(t time.Duration) time.Duration {
	d := time.Duration(float64(t-n.base)/n.rate) + time.Nanosecond
	return max(n.s.now, n.since+d)
}

func (n *node) start() {
	if n.up {
		return
	}
	s := n.s
	n.boot++
	if n.boot > 1 && s.sc.Lacks&LackMemory != 0 {
		n.disk = election.State{}
	}
	n.up, n.frozen, n.asleep = true, false, false
	n.wakeAt = 0
	n.packets, n.backlog = nil, nil
	n.diskSeq = 0
	n.id = instanceID(s.sc.Seed, n.i, n.boot)
	n.secret = sha256.Sum256(n.id[:])
	n.guard, n.state = election.Guard{}, 0
	n.startAt, n.epoch, n.claim = s.now, 0, claimSeen{}
	n.warped = 0
	s.chk.starts(n)
	name := n.spec.Name
	if n.spec.As != "" {
		name = n.spec.As
	}
	iso := election.IsolationAuto
	if n.spec.Continue {
		iso = election.IsolationContinue
	}
	cfg := election.Config{
		Self: n.id, Node: heartbeat.NewNodeID("sim", name), Name: name,
		Delay: n.delay(), Retries: cmp.Or(n.spec.Retries, s.sc.Retries), Position: uint16(n.spec.Position),
		Candidate: !n.spec.Witness, Quorum: uint8(cmp.Or(n.spec.Quorum, s.sc.Quorum)), Votes: uint8(n.spec.Votes),
		Isolation: iso, Signed: s.sc.Key, ObitHash: heartbeat.ObituaryHash(n.id, n.secret),
		Seed: s.sc.Seed ^ uint64(n.i)<<32 ^ uint64(n.boot), Off: s.sc.Off,
		Command: n.spec.Command, Loopback: s.sc.Loopback, PromoteWait: s.sc.PromoteWait,
	}
	if s.caches() {
		cfg.Cache = addr(n.i)
		n.cacheStarts()
	}
	m, err := election.New(cfg, n.disk, n.local())
	if err != nil {
		panic(err) // a scenario that cannot be
	}
	n.machine = m
	s.logf("%s starts as %v", n.spec.Name, n.id)
	n.step(election.Wake{})
}

// die ends the process and its work at once.
func (n *node) die() {
	if !n.up {
		return
	}
	n.s.logf("%s dies", n.spec.Name)
	n.s.chk.crashed(n)
	n.up, n.frozen, n.asleep = false, false, false
	n.diedAt = n.s.now
	n.hangUp()
	n.guard = election.Guard{}
	n.state = 0
	n.workRun++
	n.workEnds()
	if n.stopped {
		n.stopped = false
		n.since = n.s.now
		n.warped = n.s.now + n.down()
	}
}

// run does f now, or, if the process is frozen, when it runs again.
func (n *node) run(f func()) {
	if n.up {
		if n.frozen {
			n.backlog = append(n.backlog, f)
			return
		}
		f()
	}
}

// pause keeps the process from running for d. With "freeze" its clock and its
// work stand still too, as in a virtual machine that is paused; with "sleep"
// what is sent to it is lost.
func (n *node) pause(d time.Duration, how string) {
	if !n.up || n.frozen {
		return
	}
	n.s.logf("%s: %s for %v", n.spec.Name, how, d)
	n.frozen = true
	n.s.chk.paused(n)
	switch how {
	case "freeze":
		n.base = n.local()
		n.stopped = true
	case "sleep":
		n.asleep = true
	}
	n.thawN++
	n.s.push(item{at: n.s.now + d, kind: itemResume, node: n.i, n: n.thawN})
}

func (n *node) thaw(turn uint64) {
	if !n.up || !n.frozen || n.thawN != turn {
		return
	}
	n.s.logf("%s thaws", n.spec.Name)
	n.frozen, n.asleep = false, false
	if n.stopped {
		n.stopped = false
		n.since = n.s.now
		n.warped = n.s.now + n.down()
		if n.working && n.s.sc.Lacks&LackKeeper == 0 {
			n.looksAt = 0
			n.keeperWaits()
		}
	}
	n.s.chk.thawed(n)
	boot := n.boot
	late := append(n.packets, n.backlog...)
	n.packets, n.backlog = nil, nil
	for _, f := range late {
		if n.up && n.boot == boot {
			f()
		}
	}
	if n.up && n.boot == boot {
		n.step(election.Wake{})
	}
}

// arrive takes a datagram from the network.
func (n *node) arrive(it item) {
	switch {
	case !n.up || n.asleep:
		n.s.done(it.data)
	case n.frozen:
		n.packets = append(n.packets, func() { n.read(it) })
	default:
		n.read(it)
	}
}

func (n *node) read(it item) {
	p := &n.s.pkt
	err := n.s.codec.Open(it.data.b, p)
	n.s.done(it.data)
	if err != nil {
		n.s.violate("wire", "%v", err)
		return
	}
	n.step(election.Received{Packet: p, From: addr(it.from)})
}

// step tells the machine what happened, and before that where the log stands.
func (n *node) step(in election.Input) {
	if n.s.caches() {
		if at := n.logAt(); at != n.c.told {
			n.c.told = at
			n.perform(at)
		}
		if !n.up {
			return
		}
	}
	n.perform(in)
}

// perform runs the machine and does what its output says: save, send, tell.
func (n *node) perform(in election.Input) {
	s := n.s
	out := n.machine.Step(n.local(), in)
	if out.Save != nil {
		d := s.diskTime()/5 + s.upTo(s.diskTime()*4/5)
		if n.diskSlow > 0 {
			d = n.diskSlow
		}
		s.push(item{at: s.now + d, kind: itemStored, node: n.i, boot: n.boot, n: out.SaveSeq, state: out.Save})
	}
	var failed []uint64
	for i := range out.Send {
		if !n.transmit(&out.Send[i]) {
			failed = append(failed, out.Send[i].Packet.Seq)
		}
	}
	guard, wake := out.Guard, out.WakeAt
	for _, e := range out.Events { // nothing that these do steps this machine
		s.hash.add(uint64(e.Type)<<32 | uint64(n.i))
		s.rep.Events[e.Type]++
		if s.trace {
			s.logf("%s %v %v %s %s", n.spec.Name, e.Type, e.State, e.Name, e.Detail)
		}
		n.do(e)
	}
	if n.up {
		n.setGuard(guard)
		n.wakeUp(n.trueTime(wake))
	}
	for _, seq := range failed {
		n.step(election.SendFailed{Seq: seq})
	}
}

// wakeUp has the machine woken at that time. There is one wake-up in the queue
// for each node; if it comes too early it is put off.
func (n *node) wakeUp(at time.Duration) {
	n.wake = at
	if n.wakeAt == 0 || at < n.wakeAt {
		n.wakeAt = at
		n.wakeSeq++
		n.s.push(item{at: at, kind: itemWake, node: n.i, boot: n.boot, n: n.wakeSeq})
	}
}

func (n *node) wakes(it item) {
	if n.boot != it.boot || n.wakeSeq != it.n || !n.up {
		return
	}
	n.wakeAt = 0
	if n.wake > n.s.now {
		n.wakeUp(n.wake)
		return
	}
	n.run(func() { n.step(election.Wake{}) })
}

func (n *node) transmit(msg *election.Message) bool {
	s := n.s
	p := msg.Packet
	n.state = p.State
	s.chk.sent(n, p)
	s.hash.add(uint64(s.now) ^ uint64(p.Kind)<<56 ^ p.Seq)
	if s.trace && p.Kind != heartbeat.KindHeartbeat {
		s.logf("%s sends %v epoch %d asks %d promise %d", n.spec.Name, p.Kind, p.Epoch, p.Asks, p.Promise.Epoch)
	}
	if n.sendBad {
		return false
	}
	d := s.datagram()
	d.refs = 1
	defer s.done(d)
	var err error
	if d.b, err = s.codec.Seal(d.b[:0], p); err != nil {
		s.violate("wire", "%s cannot send %v: %v", n.spec.Name, p.Kind, err)
		return true
	}
	if msg.Everyone {
		for j := range s.nodes {
			if j != n.i {
				s.transmit(n.i, j, d)
			}
		}
	}
	for _, a := range msg.To {
		if j := nodeAt(a); j != n.i {
			s.transmit(n.i, j, d)
		}
	}
	return true
}

// do performs what an event asks for.
func (n *node) do(e election.Event) {
	s := n.s
	later := func(most time.Duration, in election.Input) {
		s.push(item{at: s.now + s.upTo(most), kind: itemInput, node: n.i, boot: n.boot, input: in})
	}
	if s.caches() {
		n.cacheDoes(e)
	}
	switch e.Type {
	case election.EventBarrier:
		if !s.caches() {
			later(s.sc.Barrier, election.BarrierDone{Epoch: e.Epoch})
		}
	case election.EventSeal:
		if !s.caches() {
			later(0, election.Sealed{Acked: true})
		}
	case election.EventOpened:
		n.working = true
		n.workRun++
		n.epoch, n.drains = e.Epoch, false
		s.chk.opened(n, e.Epoch)
	case election.EventEpoch:
		n.epoch = e.Epoch
		s.chk.newEpoch(n, e.Epoch)
	case election.EventStopWork:
		n.drains = true
		s.endWork(n, s.sc.WorkEnd)
	case election.EventLost:
		n.drains = false
		s.endWork(n, s.down()/5)
	case election.EventStopped:
		n.up = false
		n.diedAt = n.s.now
		n.hangUp()
		n.guard = election.Guard{}
		n.workEnds()
		s.chk.left(n)
	}
}

// endWork has the work end within most from now.
func (s *sim) endWork(n *node, most time.Duration) {
	if !n.working {
		n.workDone()
		return
	}
	n.workRun++
	s.push(item{at: s.now + s.upTo(most), kind: itemWorkEnd, node: n.i, n: n.workRun})
}

// workEnds: nothing of the work runs any more, and the process gets to know.
func (n *node) workEnds() {
	if n.working {
		n.working = false
		n.s.chk.workEnded(n)
	}
	n.workDone()
}

func (n *node) workDone() {
	if n.up {
		n.s.push(item{at: n.s.now, kind: itemInput, node: n.i, boot: n.boot, input: election.WorkStopped{}})
	}
}

// setGuard publishes the guard.
func (n *node) setGuard(g election.Guard) {
	n.s.chk.guardMoved(n, n.guard, g)
	moved := g.Until != n.guard.Until
	n.guard = g
	if n.working && moved && g.Until > 0 && g.Until < math.MaxInt64/2 && n.s.sc.Lacks&LackKeeper == 0 {
		n.killAt = g.Until + n.s.upTo(n.s.down()/10) // the time that the killing takes
		n.keeperWaits()
	}
}

// keeperWaits has the keeper look when the work may run no longer. It goes by
// the clock of the machine, and runs on when the node is frozen.
func (n *node) keeperWaits() {
	at := n.trueTime(n.killAt)
	if n.looksAt == 0 || at < n.looksAt {
		n.looksAt = at
		n.lookSeq++
		n.s.push(item{at: at, kind: itemKill, node: n.i, n: n.lookSeq})
	}
}

// keeperLooks at the clock, and kills the work or waits on.
func (n *node) keeperLooks(it item) {
	if n.lookSeq != it.n {
		return
	}
	n.looksAt = 0
	switch {
	case !n.working || n.stopped: // if stopped, see thaw
	case n.local() < n.killAt:
		n.keeperWaits()
	default:
		n.s.logf("%s: its keeper ends the work", n.spec.Name)
		n.workEnds()
	}
}

// stored: a save has reached the disk, or failed.
func (n *node) stored(it item) {
	if n.boot != it.boot || !n.up {
		return
	}
	if n.diskBad {
		n.run(func() { n.step(election.SaveFailed{Seq: it.n}) })
		return
	}
	if it.n > n.diskSeq { // saves do not overtake each other
		n.disk, n.diskSeq = *it.state, it.n
	}
	n.run(func() { n.step(election.Saved{Seq: it.n}) })
}

// diskTime is the longest that saving takes, unless a scenario says otherwise.
func (s *sim) diskTime() time.Duration { return min(5*time.Millisecond, s.sc.Delay/5) }

// upTo is a random duration in [0, most).
func (s *sim) upTo(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(s.rng.Int64N(int64(most)))
}

// acts reports whether the node's work runs at this moment.
func (n *node) acts() bool { return n.working && !n.stopped }

func (n *node) delay() time.Duration { return cmp.Or(n.spec.Delay, n.s.sc.Delay) }

// down is the node's own delay × retries.
func (n *node) down() time.Duration {
	return n.delay() * time.Duration(cmp.Or(n.spec.Retries, n.s.sc.Retries))
}

// down is delay × retries.
func (s *sim) down() time.Duration { return s.sc.Delay * time.Duration(s.sc.Retries) }

// find resolves a target of an action.
func (s *sim) find(name string) []*node {
	switch name {
	case "all":
		return s.nodes
	case "master", "slave":
		var master *node
		for _, n := range s.nodes {
			if n.up && n.working {
				master = n
			}
		}
		if name == "master" && master != nil {
			return []*node{master}
		}
		for _, n := range s.nodes {
			if n.up && n != master {
				return []*node{n}
			}
		}
		return nil
	}
	var list []*node
	for part := range strings.SplitSeq(name, ",") {
		for _, n := range s.nodes {
			if n.spec.Name == part {
				list = append(list, n)
			}
		}
	}
	return list
}
