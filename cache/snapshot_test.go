package cache

import (
	"slices"
	"testing"
)

// An orphan that is dropped while a snapshot is under way does not come back
// with what is left of the snapshot.
func TestOrphanDroppedDuringSnapshot(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(1)
	c := a.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := []string{"k0", "k1", "k2"}
	var all []lost
	for i, key := range keys { // each fills a frame
		all = append(all, lost{DefaultName, orphanID{key, Reign{Epoch: 1, Instance: InstanceID{9}}}, orphan{value: make([]byte, segmentSize*3/4), n: uint64(i + 1)}})
	}
	c.keep(all)

	c.mu.Unlock()
	f := &follower{c: c, instance: InstanceID{7}, wake: make(chan struct{}, 1)}
	w, err := c.admit(f, &hello{mode: modeFollow, anew: true})
	c.mu.Lock()
	delete(c.followers, f) // this test sends
	if err != nil {
		t.Fatal(err)
	}
	s := stream{building: newReplica(&c.cfg)}
	for i, d := range w.index {
		if err := s.building.declare(uint8(i), d.name, d.partial); err != nil {
			t.Fatal(err)
		}
	}
	s.building.ring.restart(w.base)
	var header [liveHeader + 24]byte
	chunk := make([]byte, 0, 4<<10)
	for dropped := false; ; {
		p, ok := f.next(header[:], &chunk, false, false)
		if !ok {
			t.Fatal("cut")
		}
		switch {
		case p == nil || p.kind == frameSnapped:
			want := c.own.named(DefaultName)
			got := s.building.named(DefaultName)
			if len(got.orphans) != 1 || len(want.orphans) != 1 {
				t.Errorf("the slave has %d orphans, the master %d; want 1", len(got.orphans), len(want.orphans))
			}
			return
		case p.kind == frameSnapshot:
			err = s.takeEntries(p.body)
			if !dropped { // the two that are not sent yet, or were just now
				dropped = true
				for _, key := range keys[1:] {
					c.own.ring.append(&record{op: opDropOrphan, cache: 0, key: bytesOf(key)})
					c.own.named(DefaultName).dropOrphans(key)
				}
			}
		case p.kind == frameLive:
			l, rest, e := parseLive(slices.Concat(p.header, p.body))
			if err = e; err == nil {
				err = s.building.applyAll(rest, l.count)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
