package electiontest

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
)

// Scenario is one run: who takes part, over which network, and what happens.
type Scenario struct {
	Seed        uint64
	Delay       time.Duration
	Retries     int
	Quorum      int
	Nodes       []Node
	Net         Net
	Barrier     time.Duration // longest time between winning and opening
	WorkEnd     time.Duration // longest time the work needs to stop in a planned hand-over
	Key         bool          // sign the packets
	Off         election.Rules
	Lacks       Lack
	Rule        string // the rule that this scenario shows to matter, if it does that
	Missed      string // and the invariant that is violated without it
	Length      time.Duration
	Cache       Cache
	Put         time.Duration // between two puts; 0 = a third of the delay
	PromoteWait time.Duration
	Loopback    bool
	Actions     []Action
}

// Node is one instance of a scenario.
type Node struct {
	Name     string
	Votes    int
	Witness  bool // is no candidate
	Position int
	Delay    time.Duration // 0 = the scenario's
	Retries  int
	Quorum   int
	As       string // has this name on the wire: a clone
	Continue bool   // isolation: continue
	Command  bool   // a refused connection to it says nothing
}

// Net is how the network treats packets.
type Net struct {
	Min, Max time.Duration // one-way delay
	Loss     float64       // share of packets lost
	Dup      float64       // share of packets that come twice
	Reorder  float64       // share of packets held back
	Hold     time.Duration // for up to so long
	Drift    float64       // greatest rate error of a clock
}

// Action is something that happens at a time. Targets are names of nodes,
// "master" (whoever works at that time, else the first that runs), "slave"
// (the first other one), or "all".
type Action struct {
	At   time.Duration
	Verb string
	Args []string
}

// String is the action's line in a scenario.
func (a Action) String() string {
	return strings.TrimSpace(fmt.Sprintf("%v %s %s", a.At, a.Verb, strings.Join(a.Args, " ")))
}

// verbs are the actions there are, with their least number of arguments.
var verbs = map[string]int{
	"start":       1, // NODE…: starts, or starts again with what it had saved
	"amnesia":     1, // NODE…: starts again without what it had saved
	"corrupt":     1, // NODE…: starts again and knows that it lost its state
	"crash":       1, // NODE…: dies at once, its work too
	"die":         1, // NODE…: dies at once, its work too, and the others get the proof
	"reject":      1, // A>B: a firewall refuses A's connections to B, and ends the one there is
	"prove":       1, // NODE: the others get the proof of its death, if it is dead
	"refuse":      1, // NODE: the others find that its host refuses
	"stop":        1, // NODE: leaves in order
	"pause":       2, // NODE DURATION: the process freezes
	"freeze":      2, // NODE DURATION: process, work and clock stand still
	"sleep":       2, // NODE DURATION: the process freezes, and what is sent to it is lost
	"cut":         1, // A>B, A=B (both ways), or A (from all)
	"split":       2, // A,B C,D: groups that do not hear each other
	"mute":        1, // NODE: is not heard
	"deafen":      1, // NODE: does not hear
	"heal":        0, // [A>B or A=B]: that link is whole, or all are
	"net":         1, // KEY=VALUE…: the network changes
	"switchover":  1, // NODE [TO]
	"drain":       1, // NODE
	"resume":      1, // NODE
	"promote":     1, // NODE: with force
	"maintenance": 2, // NODE DURATION
	"sick":        1, // NODE: its health check fails
	"well":        1, // NODE
	"nosend":      1, // NODE: its sends fail
	"send":        1, // NODE: they work again
	"nodisk":      1, // NODE: saving fails
	"disk":        1, // NODE: works again
	"slowdisk":    2, // NODE DURATION: saving takes that long
	"calm":        0, // faults have ended: the run must settle
	"chaos":       0, // faults begin again
	"expect":      1, // see expect
}

// Parse reads a scenario's text: lines of `KEY VALUE…` settings, then lines of
// `TIME VERB ARG…`; # begins a comment.
func Parse(text string) (*Scenario, error) {
	s := &Scenario{Seed: 1, Delay: time.Second, Retries: 5, Net: Net{Min: time.Millisecond, Max: 5 * time.Millisecond}}
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line, _, _ := strings.Cut(sc.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if err := s.line(f); err != nil {
			return nil, fmt.Errorf("electiontest: line %d: %q: %w", n, strings.TrimSpace(line), err)
		}
	}
	if len(s.Nodes) == 0 {
		return nil, fmt.Errorf("electiontest: no nodes")
	}
	if n := len(s.Actions); n > 0 && s.Length == 0 {
		s.Length = s.Actions[n-1].At + time.Nanosecond
	}
	return s, nil
}

