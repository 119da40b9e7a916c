package electiontest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string // S1 … L4 of PROTOCOL.md §7, or "expect"
	At        time.Duration
	Text      string
}

// String is one line.
func (v Violation) String() string { return fmt.Sprintf("%s at %v: %s", v.Invariant, v.At, v.Text) }

// Report is what a run showed.
type Report struct {
	Violations []Violation
	Hash       uint64 // of everything that was sent and told, in order
	Virtual    time.Duration
	Packets    int
	Promotions int
	Claims     int
	TakeOvers  []time.Duration // from a master's crash to the next one's opening
	HandOvers  []time.Duration // from the end of the work to the next opening, when planned
	Double     time.Duration   // time with two or more at work, the end of the work included
	Open       time.Duration   // time with two or more open guards
	OpenHeal   time.Duration   // longest such time after faults ended
	Longest    time.Duration   // longest such time at a stretch
	None       time.Duration   // time without a master
	Heal       time.Duration   // longest double mastership after faults ended
	Recovery   time.Duration   // longest time from calm to one master
	Acked      int             // puts that returned, held by two or more
	Lost       int             // openings without some of them
	Cuts       int             // copies that gave up records for a shorter log
	Repeats    int             // epochs that reigned twice or went back, where memory was lost
	False      int             // promotions while another worked and nothing was cut or frozen
	Events     map[election.EventType]int
	Trace      []string // last lines of the log, for people
}

// Failed reports whether the named invariant, or any if it is "", was violated.
func (r *Report) Failed(invariant string) bool {
	for _, v := range r.Violations {
		if invariant == "" || v.Invariant == invariant {
			return true
		}
	}
	return false
}

type sim struct {
	sc       *Scenario
	net      Net
	rng      *rand.Rand
	codec    *heartbeat.Codec
	now      time.Duration // true time
	q        queue
	spare    []*datagram // free buffers
	nodes    []*node
	cut      [][]bool        // cut[from][to]
	rejected map[[2]int]bool // {from, to}: a firewall answers from's dials in to's name
	rep      *Report
	chk      checker
	hash     hash64
	trace    bool
	pkt      heartbeat.Packet // scratch of deliver
}

type hash64 struct{ h uint64 }

func (h *hash64) add(v uint64) {
	h.h = (h.h ^ v) * 0x100000001b3
	h.h ^= h.h >> 29
}

// Run runs a scenario to its end, or to the first violation.
func Run(sc *Scenario) (*Report, error) { return run(sc, false) }

// Trace runs a scenario and keeps a log of what happened in Report.Trace.
func Trace(sc *Scenario) (*Report, error) { return run(sc, true) }

func run(sc *Scenario, trace bool) (*Report, error) {
	var keys []heartbeat.Key
	if sc.Key {
		keys = append(keys, heartbeat.Key{1, 2, 3})
	}
	codec, err := heartbeat.NewCodec("sim", 0, keys...)
	if err != nil {
		return nil, err
	}
	s := newSim(sc, codec, trace)
	for i := range sc.Actions {
		s.push(item{at: sc.Actions[i].At, kind: itemAction, n: uint64(i)})
	}
	for !s.q.empty() && len(s.rep.Violations) == 0 {
		it := s.q.pop()
		if it.at > sc.Length {
			break
		}
		s.advance(it.at)
		if err := s.handle(it); err != nil {
			return nil, err
		}
	}
	if len(s.rep.Violations) == 0 {
		s.advance(sc.Length)
		s.chk.end()
	}
	s.rep.Virtual = s.now
	s.rep.Hash = s.hash.h
	return s.rep, nil
}

