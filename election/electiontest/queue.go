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
	itemKill             // node's keeper kills the work: nobody fed it
	itemResume           // node runs again
	itemStored           // node's state has reached the disk
)

// item is something that will happen.
type item struct {
	at    time.Duration
	order uint64 // of insertion: breaks ties
	kind  itemKind
	node  int
	from  int
	boot  int // of the node's process; a later one does not get it
	n     uint64
	data  []byte
	input election.Input
	state *election.State
}

// queue is a binary heap by time, then order.
type queue []item

func (q queue) less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}

func (q *queue) push(it item) {
	h := append(*q, it)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if !h.less(i, p) {
			break
		}
		h[i], h[p] = h[p], h[i]
		i = p
	}
	*q = h
}

func (q *queue) pop() item {
	h := *q
	it := h[0]
	n := len(h) - 1
	h[0] = h[n]
	h[n] = item{}
	h = h[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	*q = h
	return it
}
