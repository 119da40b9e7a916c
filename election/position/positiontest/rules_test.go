package positiontest

import (
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election/position"
)

const sec = time.Second

// each starts the instances i at the times given.
func starts(at ...time.Duration) (list []Action) {
	for i, t := range at {
		list = append(list, Action{At: t, Do: "start", Node: i})
	}
	return list
}

func scenario(d, length time.Duration, nodes []Spec, actions ...Action) func(seed uint64) *Scenario {
	return func(seed uint64) *Scenario {
		return &Scenario{
			Seed: seed, Interval: 3 * sec, Timeout: 20 * sec, Delay: d, Drift: 0.001,
			Nodes: nodes, Actions: actions, Length: length,
		}
	}
}

func random(n int, mix uint, f Faults) func(uint64) *Scenario {
	return func(seed uint64) *Scenario { return Chaos(seed, n, mix, f) }
}

// TestRules: each rule is needed. With it all is well in some scenario, for all
// seeds; without it the named check fails for one of them.
func TestRules(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		name  string
		rule  position.Rules
		check string
		seeds int
		sc    func(uint64) *Scenario
	}{
		{"a witness holds no place", position.RuleMute, "settle", 1,
			scenario(5*ms, 500*sec, []Spec{{Name: "m"}, {Name: "w", Witness: true, ID: 1}, {Name: "J", Java: true, ID: 2}},
				append(starts(0, 40*sec, 50*sec), Action{At: 300 * sec, Do: "kill"})...)},
		{"a place configured twice", position.RuleCollision, "one", 20,
			scenario(200*ms, 500*sec, []Spec{{Name: "m"}, {Name: "a", Position: 1}, {Name: "b", Position: 1}},
				append(starts(0, 40*sec, 50*sec), Action{At: 300 * sec, Do: "kill"})...)},
		{"a place configured three times", position.RuleCollision, "one", 20,
			scenario(200*ms, 500*sec, []Spec{{Name: "m"}, {Name: "a", Position: 1}, {Name: "b", Position: 1}, {Name: "c", Position: 1}},
				append(starts(0, 40*sec, 50*sec, 51*sec), Action{At: 300 * sec, Do: "kill"})...)},
		{"two masters of ours meet", position.RuleIDs, "heal", 20,
			scenario(1400*ms, 600*sec, []Spec{{Name: "a"}, {Name: "b"}},
				append(starts(0, 10*sec), Action{At: 200 * sec, Do: "cut", Side: []int{0}}, Action{At: 300 * sec, Do: "heal"})...)},
		{"ours and Java's meet, pings cross", position.RuleReturn, "heal", 20,
			scenario(1400*ms, 600*sec, []Spec{{Name: "a"}, {Name: "J", Java: true}, {Name: "K", Java: true}},
				append(starts(0, 40*sec, 50*sec), Action{At: 200 * sec, Do: "cut", Side: []int{0}}, Action{At: 300 * sec, Do: "heal"})...)},
		{"a Java master pings slowly", position.RuleListen, "exit", 5,
			scenario(5*ms, 300*sec, []Spec{{Name: "J", Java: true, Slow: 16 * sec}, {Name: "a"}},
				starts(0, 150*sec)...)},
		{"a master freezes", position.RuleGuard, "one", 1,
			scenario(5*ms, 300*sec, []Spec{{Name: "a"}, {Name: "b"}},
				append(starts(0, 40*sec), Action{At: 200 * sec, Do: "freeze", For: 60 * sec})...)},
		{"a Java instance starts while the master is frozen", position.RuleGuard, "one", 1,
			scenario(5*ms, 300*sec, []Spec{{Name: "a"}, {Name: "J", Java: true}},
				append(starts(0, 40*sec), Action{At: 150 * sec, Do: "kill", Node: 1}, Action{At: 200 * sec, Do: "freeze", For: 60 * sec},
					Action{At: 200 * sec, Do: "start", Node: 1})...)},
		{"a Java instance with place 1 configured starts while the master is frozen", position.RuleGuard, "one", 1,
			scenario(5*ms, 300*sec, []Spec{{Name: "a"}, {Name: "J", Java: true, Position: 1}},
				append(starts(0, 40*sec), Action{At: 150 * sec, Do: "kill", Node: 1}, Action{At: 200*sec + 500*ms, Do: "freeze", For: 60 * sec},
					Action{At: 201 * sec, Do: "start", Node: 1})...)},
		{"who hands over stands last", position.RuleLast, "handover", 1,
			scenario(5*ms, 400*sec, []Spec{{Name: "a", ID: 1}, {Name: "J", Java: true, ID: 2}},
				append(starts(0, 40*sec), Action{At: 250 * sec, Do: "switchover"})...)},
		{"a master that pings as a slave resigned", position.RuleResigned, "handover", 1,
			scenario(5*ms, 400*sec, []Spec{{Name: "a"}, {Name: "b"}},
				append(starts(0, 40*sec), Action{At: 250 * sec, Do: "switchover"})...)},
		{"a configured place is left alone", position.RuleConfigured, "settle", 1,
			scenario(5*ms, 400*sec, []Spec{{Name: "m"}, {Name: "a", Position: 1, ID: 2}, {Name: "b", ID: 1}},
				starts(0, 40*sec, 50*sec)...)},
		{"two come back at the same time", position.RuleSettle, "one", 1,
			scenario(20*ms, 600*sec, []Spec{{Name: "a"}, {Name: "b"}},
				append(starts(0, 0), Action{At: 100 * sec, Do: "drain"}, Action{At: 150 * sec, Do: "drain", Node: 1},
					Action{At: 300 * sec, Do: "resume"}, Action{At: 300 * sec, Do: "resume", Node: 1})...)},
		{"the one of two masters that was heard last gives way", position.RuleOther, "third", 100,
			scenario(1400*ms, 600*sec, []Spec{{Name: "a", ID: 2}, {Name: "b", ID: 3}, {Name: "c", ID: 1}},
				append(starts(0, 40*sec, 50*sec), Action{At: 200 * sec, Do: "cut", Side: []int{0}}, Action{At: 300 * sec, Do: "heal"},
					Action{At: 300 * sec, Do: "loss", Rate: 0.5}, Action{At: 310 * sec, Do: "loss"})...)},
		{"the one of two masters that was heard alone gives way", position.RuleHush, "heal", 60,
			scenario(1400*ms, 600*sec, []Spec{{Name: "a", ID: 2}, {Name: "b", ID: 3}, {Name: "c", ID: 1}},
				append(starts(0, 40*sec, 50*sec), Action{At: 200 * sec, Do: "cut", Side: []int{0}}, Action{At: 300 * sec, Do: "heal"})...)},
		{"who was frozen listens anew", position.RuleStall, "exit", 40, random(3, 1, Freezes)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			failed := false
			for seed := range uint64(tt.seeds) {
				sc := tt.sc(seed)
				if rep := Run(sc); rep.Failed("") {
					t.Fatalf("seed %d: %v\n%s\n%s", seed, rep.Violations, sc, strings.Join(rep.Trace, "\n"))
				}
				if failed {
					continue
				}
				sc.Off = tt.rule
				failed = Run(sc).Failed(tt.check)
			}
			if !failed {
				t.Errorf("without the rule the check %q holds as well", tt.check)
			}
		})
	}
}

// TestBothLast: two that gave the role up and come back in the same moment do
// not go on for ever each behind the other.
func TestBothLast(t *testing.T) {
	for seed := range uint64(20) {
		sc := scenario(500*time.Millisecond, 400*sec, []Spec{{Name: "a"}, {Name: "b", Position: int(seed % 3)}},
			append(starts(0, 30*sec), Action{At: 100 * sec, Do: "drain"}, Action{At: 150 * sec, Do: "drain", Node: 1},
				Action{At: 200 * sec, Do: "resume"}, Action{At: 200 * sec, Do: "resume", Node: 1})...)(seed)
		if rep := Run(sc); rep.Failed("") || rep.Checked["settle"] == 0 {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, rep.Violations, sc, strings.Join(rep.Trace, "\n"))
		}
	}
}
