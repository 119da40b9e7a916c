package electiontest

import (
	"time"

	"github.com/interlok-ha/interlok-ha/election"
)

type itemKind uint8

const (
	itemAction  itemKind = iota
	itemPacket           // arrives at node
	itemWake             // node's timer
	itemInput            // something else happens to node
	itemWorkEnd          // node's work has stopped as it was told to
	itemKill             // node's keeper looks whether the guard ran out
	itemResume           // node runs again
	itemStored           // node's state has reached the disk
	itemCall             // the node's cache does something
)

// item is something that will happen.
type item struct {
	at    time.Duration
	kind  itemKind
	node  int
	from  int
	boot  int // of the node's process; a later one does not get it
	n     uint64
	data  *datagram
	input election.Input
	state *election.State
	call  func()
}

// datagram is a packet on its way to some nodes. It is used again when the
// last of them has it.
type datagram struct {
	b    []byte
	refs int
}

// queue is a binary heap by time, then order of insertion. The heap holds
// small entries; the items stay in their slots.
type queue struct {
	heap  []entry
	items []item
	free  []int32
	order uint64
}

type entry struct {
	at    time.Duration
	order uint64
	slot  int32
}

func (a *entry) less(b *entry) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (q *queue) empty() bool { return len(q.heap) == 0 }

func (q *queue) push(it item) {
	var slot int32
	if n := len(q.free); n > 0 {
		slot = q.free[n-1]
		q.free = q.free[:n-1]
		q.items[slot] = it
	} else {
		slot = int32(len(q.items))
		q.items = append(q.items, it)
	}
	q.order++
	e := entry{at: it.at, order: q.order, slot: slot}
	h := append(q.heap, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if !e.less(&h[p]) {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
	q.heap = h
}

func (q *queue) pop() item {
	h := q.heap
	slot := h[0].slot
	n := len(h) - 1
	e := h[n]
	h = h[:n]
	for i := 0; n > 0; {
		c := 2*i + 1
		if c+1 < n && h[c+1].less(&h[c]) {
			c++
		}
		if c >= n || !h[c].less(&e) {
			h[i] = e
			break
		}
		h[i] = h[c]
		i = c
	}
	q.heap = h
	it := q.items[slot]
	q.items[slot] = item{}
	q.free = append(q.free, slot)
	return it
}
