package positiontest

import (
	"math/rand/v2"
	"time"
)

// Faults says what a scenario of Chaos may contain.
type Faults uint8

// The faults besides starts, kills, stops, hand-overs, drains and failing work.
const (
	Freezes    Faults = 1 << iota // processes of ours
	Partitions                    // of the network in two
	Losses                        // of single pings
	InStep                        // no fault, but all happens on the beat of the pings
)

// Chaos makes a scenario of 2 to 5 instances, the kinds as mix says: its bit i
// makes instance i a Java instance.
func Chaos(seed uint64, n int, mix uint, faults Faults) *Scenario {
	r := rand.New(rand.NewPCG(seed, 33))
	kinds := [][2]time.Duration{{3, 20}, {1, 5}, {2, 12}, {4, 20}, {1, 10}}
	k := kinds[r.IntN(len(kinds))]
	sc := &Scenario{
		Seed: seed, Interval: k[0] * time.Second, Timeout: k[1] * time.Second,
		Delay: time.Duration(1+r.IntN(30)*(1+r.IntN(10))) * time.Millisecond, Drift: 0.001, Length: time.Hour,
	}
	configured := r.IntN(3) == 0
	for i := range n {
		spec := Spec{Name: string(rune('a' + i)), Java: mix>>i&1 == 1}
		if spec.Java {
			spec.Name = "J" + spec.Name
		} else if configured && r.IntN(2) == 0 {
			spec.Position = 1 + r.IntN(n)
		} else if r.IntN(12) == 0 && n > 2 {
			spec.Witness = true
		}
		if spec.Java && configured && r.IntN(3) == 0 {
			spec.Position = i + 1
		}
		sc.Nodes = append(sc.Nodes, spec)
		sc.Actions = append(sc.Actions, Action{At: time.Duration(r.Int64N(int64(40 * time.Second))), Do: "start", Node: i})
	}
	at := 30 * time.Second
	long := 3*sc.Timeout + 6*(javaMonitor+sc.Interval) + 15*time.Second
	for at < sc.Length-3*long {
		if r.IntN(3) == 0 {
			at += long + time.Duration(r.Int64N(int64(20*time.Second)))
		} else {
			at += time.Duration(r.Int64N(int64(sc.Timeout)))
		}
		i := r.IntN(n)
		if r.IntN(4) == 0 { // all is well, and something happens to the master
			at += long
			do := []string{"kill", "switchover", "stop", "drain", "fail"}[r.IntN(5)]
			sc.Actions = append(sc.Actions, Action{At: at, Do: do, Node: -1})
			at += long
			sc.Actions = append(sc.Actions, Action{At: at, Do: "start", Node: -1}, Action{At: at, Do: "resume", Node: i})
		}
		act := func(do string) { sc.Actions = append(sc.Actions, Action{At: at, Do: do, Node: i}) }
		switch c := r.IntN(12); {
		case c < 3:
			act("start")
		case c == 3:
			act("kill")
			if r.IntN(2) == 0 {
				sc.Actions = append(sc.Actions, Action{At: at + time.Duration(r.Int64N(int64(2*sc.Timeout))), Do: "start", Node: i})
			}
		case c == 4:
			act("stop")
		case c == 5 || c == 6:
			act("switchover")
		case c == 7:
			act("drain")
		case c == 8:
			act("resume")
		case c == 9:
			act("fail")
		case c == 10 && faults&Freezes != 0:
			if !sc.Nodes[i].Java {
				sc.Actions = append(sc.Actions, Action{At: at, Do: "freeze", Node: i, For: time.Duration(r.Int64N(int64(2 * sc.Timeout)))})
			}
		case c == 11 && faults&Partitions != 0:
			var side []int
			for j := range n {
				if r.IntN(2) == 0 {
					side = append(side, j)
				}
			}
			sc.Actions = append(sc.Actions, Action{At: at, Do: "cut", Side: side})
			at += time.Duration(r.Int64N(int64(4 * sc.Timeout)))
			sc.Actions = append(sc.Actions, Action{At: at, Do: "heal"})
			if r.IntN(2) == 0 {
				at += long
			}
		case c == 11 && faults&Losses != 0:
			sc.Actions = append(sc.Actions, Action{At: at, Do: "loss", Rate: 0.6 * r.Float64()})
			at += time.Duration(r.Int64N(int64(4 * sc.Timeout)))
			sc.Actions = append(sc.Actions, Action{At: at, Do: "loss"})
		}
	}
	for i := range n { // in the end all take part again
		sc.Actions = append(sc.Actions, Action{At: at, Do: "start", Node: i}, Action{At: at + time.Second, Do: "resume", Node: i})
	}
	sc.Length = at + 3*long
	if faults&InStep != 0 {
		sc.toBeat()
	}
	return sc
}

// toBeat puts all that happens on the beat of the pings, and takes the drift
// away: who starts or is heard again together decides together, each time.
func (sc *Scenario) toBeat() {
	sc.Drift, sc.Delay = 0, min(sc.Delay, 20*time.Millisecond)
	for i := range sc.Actions {
		a := &sc.Actions[i]
		a.At, a.For = a.At.Truncate(sc.Interval), a.For.Truncate(sc.Interval)
	}
}

// Mixes are all mixes of n instances, by how many are Java's.
func Mixes(n int) []uint {
	var all []uint
	for m := range uint(1) << n {
		all = append(all, m)
	}
	return all
}

// MixName is a mix for people: o = ours, J = Java.
func MixName(n int, mix uint) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'o'
		if mix>>i&1 == 1 {
			b[i] = 'J'
		}
	}
	return string(b)
}
