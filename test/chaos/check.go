package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

// beat is one line of a command's journal: it ran at that time, on the clock
// that all share.
type beat struct {
	Start       bool
	Name, Token string
	PID         int
	At          time.Duration
}

// parseBeat reads a line.
func parseBeat(line string) (b beat, err error) {
	w := strings.Split(strings.TrimRight(line, " \n"), " ")
	if len(w) != 5 {
		return b, fmt.Errorf("%d words, want 5", len(w))
	}
	pid, err := strconv.Atoi(w[3])
	if err != nil {
		return b, err
	}
	ns, err := strconv.ParseInt(w[4], 10, 64)
	return beat{w[0] == "start", w[1], w[2], pid, time.Duration(ns)}, err
}

// stretch is a time, of an instance where that matters.
type stretch struct {
	Name     string
	From, To time.Duration
}

// overlaps are the times that lie in both lists, of the same instance.
func overlaps(a, b []stretch) (both []stretch) {
	for _, x := range a {
		for _, y := range b {
			if s := (stretch{x.Name, max(x.From, y.From), min(x.To, y.To)}); x.Name == y.Name && s.From <= s.To {
				both = append(both, s)
			}
		}
	}
	return both
}

// record is all that a play left behind.
type record struct {
	Quorum bool
	Beats  []beat
	Calm   []stretch // all is whole, one master reigns, nothing is done to it
	// Unguarded are times in which an instance had neither node nor keeper
	// at work, until they had been seen to work, or to be gone, again.
	Unguarded []stretch
	Books     []shop.Entry
	Made      int // orders, from 1 on
}

// run is what one process of a command did.
type run struct {
	Name, Token string
	PID         int
	From, To    time.Duration
}

// judge tells what is wrong, in words.
func judge(r record) (faults []string) {
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	runs := runsOf(r.Beats)
	unguarded := func(x run, at time.Duration) bool {
		return slices.ContainsFunc(r.Unguarded, func(s stretch) bool { return s.Name == x.Name && s.From <= at && at <= s.To })
	}
	owner := map[string]string{}
	for i, a := range runs {
		if o, ok := owner[a.Token]; ok && o != a.Name {
			fault("token %s is of %s and of %s", a.Token, o, a.Name)
		}
		owner[a.Token] = a.Name
		for _, b := range runs[i+1:] {
			if !r.Quorum {
				continue
			}
			if b.From <= a.To && !unguarded(a, b.From) && !unguarded(b, b.From) {
				fault("two commands at once: %s (process %d, token %s) until %v, %s (process %d, token %s) from %v: %v together",
					a.Name, a.PID, a.Token, a.To, b.Name, b.PID, b.Token, b.From, min(a.To, b.To)-b.From)
			}
			if epoch(b.Token) < epoch(a.Token) || epoch(b.Token) == epoch(a.Token) && b.Name != a.Name {
				fault("%s began under %s after %s under %s", b.Name, b.Token, a.Name, a.Token)
			}
		}
	}
	for _, c := range r.Calm {
		who := map[string]bool{}
		for _, b := range r.Beats {
			if c.From <= b.At && b.At <= c.To {
				who[fmt.Sprintf("%s (process %d, token %s)", b.Name, b.PID, b.Token)] = true
			}
		}
		if len(who) != 1 {
			var list []string
			for w := range who {
				list = append(list, w)
			}
			slices.Sort(list)
			fault("in the calm from %v to %v %d commands ran, want 1: %s", c.From, c.To, len(who), strings.Join(list, ", "))
		}
	}

	highest := ""
	taken := map[string]int{}
	for _, e := range r.Books {
		if e.Verdict == shop.Stale {
			continue
		}
		if e.Token < highest {
			fault("message %s was taken under the old token %s", e.ID, e.Token)
		}
		highest = max(highest, e.Token)
		if e.Verdict == shop.Taken {
			taken[e.ID]++
		}
	}
	for n := 1; n <= r.Made; n++ {
		if got := taken[strconv.Itoa(n)]; got != 1 {
			fault("message %d was taken %d times", n, got)
		}
	}
	return faults
}

// epoch is the part of a token that grows.
func epoch(token string) string {
	e, _, _ := strings.Cut(token, "-")
	return e
}

// runsOf puts the beats of each process together, in order of their starts.
func runsOf(beats []beat) []run {
	last := map[int]int{} // PID → place
	var runs []run
	for _, b := range beats {
		at, ok := last[b.PID]
		if !ok || b.Start { // a PID may come again
			last[b.PID] = len(runs)
			runs = append(runs, run{b.Name, b.Token, b.PID, b.At, b.At})
			continue
		}
		runs[at].To = b.At
	}
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(a.From, b.From) })
	return runs
}
