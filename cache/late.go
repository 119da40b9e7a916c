package cache

import "container/heap"

// late holds the entries that were used after they came to the list of their
// table, the least recently used first. It is put right when it is asked.
type late struct {
	heap lateHeap
	live int // entries in it; the others were removed since, or are in flight again
}

type lateItem struct {
	e  *entry
	at uint64 // e.touched when it was looked at
}

func (l *late) add(e *entry) {
	e.late = true
	l.live++
	heap.Push(&l.heap, lateItem{e, e.touched})
}

// drop forgets an entry. Its place stays until it comes first, or until there
// are more of those than entries.
func (l *late) drop(e *entry) {
	e.late = false
	if l.live--; len(l.heap) <= 2*l.live+lookBack {
		return
	}
	var kept lateHeap
	for _, i := range l.heap {
		if i.e.late {
			i.e.late = false // once is enough
			kept = append(kept, i)
		}
	}
	for _, i := range kept {
		i.e.late = true
	}
	l.heap = kept
	heap.Init(&l.heap)
}

// least is the least recently used entry, or nil. If more than lookBack were
// used since they were looked at, it is one of them.
func (l *late) least() *entry {
	for used := 0; len(l.heap) > 0; {
		switch first := &l.heap[0]; {
		case !first.e.late:
			heap.Pop(&l.heap)
		case first.at == first.e.touched || used == lookBack:
			return first.e
		default:
			first.at = first.e.touched
			heap.Fix(&l.heap, 0)
			used++
		}
	}
	return nil
}

// lateHeap is for container/heap.
type lateHeap []lateItem

func (h lateHeap) Len() int           { return len(h) }
func (h lateHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h lateHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *lateHeap) Push(x any)        { *h = append(*h, x.(lateItem)) }
func (h *lateHeap) Pop() any {
	last := len(*h) - 1
	i := (*h)[last]
	(*h)[last] = lateItem{}
	*h = (*h)[:last]
	return i
}
