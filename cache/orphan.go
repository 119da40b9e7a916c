package cache

import (
	"encoding/binary"
	"slices"
)

// An orphan is an entry that only a deposed master had. Its record's value
// begins with where it came from: epoch 8, instance 16, number 8, flags 1.
const orphanHeader = 33

// maxOrphans bounds the orphans of one table; beyond it the master says what
// it refuses.
const maxOrphans = 100_000

type orphanID struct {
	key   string
	reign Reign
}

type orphan struct {
	value    []byte
	n        uint64 // in the deposed master's log
	kept     uint64 // the record that keeps it; 0: not known
	created  int64
	inFlight bool
}

// orphanRecord is the record that keeps an orphan.
func orphanRecord(cache uint8, id orphanID, o *orphan) record {
	v := make([]byte, orphanHeader, orphanHeader+len(o.value))
	binary.BigEndian.PutUint64(v, id.reign.Epoch)
	copy(v[8:], id.reign.Instance[:])
	binary.BigEndian.PutUint64(v[24:], o.n)
	if o.inFlight {
		v[32] = flagInFlight
	}
	return record{op: OpOrphan, cache: cache, created: o.created, key: []byte(id.key), value: append(v, o.value...)}
}

func parseOrphan(rec *record) (orphanID, *orphan, error) {
	v := rec.value
	if len(v) < orphanHeader {
		return orphanID{}, nil, errMalformed
	}
	id := orphanID{string(rec.key), Reign{binary.BigEndian.Uint64(v), InstanceID(v[8:24])}}
	return id, &orphan{
		n: binary.BigEndian.Uint64(v[24:]), inFlight: v[32]&flagInFlight != 0,
		created: rec.created, value: append([]byte(nil), v[orphanHeader:]...),
	}, nil
}

// keepOrphan performs record n.
func (t *table) keepOrphan(rec *record, n uint64) error {
	id, o, err := parseOrphan(rec)
	if err != nil {
		return err
	}
	o.kept = n
	if old := t.orphans[id]; old == nil && len(t.orphans) < maxOrphans || old != nil && old.n < o.n {
		if old == nil {
			t.origins[id.key] = append(t.origins[id.key], id.reign)
		}
		t.orphans[id] = o
	}
	return nil
}

func compareOrphans(a, b *orphan) int {
	if a.n < b.n {
		return -1
	}
	return 1
}

func (t *table) dropOrphans(key string) {
	for _, reign := range t.origins[key] {
		delete(t.orphans, orphanID{key, reign})
	}
	delete(t.origins, key)
}

// lost is what a replica holds that another one, which takes its place, does
// not: entries and orphans after the fork. What was there before it and is not
// any more was removed, or dropped.
type lost struct {
	table string
	id    orphanID
	orphan
}

// compare lists what r holds behind the record forked and newer does not hold.
func (r *replica) compare(newer *replica, forked uint64) []lost {
	var all []lost
	for _, t := range r.tables {
		o := newer.named(t.spec.Name)
		for _, e := range t.slots {
			if e.n > forked && (o == nil || !o.holds(e.key(), e.value())) {
				all = append(all, lost{t.spec.Name, orphanID{e.key(), r.wroteAt(e.n)},
					orphan{value: append([]byte(nil), e.value()...), n: e.n, created: e.created, inFlight: e.inFlight}})
			}
		}
		for id, orp := range t.orphans {
			if (orp.kept == 0 || orp.kept > forked) && (o == nil || o.orphans[id] == nil || o.orphans[id].n < orp.n) {
				all = append(all, lost{t.spec.Name, id, *orp})
			}
		}
	}
	slices.SortFunc(all, func(a, b lost) int { return compareOrphans(&a.orphan, &b.orphan) })
	return all
}
