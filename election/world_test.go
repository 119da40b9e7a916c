package election_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"net/netip"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

const (
	delay   = time.Second
	retries = 5
	down    = delay * retries
	flight  = time.Millisecond // every packet takes so long
)

// world joins machines, and peers that the test speaks for, by a perfect wire.
// Every packet travels as bytes. Time moves only in run.
type world struct {
	t     testing.TB
	now   time.Duration
	codec *heartbeat.Codec
	nodes []*node
	fakes []*fake
	queue []func()
	due   []time.Duration
	cut   func(from, to netip.AddrPort) bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	codec, err := heartbeat.NewCodec("test", 0)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, now: time.Hour, codec: codec}
}

// later queues f. Everything takes equally long, so the order stays.
func (w *world) later(f func()) {
	w.queue = append(w.queue, f)
	w.due = append(w.due, w.now+flight)
}

// run lets d pass: timers, packets in flight, heartbeats of the live fakes.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.now + d
	for range 1_000_000 {
		next := end + 1
		var act func()
		earlier := func(at time.Duration, f func()) {
			if at = max(at, w.now); at < next {
				next, act = at, f
			}
		}
		if len(w.due) > 0 {
			earlier(w.due[0], func() {
				f := w.queue[0]
				w.queue, w.due = w.queue[1:], w.due[1:]
				f()
			})
		}
		for _, n := range w.nodes {
			if !n.frozen {
				earlier(n.wake, func() { n.step(election.Wake{}) })
			}
		}
		for _, f := range w.fakes {
			if f.live {
				earlier(f.next, func() {
					f.next = w.now + delay
					f.say(heartbeat.KindHeartbeat)
				})
			}
		}
		if act == nil {
			w.now = end
			return
		}
		w.now = next
		act()
	}
	w.t.Fatal("time stands still")
}

// node is one machine and what it was seen to do since clear.
type node struct {
	w       *world
	m       *election.Machine
	cfg     election.Config
	addr    netip.AddrPort
	wake    time.Duration
	guard   election.Guard
	disk    election.State
	saveSeq uint64
	seq     uint64 // of its last packet
	frozen  bool
	log     election.LogAt // the last that was told

	// What the test answers by hand.
	holdSave, holdBarrier, holdWork, holdSeal bool

	sent   []heartbeat.Packet
	to     [][]netip.AddrPort // of each of them, by unicast
	events []election.Event
	saves  int
}

func id(b byte) (i heartbeat.InstanceID) {
	for j := range i {
		i[j] = b
	}
	return i
}

func address(b byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, b}), 2710)
}

var secret = [32]byte{1, 2, 3}

func config(b byte) election.Config {
	return election.Config{
		Self: id(b), Node: heartbeat.NewNodeID("test", string('a'+rune(b%26))), Name: string('a' + rune(b%26)),
		Delay: delay, Retries: retries, Candidate: true, Votes: 1, Seed: uint64(b),
	}
}

type option func(*election.Config, *election.State)

func quorum(q uint8) option                         { return func(c *election.Config, _ *election.State) { c.Quorum = q } }
func signed(c *election.Config, _ *election.State)  { c.Signed = true }
func witness(c *election.Config, _ *election.State) { c.Candidate = false }
func saved(s election.State) option {
	return func(_ *election.Config, t *election.State) { *t = s }
}

