package demo

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// cut is the rule by which an instance drops the packets of some others, as if
// the network between them were broken. It also tells of each packet whose
// sender claims to reign. Safe for concurrent use.
type cut struct {
	names  atomic.Pointer[[]string] // whose packets are dropped; nil = nobody's
	reigns chan<- string            // names of senders; one is left out when it is full
}

// drop is node.Options.Drop.
func (c *cut) drop(_ netip.AddrPort, p *heartbeat.Packet) bool {
	if p.State.Reigns() {
		select {
		case c.reigns <- p.Name:
		default:
		}
	}
	names := c.names.Load()
	return names != nil && slices.Contains(*names, p.Name)
}

// order obeys "drop NAME,NAME" and "drop", which ends it; ok is false for
// anything else.
func (c *cut) order(line string) (names string, ok bool) {
	verb, names, _ := strings.Cut(line, " ")
	if verb != "drop" {
		return "", false
	}
	list := strings.FieldsFunc(names, func(r rune) bool { return r == ',' })
	c.names.Store(&list)
	return names, true
}