func newSim(sc *Scenario, codec *heartbeat.Codec, trace bool) *sim {
	s := &sim{
		sc: sc, net: sc.Net, codec: codec, trace: trace,
		rng: rand.New(rand.NewPCG(sc.Seed, 0x696c6f636b)),
		rep: &Report{Events: map[election.EventType]int{}},
	}
	s.rejected = map[[2]int]bool{}
	for i, n := range sc.Nodes {
		s.nodes = append(s.nodes, newNode(s, i, n))
		s.cut = append(s.cut, make([]bool, len(sc.Nodes)))
	}
	s.chk.init(s)
	return s
}

// push puts something into the future.
func (s *sim) push(it item) { s.q.push(it) }

// datagram takes a buffer, and done gives one back.
func (s *sim) datagram() *datagram {
	if n := len(s.spare); n > 0 {
		d := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return d
	}
	return &datagram{b: make([]byte, 0, heartbeat.MaxSize)}
}

func (s *sim) done(d *datagram) {
	if d.refs--; d.refs <= 0 {
		s.spare = append(s.spare, d)
	}
}

func (s *sim) advance(to time.Duration) {
	if to > s.now {
		s.chk.pass(to - s.now)
		s.now = to
	}
}

func (s *sim) handle(it item) error {
	switch it.kind {
	case itemAction:
		return s.act(s.sc.Actions[it.n])
	case itemPacket:
		s.nodes[it.node].arrive(it)
	case itemWake:
		s.nodes[it.node].wakes(it)
	case itemInput:
		if n := s.nodes[it.node]; n.boot == it.boot && n.up {
			n.run(func() { n.step(it.input) })
		}
	case itemCall:
		if n := s.nodes[it.node]; n.boot == it.boot && n.up {
			n.run(it.call)
		}
	case itemWorkEnd:
		if n := s.nodes[it.node]; n.working && n.workRun == it.n {
			n.workEnds()
		}
	case itemKill:
		s.nodes[it.node].keeperLooks(it)
	case itemResume:
		s.nodes[it.node].thaw(it.n)
	case itemStored:
		s.nodes[it.node].stored(it)
	}
	return nil
}

// transmit brings one datagram from a node to another, or not.
func (s *sim) transmit(from, to int, b *datagram) {
	s.rep.Packets++
	if s.cut[from][to] || s.net.Loss > 0 && s.rng.Float64() < s.net.Loss {
		return
	}
	copies := 1
	if s.net.Dup > 0 && s.rng.Float64() < s.net.Dup {
		copies = 2
	}
	for range copies {
		d := s.net.Min
		if s.net.Max > s.net.Min {
			d += time.Duration(s.rng.Int64N(int64(s.net.Max - s.net.Min)))
		}
		if s.net.Reorder > 0 && s.rng.Float64() < s.net.Reorder {
			d += time.Duration(s.rng.Int64N(int64(s.net.Hold) + 1))
		}
		b.refs++
		s.push(item{at: s.now + d, kind: itemPacket, node: to, from: from, data: b})
	}
}

// addr is the address of node i, and node its inverse.
func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 2710)
}

func nodeAt(a netip.AddrPort) int {
	b := a.Addr().As4()
	return int(b[2])<<8 | int(b[3])
}

func (s *sim) violate(invariant, format string, a ...any) {
	s.rep.Violations = append(s.rep.Violations, Violation{invariant, s.now, fmt.Sprintf(format, a...)})
	s.logf("VIOLATION %s", s.rep.Violations[len(s.rep.Violations)-1])
}

func (s *sim) logf(format string, a ...any) {
	if s.trace {
		s.rep.Trace = append(s.rep.Trace, fmt.Sprintf("%12v  ", s.now)+fmt.Sprintf(format, a...))
	}
}

// nodeID and instanceID of the simulation are readable and repeatable.
func instanceID(seed uint64, node, boot int) (id heartbeat.InstanceID) {
	h := fnv.New128a()
	b := binary.BigEndian.AppendUint64(nil, seed)
	b = binary.BigEndian.AppendUint64(b, uint64(node)<<32|uint64(boot))
	h.Write(b)
	h.Sum(id[:0])
	return id
}