// node starts a machine.
func (w *world) node(b byte, options ...option) *node {
	w.t.Helper()
	n := &node{w: w, cfg: config(b), addr: address(b)}
	for _, o := range options {
		o(&n.cfg, &n.disk)
	}
	m, err := election.New(n.cfg, n.disk, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	n.m, n.wake = m, w.now
	w.nodes = append(w.nodes, n)
	return n
}

// step gives the machine one input and performs what it answers.
func (n *node) step(in election.Input) {
	w := n.w
	if l, ok := in.(election.LogAt); ok {
		n.log = l
	}
	out := n.m.Step(w.now, in)
	n.wake, n.guard = out.WakeAt, out.Guard
	for _, msg := range out.Send {
		n.seq = msg.Packet.Seq
		b, err := w.codec.Seal(nil, msg.Packet)
		if err != nil {
			w.t.Fatalf("%s cannot send %v: %v", n.cfg.Name, msg.Packet.Kind, err)
		}
		p := open(w, b)
		n.sent, n.to = append(n.sent, p), append(n.to, slices.Clone(msg.To))
		for _, o := range w.nodes {
			if o != n && (msg.Everyone || slices.Contains(msg.To, o.addr)) && (w.cut == nil || !w.cut(n.addr, o.addr)) {
				w.later(func() {
					if !o.frozen {
						p := open(w, b)
						o.step(election.Received{Packet: &p, From: n.addr})
					}
				})
			}
		}
		for _, f := range w.fakes {
			if f.grants && p.Asks > 0 && (w.cut == nil || !w.cut(n.addr, f.addr)) {
				w.later(func() {
					f.p.Promise = heartbeat.Sighting{Instance: p.Instance, Epoch: max(f.p.Promise.Epoch, p.Asks), Seq: p.Seq}
					f.say(heartbeat.KindGrant)
				})
			}
		}
	}
	events := slices.Clone(out.Events)
	n.events = append(n.events, events...)
	if out.Save != nil {
		n.saves++
		n.disk, n.saveSeq = *out.Save, out.SaveSeq
		if !n.holdSave {
			n.step(election.Saved{Seq: out.SaveSeq})
		}
	}
	for _, e := range events {
		switch e.Type {
		case election.EventBarrier:
			if !n.holdBarrier {
				n.step(election.BarrierDone{Epoch: e.Epoch})
			}
		case election.EventSeal:
			if !n.holdSeal {
				n.step(election.Sealed{Log: n.log.Log, Acked: true})
			}
		case election.EventLost, election.EventStopWork:
			if !n.holdWork {
				n.step(election.WorkStopped{})
			}
		}
	}
}

func open(w *world, b []byte) heartbeat.Packet {
	var p heartbeat.Packet
	if err := w.codec.Open(b, &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (n *node) state() heartbeat.State { return n.m.View(n.w.now).State }

func (n *node) clear() { n.sent, n.to, n.events, n.saves = nil, nil, nil, 0 }

// kinds are those of the packets since clear, in order.
func (n *node) kinds() string {
	var list []string
	for _, p := range n.sent {
		list = append(list, p.Kind.String())
	}
	return strings.Join(list, " ")
}

// told are the events since clear, in order.
func (n *node) told() string {
	var list []string
	for _, e := range n.events {
		list = append(list, e.Type.String())
	}
	return strings.Join(list, " ")
}

// last is the last packet of a kind since clear.
func (n *node) last(kind heartbeat.Kind) heartbeat.Packet {
	n.w.t.Helper()
	for _, p := range slices.Backward(n.sent) {
		if p.Kind == kind {
			return p
		}
	}
	n.w.t.Fatalf("no %v was sent, only: %s", kind, n.kinds())
	return heartbeat.Packet{}
}

// want compares the state, the kinds sent and the events since clear, and the guard.
func (n *node) want(state heartbeat.State, kinds, events string, guard bool) {
	n.w.t.Helper()
	if got := n.state(); got != state {
		n.w.t.Errorf("state %v, want %v", got, state)
	}
	if got := n.kinds(); got != kinds {
		n.w.t.Errorf("sent %q, want %q", got, kinds)
	}
	if got := n.told(); got != events {
		n.w.t.Errorf("events %q, want %q", got, events)
	}
	if got := n.guard.Open(n.w.now); got != guard {
		n.w.t.Errorf("guard open: %v, want %v", got, guard)
	}
}

// is compares the state.
func (n *node) is(state heartbeat.State) {
	n.w.t.Helper()
	if got := n.state(); got != state {
		n.w.t.Fatalf("state %v, want %v; events %q, sent %q", got, state, n.told(), n.kinds())
	}
}

// until runs until the node is in a state, at most for most, and says how long it took.
func (n *node) until(state heartbeat.State, most time.Duration) time.Duration {
	n.w.t.Helper()
	start := n.w.now
	for n.w.now < start+most {
		if n.state() == state {
			return n.w.now - start
		}
		n.w.run(flight)
	}
	n.w.t.Fatalf("state %v after %v, want %v; events %q", n.state(), most, state, n.told())
	return 0
}

// fake is a peer that the test speaks for.
type fake struct {
	w      *world
	p      heartbeat.Packet // its next packet
	addr   netip.AddrPort
	live   bool              // sends each delay
	grants bool              // votes for whoever asks
	deaf   bool              // names nobody
	too    []heartbeat.Heard // whom it names besides
	next   time.Duration
	heard  []heartbeat.Heard
}

// fake makes a peer: a slave, candidate, silent until it is told to speak.
func (w *world) fake(b byte) *fake {
	f := &fake{w: w, addr: address(b), next: w.now}
	c := config(b)
	f.p = heartbeat.Packet{
		State: heartbeat.StateSlave, Flags: heartbeat.FlagCandidate | heartbeat.FlagVoter,
		Node: c.Node, Instance: c.Self, Name: c.Name, Delay: delay, Retries: retries, Votes: 1,
		ObitHash: heartbeat.ObituaryHash(c.Self, secret),
	}
	w.fakes = append(w.fakes, f)
	return f
}

// voter is a live fake of a cluster with a quorum, which grants what is asked.
func (w *world) voter(b, q byte) *fake {
	f := w.fake(b)
	f.p.Quorum, f.live, f.grants = q, true, true
	return f
}

// slave is a live fake.
func (w *world) slave(b byte) *fake {
	f := w.fake(b)
	f.live = true
	return f
}

// say sends a packet to all nodes, at once.
func (f *fake) say(kind heartbeat.Kind, changes ...func(*heartbeat.Packet)) {
	f.w.t.Helper()
	f.p.Seq++
	p := f.p
	p.Kind = kind
	f.heard = f.heard[:0]
	for _, n := range f.w.nodes {
		if n.seq > 0 && (f.w.cut == nil || !f.w.cut(n.addr, f.addr)) {
			f.heard = append(f.heard, heartbeat.Heard{Instance: n.cfg.Self.Prefix(), Seq: uint32(n.seq)})
		}
	}
	if !f.deaf {
		p.Heard = append(f.heard, f.too...)
	}
	for _, c := range changes {
		c(&p)
	}
	b, err := f.w.codec.Seal(nil, &p)
	if err != nil {
		f.w.t.Fatalf("fake %s cannot send %v: %v", p.Name, kind, err)
	}
	for _, n := range f.w.nodes {
		if !n.frozen && (f.w.cut == nil || !f.w.cut(f.addr, n.addr)) {
			p := open(f.w, b)
			n.step(election.Received{Packet: &p, From: f.addr})
		}
	}
}

// reigns makes the fake a master of that epoch.
func (f *fake) reigns(epoch uint64) *fake {
	f.p.State, f.p.Epoch, f.p.Asks, f.p.MaxEpoch = heartbeat.StateMaster, epoch, epoch, epoch
	return f
}

// serves makes it a slave again.
func (f *fake) serves() *fake {
	f.p.State, f.p.Epoch, f.p.Asks = heartbeat.StateSlave, 0, 0
	return f
}

// claims makes it a claimer.
func (f *fake) claims(epoch uint64) *fake {
	f.p.State, f.p.Epoch, f.p.Asks = heartbeat.StateClaiming, epoch, epoch
	return f
}

func (f *fake) id() heartbeat.InstanceID { return f.p.Instance }

func (f *fake) obituary() heartbeat.Obituary {
	return heartbeat.Obituary{Instance: f.id(), Secret: secret}
}

// from changes a packet: it relays a sighting of a master.
func sees(master *fake, seq uint64) func(*heartbeat.Packet) {
	return func(p *heartbeat.Packet) {
		p.Master = heartbeat.Sighting{Instance: master.id(), Epoch: master.p.Epoch, Seq: seq}
	}
}

// asMaster makes a master, with the peers that are there.
func (w *world) asMaster(n *node) {
	w.t.Helper()
	n.until(heartbeat.StateMaster, 30*time.Second)
	w.run(3 * delay)
	n.is(heartbeat.StateMaster)
	n.clear()
}
