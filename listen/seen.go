package listen

import "github.com/interlok-ha/interlok-ha/heartbeat"

// maxSeen is how many instances are remembered. A cluster is far smaller; the
// rest is for instances that have gone, so that their packets stay replays.
const maxSeen = 1024

// seen remembers the last sequence number of each instance. When it is full it
// forgets the instance that was silent for longest: a flood of new ones pushes
// out the dead, never those that are heard each delay. It is a ring of entries
// linked by age, all allocated at the start.
type seen struct {
	index   map[heartbeat.InstanceID]int
	entries []seenEntry // 0 is the ring's head: next is the newest, prev the oldest
}

type seenEntry struct {
	id         heartbeat.InstanceID
	seq        uint64
	next, prev int
}

func newSeen(size int) *seen {
	return &seen{index: make(map[heartbeat.InstanceID]int, size), entries: make([]seenEntry, 1, size+1)}
}

func (s *seen) last(id heartbeat.InstanceID) (seq uint64, known bool) {
	i, known := s.index[id]
	if !known {
		return 0, false
	}
	return s.entries[i].seq, true
}

func (s *seen) put(id heartbeat.InstanceID, seq uint64) {
	i, known := s.index[id]
	switch {
	case known:
		s.unlink(i)
	case len(s.entries) < cap(s.entries):
		i = len(s.entries)
		s.entries = append(s.entries, seenEntry{})
	default:
		i = s.entries[0].prev
		s.unlink(i)
		delete(s.index, s.entries[i].id)
	}
	s.index[id] = i
	newest := s.entries[0].next
	s.entries[i] = seenEntry{id: id, seq: seq, next: newest, prev: 0}
	s.entries[newest].prev = i
	s.entries[0].next = i
}

func (s *seen) unlink(i int) {
	e := s.entries[i]
	s.entries[e.prev].next, s.entries[e.next].prev = e.next, e.prev
}
