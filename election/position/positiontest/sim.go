package positiontest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/election/position"
)

// Spec is one place for an instance: each start of it is a new instance.
type Spec struct {
	Name     string
	Java     bool
	Position int           // configured
	Witness  bool          // ours: never master
	ID       byte          // first byte of its ids, so that a scenario can order them; 0 = random
	Slow     time.Duration // Java: time between its pings, if not Interval
}

// Action is something that happens to an instance or the network.
type Action struct {
	At   time.Duration
	Do   string        // start, kill, stop, freeze, switchover, drain, resume, fail, cut, heal, loss
	Node int           // -1 = whoever works; of start: all that are down
	For  time.Duration // freeze
	Side []int         // cut: those on one side
	Rate float64       // loss
}

func (a Action) String() string {
	return fmt.Sprintf("%v %s %d %v %v %v", a.At, a.Do, a.Node, a.For, a.Side, a.Rate)
}

// Scenario is all that a run depends on.
type Scenario struct {
	Seed              uint64
	Interval, Timeout time.Duration
	Delay             time.Duration // longest way of a ping
	Drift             float64       // of our clocks
	Nodes             []Spec
	Actions           []Action
	Length            time.Duration
	Off               position.Rules
}

// String is the scenario for people.
func (sc *Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d interval %v timeout %v\n", sc.Seed, sc.Interval, sc.Timeout)
	for i, n := range sc.Nodes {
		fmt.Fprintf(&b, "%d %+v\n", i, n)
	}
	for _, a := range sc.Actions {
		fmt.Fprintln(&b, a)
	}
	return b.String()
}

// Violation is a check that failed.
type Violation struct {
	Check string // see check.go
	At    time.Duration
	Text  string
}

// Report is what a run showed.
type Report struct {
	Violations []Violation
	Hash       uint64 // of every ping and event, in order
	Promotions int
	Exits      int            // of Java instances
	Double     time.Duration  // with two or more at work
	Checked    map[string]int // how often each of the checks that wait for something was made
	Trace      []string
}

// Failed reports whether the named check failed, or any if it is "".
func (r *Report) Failed(check string) bool {
	for _, v := range r.Violations {
		if check == "" || v.Check == check {
			return true
		}
	}
	return false
}

type item struct {
	at  time.Duration
	seq uint64
	do  func()
}

type queue []item

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(item)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

type sim struct {
	sc    *Scenario
	rng   *rand.Rand
	now   time.Duration
	q     queue
	seq   uint64
	nodes []*node
	side  map[int]bool // of a cut; nil = whole
	loss  float64
	rep   *Report
	chk   checker
}

// Run runs a scenario to its end. With trace it tells what happened.
func Run(sc *Scenario) *Report {
	s := &sim{sc: sc, rng: rand.New(rand.NewPCG(sc.Seed, 0x33)), rep: &Report{Hash: 14695981039346656037, Checked: map[string]int{}}}
	for i, spec := range sc.Nodes {
		s.nodes = append(s.nodes, newNode(s, i, spec))
	}
	s.chk.init(s)
	for _, a := range sc.Actions {
		s.at(a.At, func() { s.act(a) })
	}
	for s.q.Len() > 0 && len(s.rep.Violations) == 0 {
		it := heap.Pop(&s.q).(item)
		if it.at > sc.Length {
			break
		}
		s.pass(it.at)
		it.do()
		s.chk.look()
	}
	if len(s.rep.Violations) == 0 {
		s.pass(sc.Length)
	}
	return s.rep
}

func (s *sim) pass(to time.Duration) {
	if s.chk.workers() > 1 {
		s.rep.Double += to - s.now
	}
	s.now = to
}

func (s *sim) at(t time.Duration, do func()) {
	s.seq++
	heap.Push(&s.q, item{max(t, s.now), s.seq, do})
}

func (s *sim) logf(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	for _, c := range []byte(text) {
		s.rep.Hash = (s.rep.Hash ^ uint64(c)) * 1099511628211
	}
	s.rep.Hash = (s.rep.Hash ^ uint64(s.now)) * 1099511628211
	s.rep.Trace = append(s.rep.Trace, fmt.Sprintf("%12v  %s", s.now.Round(time.Millisecond), text))
}

func (s *sim) violate(check, format string, a ...any) {
	v := Violation{check, s.now, fmt.Sprintf(format, a...)}
	s.rep.Violations = append(s.rep.Violations, v)
	s.logf("VIOLATION %s: %s", check, v.Text)
}

func (s *sim) act(a Action) {
	s.logf("# %s", a)
	if a.Node < 0 {
		for i, n := range s.nodes {
			if a.Do == "start" {
				n.start()
			} else if n.working && a.Node < 0 {
				a.Node = i
			}
		}
		if a.Node < 0 {
			return
		}
	}
	n := s.nodes[a.Node]
	switch a.Do {
	case "start":
		n.start()
	case "kill":
		n.kill()
	case "stop":
		n.stop()
	case "freeze":
		n.freeze(a.For)
	case "switchover", "drain", "resume", "fail":
		n.order(a.Do)
	case "cut":
		s.side = map[int]bool{}
		for _, i := range a.Side {
			s.side[i] = true
		}
		s.chk.disturb(true)
	case "heal":
		s.side = nil
		s.chk.disturb(s.loss > 0)
		s.chk.heal()
	case "loss":
		s.loss = a.Rate
		s.chk.disturb(s.side != nil || s.loss > 0)
		s.chk.heal()
	default:
		panic("unknown action " + a.Do)
	}
}

// transmit brings a ping to all the others, or not.
func (s *sim) transmit(from *node, b []byte) {
	s.logf("%s pings %d %d", from.spec.Name, b[65], b[69])
	for _, to := range s.nodes {
		if to == from || s.side != nil && s.side[to.i] != s.side[from.i] || s.loss > 0 && s.rng.Float64() < s.loss {
			continue
		}
		delay := time.Duration(s.rng.Int64N(int64(s.sc.Delay) + 1))
		s.at(s.now+delay, func() { to.arrive(b, from) })
	}
}

func (s *sim) promoted(n *node) {
	s.rep.Promotions++
	s.logf("%s is promoted", n.spec.Name)
	s.chk.promoted(n)
}

// javaExits is System.exit(1) of the conflict handler; by is whose ping it was.
func (s *sim) javaExits(n *node, by string) {
	s.rep.Exits++
	var cause *node
	for _, o := range s.nodes {
		if o.uuid() == by {
			cause = o
		}
	}
	s.logf("%s exits: heard %s", n.spec.Name, by)
	n.die()
	s.chk.exited(n, cause)
}

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 4444)
}
