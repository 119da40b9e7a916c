package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// span is one reign in the log's history.
type span struct {
	reign Reign
	from  uint64 // number of its first record
}

// maxHistory bounds the reigns that are remembered. Who was away for more of
// them needs a snapshot.
const maxHistory = 128

// replica is one copy of everything: the tables, the newest part of the log,
// and whose reigns it came from. Its owner's mutex guards it.
type replica struct {
	tables  []*table // first those of the configuration, in its order
	index   []*table // by the index in the log's records
	ring    ring
	history []span
	inStep  []InstanceID // by the last such record
	warm    uint64       // of no meaning: see batch
	adopted bool         // an orphan came since the owner last looked
}

func newReplica(cfg *Config) *replica {
	r := &replica{ring: ring{limit: cfg.RingBytes}}
	for _, s := range cfg.Caches {
		r.tables = append(r.tables, newTable(s))
	}
	return r
}

func (r *replica) named(name string) *table {
	for _, t := range r.tables {
		if t.spec.Name == name {
			return t
		}
	}
	return nil
}

// reign is the last one in the log.
func (r *replica) reign() Reign {
	if len(r.history) == 0 {
		return Reign{}
	}
	return r.history[len(r.history)-1].reign
}

func (r *replica) pos() Pos { return Pos{Epoch: r.reign().Epoch, N: r.ring.last} }

// began notes a reign whose first record is from.
func (r *replica) began(reign Reign, from uint64) {
	r.history = append(r.history, span{reign, from})
	if len(r.history) > maxHistory {
		r.history = slices.Clone(r.history[len(r.history)-maxHistory:]) // who marshals the old one goes on
	}
	r.inStep = nil
}

// wroteAt is the reign that record n belongs to.
func (r *replica) wroteAt(n uint64) Reign {
	for _, s := range slices.Backward(r.history) {
		if s.from <= n {
			return s.reign
		}
	}
	return Reign{}
}

// fork returns the last record that two logs have in common, given the reigns
// of both and the number of the last record of each. When no common reign is
// remembered it is 0, or, if both only forgot, less than it could be.
func fork(a []span, lastA uint64, b []span, lastB uint64) uint64 {
	end := func(h []span, i int, last uint64) uint64 {
		if i+1 < len(h) {
			return h[i+1].from - 1
		}
		return last
	}
	for i, s := range slices.Backward(a) {
		for j, o := range slices.Backward(b) {
			if s == o {
				return min(end(a, i, lastA), end(b, j, lastB))
			}
		}
	}
	return 0
}

// digest sums up the contents: equal copies have equal digests.
func (r *replica) digest() digest {
	d := digest{Pos: r.pos()}
	for i, t := range r.index {
		if t != nil && !t.partial {
			d.Count += t.logged
			d.Hash ^= rotate(t.hash, i)
		}
	}
	return d
}

// declare binds an index of the log to a table.
func (r *replica) declare(index uint8, name string, partial bool) error {
	if int(index) >= MaxCaches || int(index) > len(r.index) {
		return fmt.Errorf("%w: cache index %d", errMalformed, index)
	}
	t := r.named(name)
	if t == nil {
		if len(r.tables) >= 2*MaxCaches {
			return fmt.Errorf("%w: more than %d caches", errMalformed, 2*MaxCaches)
		}
		t = newTable(Spec{Name: string(append([]byte(nil), name...)), Eternal: true})
		r.tables = append(r.tables, t)
	}
	t.partial = t.partial || partial
	if int(index) == len(r.index) {
		r.index = append(r.index, t)
	} else {
		r.index[index] = t
	}
	return nil
}

// table returns the table of a record.
func (r *replica) table(index uint8) (*table, error) {
	if int(index) >= len(r.index) {
		return nil, fmt.Errorf("%w: cache index %d was not declared", errMalformed, index)
	}
	return r.index[index], nil
}

// apply performs record n, which may be older than what a snapshot brought.
func (r *replica) apply(rec *record, n uint64) error {
	switch rec.op {
	case opReign:
		if len(rec.key) != len(InstanceID{}) || len(rec.value) != 8 {
			return errMalformed
		}
		r.began(Reign{Epoch: binary.BigEndian.Uint64(rec.value), Instance: InstanceID(rec.key)}, n)
		return nil
	case opDeclare:
		return r.declare(rec.cache, rec.text(), len(rec.value) > 0 && rec.value[0]&1 != 0)
	case opInStep:
		ids, err := parseIDs(rec.value)
		r.inStep = ids
		return err
	}
	t, err := r.table(rec.cache)
	if err != nil {
		return err
	}
	switch rec.op {
	case OpPut, OpUpdate:
		if rec.hash == 0 { // its table was declared since
			rec.hash = hashOf(rec.text())
		}
		e := t.find(rec.hash, rec.text())
		if e == nil || e.n < n {
			t.set(e, rec.text(), rec.value, n, rec.created, rec.flags&flagInFlight != 0)
		}
	case OpRemove, OpEvict, OpExpire:
		if e := t.peek(rec.text()); e != nil && e.n < n {
			t.remove(e)
		}
	case OpOrphan:
		r.adopted = true
		return t.keepOrphan(rec, n)
	case opDropOrphan:
		t.dropOrphans(rec.text())
	default:
		return fmt.Errorf("%w: operation %d", errMalformed, rec.op)
	}
	return nil
}

// batch is how many records are looked at before the first of them is applied:
// the entries of all of them are fetched from memory at the same time, and not
// each when its turn comes.
const batch = 16

// fetch looks at the entries of a batch of records, and does nothing with them.
func (r *replica) fetch(recs []record) {
	var near [batch]*entry
	for i := range recs {
		if rec := &recs[i]; rec.op < OpOrphan && int(rec.cache) < len(r.index) {
			x := r.index[rec.cache].index
			rec.hash = hashOf(rec.text())
			near[i] = x.near(rec.hash)
		}
	}
	for _, e := range near {
		if e != nil && e.keySize > 0 {
			k := e.key()
			r.warm ^= e.n ^ uint64(k[len(k)-1])
		}
	}
}

// applyAll performs the count records in b, which follow the last one, and
// keeps them. After an error the replica is of no use any more.
func (r *replica) applyAll(b []byte, count uint64) error {
	rest, n := b, r.ring.last
	var recs [batch]record
	for left := count; left > 0; {
		some := recs[:min(left, batch)]
		left -= uint64(len(some))
		for i := range some {
			var err error
			if rest, err = some[i].parse(rest); err != nil {
				return err
			}
		}
		r.fetch(some)
		for i := range some {
			n++
			if err := r.apply(&some[i], n); err != nil {
				return err
			}
		}
	}
	if len(rest) > 0 {
		return errMalformed
	}
	r.ring.appendRaw(b, count)
	return nil
}

// holds reports whether the table holds exactly this value.
func (t *table) holds(key string, value []byte) bool {
	e := t.peek(key)
	return e != nil && bytes.Equal(e.value(), value)
}

func parseIDs(b []byte) ([]InstanceID, error) {
	if len(b)%16 != 0 {
		return nil, errMalformed
	}
	ids := make([]InstanceID, 0, len(b)/16)
	for ; len(b) > 0; b = b[16:] {
		ids = append(ids, InstanceID(b[:16]))
	}
	return ids, nil
}
