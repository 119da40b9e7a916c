package election

import (
	"bytes"
	"cmp"
	"math"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func compareID(a, b heartbeat.InstanceID) int { return bytes.Compare(a[:], b[:]) }

// token is the fencing token: the only order between two masters.
type token struct {
	epoch    uint64
	instance heartbeat.InstanceID
}

// outranks reports whether t wins against u.
func (t token) outranks(u token) bool {
	if t.epoch != u.epoch {
		return t.epoch > u.epoch
	}
	return compareID(t.instance, u.instance) > 0
}

// key is K of PROTOCOL.md §5: who should claim. The lower wins.
type key struct {
	heir     bool // the one a resignation names goes first
	sure     bool // surely in step with the last master's log
	position uint16
	n        uint64
	instance heartbeat.InstanceID
}

func compareKey(a, b key) int {
	return cmp.Or(
		-compareBool(a.heir, b.heir),
		-compareBool(a.sure, b.sure),
		cmp.Compare(place(a.position), place(b.position)),
		-cmp.Compare(a.n, b.n),
		compareID(a.instance, b.instance),
	)
}

// place puts those without a position last.
func place(position uint16) int {
	if position == 0 {
		return math.MaxInt
	}
	return int(position)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (m *Machine) ownKey() key {
	return key{sure: m.sure(), position: m.cfg.Position, n: m.log.N, instance: m.cfg.Self}
}

func peerKey(p *peer) key {
	return key{sure: p.flags.Has(heartbeat.FlagSure), position: p.pos, n: p.log.N, instance: p.id}
}

// claimKey is the key that a claim carries.
func claimKey(p *heartbeat.Packet) key {
	return key{
		heir:     !p.Resigned.Heir.IsZero() && p.Resigned.Heir == p.Instance,
		sure:     p.Flags.Has(heartbeat.FlagSure),
		position: p.Order.Position, n: p.Order.N, instance: p.Instance,
	}
}

// rank is how many peers should claim before this instance.
func (m *Machine) rank() int {
	n, own := 0, m.ownKey()
	for _, p := range m.peers {
		k := peerKey(p)
		k.sure = k.sure || own.sure // who heard of the death a moment later has not told yet
		if m.confirmed(p) && eligible(p) && p.id != m.follow.Instance && compareKey(k, own) < 0 {
			n++
		}
	}
	return n
}
