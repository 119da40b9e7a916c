package electiontest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Mode is who takes part in a chaos run.
type Mode struct {
	Name   string
	Quorum int
	Nodes  []Node
	Cache  Cache
}

// CacheModes are Modes, each with a cache of both kinds.
func CacheModes() (list []Mode) {
	for _, m := range Modes() {
		async, sync := m, m
		async.Name, async.Cache = m.Name+", async", CacheAsync
		sync.Name, sync.Cache = m.Name+", sync", CacheSync
		list = append(list, async, sync)
	}
	return list
}

// Modes are the clusters that the battery runs.
func Modes() []Mode {
	n := func(names string) (list []Node) {
		for name := range strings.FieldsSeq(names) {
			list = append(list, Node{Name: name, Votes: 1})
		}
		return list
	}
	witness := n("a b w")
	witness[2].Witness = true
	preferred := n("a b")
	preferred[0].Votes = 2
	return []Mode{
		{"quorum 3", 2, n("a b c"), CacheOff},
		{"quorum 2+witness", 2, witness, CacheOff},
		{"quorum 2, preferred", 2, preferred, CacheOff},
		{"quorum 5", 3, n("a b c d e"), CacheOff},
		{"AP 2", 0, n("a b"), CacheOff},
		{"AP 3", 0, n("a b c"), CacheOff},
		{"AP 5", 0, n("a b c d e"), CacheOff},
	}
}

// Faults says what a chaos run throws at a cluster.
type Faults struct {
	NoCuts  bool          // the network loses packets, but no link is cut
	NoCalm  bool          // progress is not promised, only safety
	Restart string        // the verb that starts nodes again: start, amnesia or corrupt
	Pause   string        // the verb that halts nodes: pause, freeze or sleep
	Delay   time.Duration // all times are scaled to this delay; 0 = one second
	Barrier time.Duration // 0 = half a delay
	Key     bool
}

// Chaos writes a scenario of faults: rounds of two minutes of chaos and one of
// calm, at a delay of one second, half of the faults aimed at the master.
func Chaos(m Mode, seed uint64, rounds int, f Faults) *Scenario {
	r := rand.New(rand.NewPCG(seed, 0x6368616f73))
	f.Delay = cmp.Or(f.Delay, time.Second)
	f.Barrier = cmp.Or(f.Barrier, f.Delay/2)
	f.Restart, f.Pause = cmp.Or(f.Restart, "start"), cmp.Or(f.Pause, "pause")
	scale := func(d time.Duration) time.Duration {
		return time.Duration(float64(d) * f.Delay.Seconds())
	}
	s := &Scenario{
		Seed: seed, Delay: f.Delay, Retries: 5, Quorum: m.Quorum, Nodes: m.Nodes, Key: f.Key,
		Barrier: f.Barrier, WorkEnd: scale(2 * time.Second),
		Net: Net{Min: scale(200 * time.Microsecond), Max: scale(5 * time.Millisecond), Loss: 0.05, Dup: 0.01,
			Reorder: 0.02, Hold: scale(300 * time.Millisecond), Drift: 0.001},
		Cache: m.Cache,
	}
	at := func(t time.Duration, verb string, args ...string) {
		s.Actions = append(s.Actions, Action{At: scale(t).Round(scale(time.Millisecond)), Verb: verb, Args: args})
	}
	span := func(lo, hi time.Duration) time.Duration { return lo + time.Duration(r.Int64N(int64(hi-lo))) }
	name := func() string { return m.Nodes[r.IntN(len(m.Nodes))].Name }
	target := func() string {
		if r.IntN(2) == 0 {
			return "master"
		}
		return name()
	}
	at(0, "start", "all")
	const chaosTime, calmTime = 120 * time.Second, 60 * time.Second
	for i := range rounds {
		begin := time.Duration(i) * (chaosTime + calmTime)
		at(begin, "chaos")
		at(begin, "net", "loss=0.05")
		for t := begin + span(time.Second, 10*time.Second); t < begin+chaosTime; t += span(time.Second, 14*time.Second) {
			end := min(t+span(200*time.Millisecond, 20*time.Second), begin+chaosTime)
			kinds := 12
			if t > begin+chaosTime-15*time.Second {
				kinds = 9 // orders that take a while would reach into the calm
			}
			kind := r.IntN(kinds)
			if f.NoCuts && kind >= 3 && kind <= 6 {
				kind = 7
			}
			if m.Cache != CacheOff && r.IntN(8) == 0 {
				at(t, "reject", name()+">"+target())
				at(end, "heal")
				continue
			}
			switch kind {
			case 0, 1:
				how := "crash"
				if m.Cache != CacheOff && r.IntN(2) == 0 {
					how = "die"
				}
				at(t, how, target())
				at(end, f.Restart, "all")
			case 2:
				who := name()
				at(t, "crash", who)
				at(t+span(time.Millisecond, 50*time.Millisecond), "prove", who)
				at(end, f.Restart, "all")
			case 3, 4:
				a, b := split(r, m)
				at(t, "split", a, b)
				at(end, "heal")
			case 5:
				at(t, "cut", name()+">"+name())
				at(end, "heal")
			case 6:
				at(t, []string{"mute", "deafen"}[r.IntN(2)], target())
				at(end, "heal")
			case 7, 8:
				at(t, f.Pause, target(), fmt.Sprint(scale(end-t).Round(scale(time.Millisecond))))
			case 9:
				at(t, "switchover", "master")
			case 10:
				at(t, "stop", target())
				at(end, f.Restart, "all")
			case 11:
				who := name()
				at(t, "drain", who)
				at(end, "resume", who)
			}
		}
		calm := begin + chaosTime
		at(calm, "heal")
		at(calm, f.Restart, "all")
		for _, n := range m.Nodes {
			at(calm, "resume", n.Name)
		}
		at(calm, "net", "loss=0")
		if !f.NoCalm {
			at(calm, "calm")
		}
		at(calm+20*time.Millisecond, f.Restart, "all") // who was frozen while leaving has left by now
	}
	s.Length = scale(time.Duration(rounds) * (chaosTime + calmTime))
	slices.SortStableFunc(s.Actions, func(a, b Action) int { return int(a.At - b.At) })
	return s
}

// split divides the nodes into two groups that are not empty.
func split(r *rand.Rand, m Mode) (string, string) {
	for {
		var g [2][]string
		for _, n := range m.Nodes {
			i := r.IntN(2)
			g[i] = append(g[i], n.Name)
		}
		if len(g[0]) > 0 && len(g[1]) > 0 {
			return strings.Join(g[0], ","), strings.Join(g[1], ",")
		}
	}
}
