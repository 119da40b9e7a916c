package node

import (
	"sync"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// counts counts the election's events for the metrics.
type counts struct {
	mu       sync.Mutex // guards all below
	promoted map[string]uint64
	demoted  map[string]uint64
	events   map[string]uint64

	claim    string // why this instance claims
	reigning bool   // opened, and its end not counted yet
	followed bool   // somebody has been followed before
	last     struct {
		instance heartbeat.InstanceID
		epoch    uint64
	}
}

// The causes of a change of master. Those of another instance's claim are not
// told to us.
const (
	byAnother = "another"
	byOther   = "other"
	bySilence = "silence"
	byStart   = "start" // nobody had been heard that could fall silent
)

// claimCauses are the words for what the election says when it claims.
var claimCauses = map[string]string{
	"the master fell silent":    bySilence,
	"the master resigned":       "resignation",
	"the master is dead":        "obituary",
	"ordered by an operator":    "operator",
	"the master's host refuses": "refusal",

	"position 1, and no master is heard":         bySilence,
	"the instance that it gave way to is silent": bySilence,
	"by order": "operator",
}

// endCauses are the words for what it says when a reign ends.
var endCauses = map[string]string{
	"switchover":                              "switchover",
	"asked by an operator":                    "switchover",
	"drained":                                 "drain",
	"stops":                                   "stop",
	"the health check fails":                  "health",
	"the command fails too often":             "workload",
	"the work fails too often":                "workload",
	"the keeper does not answer":              "keeper",
	"the cache does not accept this reign":    "cache",
	"the lease ran out":                       "lease",
	"the lease ran out while opening":         "lease",
	"late while opening":                      "lease",
	"isolated":                                "isolated",
	"another master outranks this one":        "conflict",
	"the other master does not hear this one": "conflict",
}

func newCounts() *counts {
	return &counts{promoted: map[string]uint64{}, demoted: map[string]uint64{}, events: map[string]uint64{}}
}

// wordFor is the word for a text, so that there are few of them.
func wordFor(causes map[string]string, text string) string {
	if word := causes[text]; word != "" {
		return word
	}
	return byOther
}

// put takes in an event of the election. It does not block.
func (c *counts) put(e election.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events[e.Type.String()]++
	switch e.Type {
	case election.EventState:
		if e.State == heartbeat.StateClaiming {
			c.claims(e.Detail)
		}
	case election.EventPromoting:
		c.claims(e.Detail)
	case election.EventOpened:
		if c.claim == "" {
			c.claim = byOther
		}
		c.promoted[c.claim]++
		c.claim, c.reigning, c.followed = "", true, true
		c.last.instance, c.last.epoch = heartbeat.InstanceID{}, 0
	case election.EventStopWork, election.EventLost:
		if c.reigning {
			c.reigning = false
			c.demoted[wordFor(endCauses, e.Detail)]++
		}
	case election.EventMaster:
		if e.Peer.IsZero() || e.Peer == c.last.instance && e.Epoch == c.last.epoch {
			break
		}
		if c.followed { // the first one that is heard reigned before
			c.promoted[byAnother]++
		}
		c.followed = true
		c.last.instance, c.last.epoch = e.Peer, e.Epoch
	}
}

// claims notes why this instance claims, or in the 3.3 design promotes itself.
func (c *counts) claims(why string) {
	if c.claim = wordFor(claimCauses, why); c.claim == bySilence && !c.followed {
		c.claim = byStart
	}
}