func (s *Scenario) line(f []string) (err error) {
	if f[0][0] >= '0' && f[0][0] <= '9' {
		at, err := time.ParseDuration(f[0])
		if err != nil {
			return err
		}
		if len(f) < 2 {
			return fmt.Errorf("a verb is missing")
		}
		least, ok := verbs[f[1]]
		if !ok || len(f)-2 < least {
			return fmt.Errorf("unknown verb or too few arguments")
		}
		if n := len(s.Actions); n > 0 && s.Actions[n-1].At > at {
			return fmt.Errorf("the lines are not in the order of time")
		}
		s.Actions = append(s.Actions, Action{At: at, Verb: f[1], Args: f[2:]})
		return nil
	}
	if len(f) < 2 {
		return fmt.Errorf("a value is missing")
	}
	switch f[0] {
	case "seed":
		s.Seed, err = strconv.ParseUint(f[1], 10, 64)
	case "delay":
		s.Delay, err = time.ParseDuration(f[1])
	case "retries":
		s.Retries, err = strconv.Atoi(f[1])
	case "quorum":
		s.Quorum, err = strconv.Atoi(f[1])
	case "barrier":
		s.Barrier, err = time.ParseDuration(f[1])
	case "workend":
		s.WorkEnd, err = time.ParseDuration(f[1])
	case "cache":
		switch f[1] {
		case "off":
		case "async":
			s.Cache = CacheAsync
		case "sync":
			s.Cache = CacheSync
		default:
			err = fmt.Errorf("want off, async or sync")
		}
	case "put":
		s.Put, err = time.ParseDuration(f[1])
	case "wait":
		s.PromoteWait, err = time.ParseDuration(f[1])
	case "loopback":
		s.Loopback, err = strconv.ParseBool(f[1])
	case "length":
		s.Length, err = time.ParseDuration(f[1])
	case "key":
		s.Key, err = strconv.ParseBool(f[1])
	case "off":
		err = s.switchOff(f[1:])
	case "rule":
		if len(f) != 3 {
			return fmt.Errorf("want: rule NAME INVARIANT")
		}
		_, err = findRule(f[1])
		s.Rule, s.Missed = f[1], f[2]
	case "net":
		err = s.Net.set(f[1:])
	case "node":
		var n Node
		if n, err = parseNode(f[1:]); err == nil {
			s.Nodes = append(s.Nodes, n)
		}
	default:
		err = fmt.Errorf("unknown setting")
	}
	return err
}

func parseNode(f []string) (Node, error) {
	n := Node{Name: f[0], Votes: 1}
	for _, o := range f[1:] {
		k, v, _ := strings.Cut(o, "=")
		var err error
		switch k {
		case "votes":
			n.Votes, err = strconv.Atoi(v)
		case "position":
			n.Position, err = strconv.Atoi(v)
		case "retries":
			n.Retries, err = strconv.Atoi(v)
		case "quorum":
			n.Quorum, err = strconv.Atoi(v)
		case "delay":
			n.Delay, err = time.ParseDuration(v)
		case "witness":
			n.Witness = true
		case "continue":
			n.Continue = true
		case "command":
			n.Command = true
		case "as":
			n.As = v
		default:
			err = fmt.Errorf("unknown option %q", k)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *Net) set(f []string) error {
	for _, o := range f {
		k, v, _ := strings.Cut(o, "=")
		var err error
		switch k {
		case "delay":
			lo, hi, _ := strings.Cut(v, "..")
			if n.Min, err = time.ParseDuration(lo); err == nil {
				n.Max, err = time.ParseDuration(hi)
			}
		case "loss":
			n.Loss, err = strconv.ParseFloat(v, 64)
		case "dup":
			n.Dup, err = strconv.ParseFloat(v, 64)
		case "reorder":
			share, hold, _ := strings.Cut(v, ":")
			if n.Reorder, err = strconv.ParseFloat(share, 64); err == nil {
				n.Hold, err = time.ParseDuration(hold)
			}
		case "drift":
			n.Drift, err = strconv.ParseFloat(v, 64)
		default:
			err = fmt.Errorf("unknown network setting %q", k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// String is the text that Parse reads.
func (s *Scenario) String() string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	p("seed %d", s.Seed)
	p("delay %v", s.Delay)
	p("retries %d", s.Retries)
	p("quorum %d", s.Quorum)
	p("barrier %v", s.Barrier)
	p("workend %v", s.WorkEnd)
	p("key %v", s.Key)
	p("cache %s", [...]string{"off", "async", "sync"}[s.Cache])
	p("put %v", s.Put)
	p("wait %v", s.PromoteWait)
	p("loopback %v", s.Loopback)
	if off := s.offNames(); off != "" {
		p("off %s", off)
	}
	if s.Rule != "" {
		p("rule %s %s", s.Rule, s.Missed)
	}
	p("length %v", s.Length)
	n := s.Net
	p("net delay=%v..%v loss=%v dup=%v reorder=%v:%v drift=%v", n.Min, n.Max, n.Loss, n.Dup, n.Reorder, n.Hold, n.Drift)
	for _, n := range s.Nodes {
		line := fmt.Sprintf("node %s votes=%d position=%d", n.Name, n.Votes, n.Position)
		if n.Delay > 0 {
			line += fmt.Sprintf(" delay=%v", n.Delay)
		}
		if n.Retries > 0 {
			line += fmt.Sprintf(" retries=%d", n.Retries)
		}
		if n.Quorum > 0 {
			line += fmt.Sprintf(" quorum=%d", n.Quorum)
		}
		if n.Witness {
			line += " witness"
		}
		if n.Continue {
			line += " continue"
		}
		if n.Command {
			line += " command"
		}
		if n.As != "" {
			line += " as=" + n.As
		}
		p("%s", line)
	}
	for _, a := range s.Actions {
		p("%s", a)
	}
	return b.String()
}
