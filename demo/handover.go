package demo

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

// shown is how many messages of one hand-over the story tells of, one by one.
const shown = 12

// finding is a message that a new master found in flight.
type finding struct {
	ID   string `json:"id"`
	Step string `json:"step"`
}

// handOver is what one master left and the next one did with it.
type handOver struct {
	scene   int // index of the act
	to      *work
	found   []finding
	settled []shop.Settlement
}

// HandOver counts the messages of hand-overs, by what became of them.
type HandOver struct {
	// InFlight is how many the new master found begun and not ended; the next
	// five are what became of them.
	InFlight int `json:"inFlight"`
	// Anew had not been published, and were done from the start.
	Anew int `json:"anew"`
	// Again had an open publish, and were published again with the same id;
	// SinkHad of them were at the sink already.
	Again   int `json:"again"`
	SinkHad int `json:"sinkHad"`
	// Closed were published, and only the end of the workflow was missing.
	Closed int `json:"closed"`
	// Untold were handed to the old master when it could tell nobody any more.
	// The source hands them out again.
	Untold int `json:"untold"`
}

func (h *HandOver) add(o HandOver) {
	h.InFlight += o.InFlight
	h.Anew += o.Anew
	h.Again += o.Again
	h.SinkHad += o.SinkHad
	h.Closed += o.Closed
	h.Untold += o.Untold
}

// count sums a hand-over up.
func (h *handOver) count() HandOver {
	c := HandOver{InFlight: len(h.found), Untold: len(h.untold())}
	for _, s := range h.settled {
		switch s.Did {
		case shop.DidAll:
			c.Anew++
		case shop.DidPublish:
			c.Again++
			if s.Answer == shop.Repeat {
				c.SinkHad++
			}
		case shop.DidEnd:
			c.Closed++
		case shop.DidAck: // the cache had it as done
		}
	}
	return c
}

// untold are the orders that the source had handed out, and of which the new
// master did not know.
func (h *handOver) untold() (list []int) {
	for _, n := range h.to.open {
		id := strconv.Itoa(n)
		known := slices.ContainsFunc(h.found, func(f finding) bool { return f.ID == id }) ||
			slices.ContainsFunc(h.settled, func(s shop.Settlement) bool { return s.ID == id })
		if !known {
			list = append(list, n)
		}
	}
	return list
}

// complete reports whether all that was found is settled.
func (h *handOver) complete() bool {
	n := 0
	for _, s := range h.settled {
		if s.Did != shop.DidAck {
			n++
		}
	}
	return n >= len(h.found)
}

// faults are messages that were published of which the next master did not
// know, and repeats at the sink that no open publish explains.
func (p *play) handOverFaults() (list []string) {
	doubt := map[string]bool{}
	for _, h := range p.handOvers {
		for _, s := range h.settled {
			if s.Did == shop.DidPublish {
				doubt[s.ID] = true
			}
		}
	}
	books := p.world.sink.Books()
	for _, e := range books {
		if e.Verdict == shop.Repeat && !doubt[e.ID] {
			list = append(list, fmt.Sprintf("message %s was published twice, and its publish had not been open", e.ID))
		}
	}
	for _, h := range p.handOvers {
		for _, n := range h.untold() {
			id := strconv.Itoa(n)
			if slices.ContainsFunc(books, func(e shop.Entry) bool { return e.ID == id && e.Token < h.to.Token && e.Verdict == shop.Taken }) {
				list = append(list, fmt.Sprintf("message %d had been published, and %s did not know of it", n, h.to.Instance))
			}
		}
	}
	return list
}

// found hears what a new master found in flight, under the board's lock.
func (p *play) found(i *instance, list []finding) {
	k := p.workOf(i)
	if k == nil {
		return
	}
	h := &handOver{scene: len(p.scenes) - 1, to: k, found: list}
	p.handOvers = append(p.handOvers, h)
	if len(p.handOvers) == 1 {
		return
	}
	if len(list) == 0 {
		p.note(i.name, plain, "finds no message in flight")
		return
	}
	p.note(i.name, plain, "finds %s in flight", plural(len(list), "message"))
}

// settled hears what became of one of them, likewise.
func (p *play) settled(i *instance, s shop.Settlement) {
	if len(p.handOvers) == 0 || p.handOvers[len(p.handOvers)-1].to.Instance != i.name {
		return // it was deposed meanwhile
	}
	h := p.handOvers[len(p.handOvers)-1]
	h.settled = append(h.settled, s)
	n := len(h.settled)
	if n > shown {
		return
	}
	switch s.Did {
	case shop.DidAll:
		p.note(i.name, quiet, "  %s at %s: not published; done from the start", s.ID, s.Before)
	case shop.DidPublish:
		had := "taken, the sink lacked it"
		if s.Answer == shop.Repeat {
			had = "refused, the sink had it"
		}
		p.note(i.name, quiet, "  %s, publish open: published again; %s", s.ID, had)
	case shop.DidEnd:
		p.note(i.name, quiet, "  %s was published: only closed", s.ID)
	case shop.DidAck:
		p.note(i.name, quiet, "  %s was done: only acknowledged to the source", s.ID)
	}
	if n == shown && len(h.found) > shown {
		p.note(i.name, quiet, "  and so on")
	}
}

// workOf is the order processor of an instance that began last, if any.
func (p *play) workOf(i *instance) *work {
	for _, k := range slices.Backward(p.world.works) {
		if k.Instance == i.name {
			return k
		}
	}
	return nil
}
