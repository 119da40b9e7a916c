package kill

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// Knowledge is what a new master knew of one message before it began to work.
type Knowledge uint8

// What can be known of a message, from nothing on.
const (
	Nothing   Knowledge = iota
	Begun               // in flight, and no publish of it was begun
	Open                // in flight, and a publish of it was begun: nobody told how it ended
	Published           // in flight, and a publish of it has ended
	Done                // its workflow has ended
)

// knowledge is what a message in flight tells.
func knowledge(m mirror.Message) Knowledge {
	known := Begun
	for _, s := range m.Steps {
		switch {
		case s.Publish() && s.Phase == profiler.Started:
			return Open
		case s.Publish() && s.Phase == profiler.Completed:
			known = Published
		}
	}
	return known
}

// Takeover is the report of a new master.
type Takeover struct {
	Token, Instance string
	Knows           map[string]Knowledge // by id
}

// Verdict is what the books and the reports come to.
type Verdict struct {
	Made, Published int // messages
	// Unknown counts messages that were published, and of which the next master
	// did not know that they may have been; Nothing those of them of which it
	// knew nothing at all.
	Unknown, Nothing int
	// Doubts counts messages that were published twice where the new master had
	// found the publish open; Twice those where it had not.
	Doubts, Twice int
	// Of a sink that goes by tokens and ids.
	Lost, TakenTwice, StaleTaken int

	Faults []string // the first of each kind, in words
}

// String is the verdict in one line.
func (v Verdict) String() string {
	return fmt.Sprintf("%d made, %d published; unknown to the next master %d (%d of them altogether); published twice after an open publish %d, else %d; lost %d, taken twice %d, stale taken %d",
		v.Made, v.Published, v.Unknown, v.Nothing, v.Doubts, v.Twice, v.Lost, v.TakenTwice, v.StaleTaken)
}

// judge goes through all that was handed to a sink, whatever it said, and the
// reports of the new masters. made is how many messages there are, from 1 on.
func judge(books []shop.Entry, takeovers []Takeover, made int) Verdict {
	v := Verdict{Made: made}
	takeovers = slices.SortedFunc(slices.Values(takeovers), func(a, b Takeover) int { return cmp.Compare(a.Token, b.Token) })
	fault := func(n *int, format string, a ...any) {
		if *n++; *n <= 3 {
			v.Faults = append(v.Faults, fmt.Sprintf(format, a...))
		}
	}
	// reign is the place among the takeovers of the one that wrote under a token.
	// A token may grow during a reign.
	reign := func(token string) int {
		n := len(takeovers) - 1
		for n >= 0 && takeovers[n].Token > token {
			n--
		}
		return n
	}

	tried := map[string][]int{} // id → reigns that published it, in order of time
	taken := map[string]int{}
	highest := ""
	for _, e := range books {
		tried[e.ID] = append(tried[e.ID], reign(e.Token))
		if e.Verdict == shop.Stale {
			continue
		}
		if e.Token < highest {
			fault(&v.StaleTaken, "message %s was taken under the old token %s", e.ID, e.Token)
		}
		highest = max(highest, e.Token)
		if e.Verdict == shop.Taken {
			taken[e.ID]++
		}
	}
	v.Published = len(tried)
	for n := 1; n <= made; n++ {
		id := strconv.Itoa(n)
		switch got := taken[id]; {
		case got == 0:
			fault(&v.Lost, "message %s is lost", id)
		case got > 1:
			fault(&v.TakenTwice, "message %s was taken %d times", id, got)
		}
		reigns := tried[id]
		if len(reigns) == 0 {
			continue
		}
		unknown, nothing, doubt, twice := false, false, false, false
		for _, r := range reigns {
			if r+1 >= len(takeovers) || r < 0 {
				continue
			}
			switch takeovers[r+1].Knows[id] {
			case Nothing:
				unknown, nothing = true, true
			case Begun:
				unknown = true
			}
		}
		slices.Sort(reigns)
		for i := 1; i < len(reigns); i++ {
			if r := reigns[i]; r != reigns[i-1] && r >= 0 && takeovers[r].Knows[id] == Open {
				doubt = true
			} else {
				twice = true
			}
		}
		if unknown {
			fault(&v.Unknown, "message %s was published, and %s did not know (nothing at all: %v)", id, takeovers[reigns[0]+1].Instance, nothing)
		}
		if nothing {
			v.Nothing++
		}
		if doubt {
			v.Doubts++
		}
		if twice {
			fault(&v.Twice, "message %s was published in the reigns %v, and no open publish was reported", id, reigns)
		}
	}
	return v
}
