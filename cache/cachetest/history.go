package cachetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/interlok-ha/interlok-ha/cache"
)

// reign is what one master wrote under one token, and on top of what.
type reign struct {
	of      cache.Reign
	parent  *reign // nil: the empty log
	base    uint64 // the last record of the parent that it builds on
	records []cache.Change
	unsure  bool // it was not surely in step with the last master: synchronous puts may be lost
	holes   bool // its watcher fell behind: not all records are known
}

func (r *reign) String() string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d/%.2x", r.of.Epoch, r.of.Instance[:2])
}

// point is a position in the tree of all logs.
type point struct {
	r *reign
	n uint64
}

func (p point) String() string { return fmt.Sprintf("%v:%d", p.r, p.n) }

// contains reports whether the log up to p begins with the log up to q.
func (p point) contains(q point) bool {
	if q.n == 0 {
		return true
	}
	for r, n := p.r, p.n; r != nil; r, n = r.parent, min(n, r.base) {
		if r == q.r {
			return q.n <= n
		}
		if q.r != nil && r.parent == q.r && q.n <= min(n, r.base) {
			return true
		}
	}
	return false
}

// fork is the number of the last record that two logs have in common.
func fork(p, q point) uint64 {
	limits := map[*reign]uint64{}
	for r, n := p.r, p.n; r != nil; r, n = r.parent, min(n, r.base) {
		limits[r] = n
	}
	for r, n := q.r, q.n; r != nil; r, n = r.parent, min(n, r.base) {
		if limit, ok := limits[r]; ok {
			return min(limit, n)
		}
	}
	return 0
}

// wrote is the reign of record n of the log up to p.
func (p point) wrote(n uint64) *reign {
	r := p.r
	for r != nil && n <= r.base {
		r = r.parent
	}
	return r
}

// whole reports whether all records of the log up to p are known.
func (p point) whole() bool {
	for r := p.r; r != nil; r = r.parent {
		if r.holes {
			return false
		}
	}
	return true
}

// item is an entry as it should be.
type item struct {
	value    []byte
	n        uint64
	inFlight bool
}

// content is what a copy should hold: by cache, by key.
type content map[string]map[string]item

// content is the reference: the map that all records up to p give.
func (p point) content() (content, error) {
	return advance(content{}, 0, p)
}

// advance applies what lies between record n, which c is at, and p.
func advance(c content, n uint64, p point) (content, error) {
	var chain []point
	for r, last := p.r, p.n; r != nil && last > n; r, last = r.parent, min(last, r.base) {
		chain = append(chain, point{r, last})
	}
	for _, q := range slices.Backward(chain) {
		from := max(n, q.r.base)
		i, _ := slices.BinarySearchFunc(q.r.records, from+1, func(ch cache.Change, n uint64) int {
			return int(int64(ch.N - n))
		})
		for _, ch := range q.r.records[i:] {
			if ch.N > q.n {
				break
			}
			if err := c.apply(&ch); err != nil {
				return c, fmt.Errorf("record %d of %v: %w", ch.N, q.r, err)
			}
		}
	}
	return c, nil
}

func (c content) apply(ch *cache.Change) error {
	table := c[ch.Cache]
	if table == nil {
		table = map[string]item{}
		c[ch.Cache] = table
	}
	old, ok := table[ch.Key]
	switch ch.Op {
	case cache.OpPut, cache.OpUpdate:
		table[ch.Key] = item{ch.Value, ch.N, ch.InFlight}
	case cache.OpEvict, cache.OpExpire:
		if ok && old.inFlight {
			return fmt.Errorf("%s of %q, which is in flight", opName(ch.Op), ch.Key)
		}
		fallthrough
	case cache.OpRemove:
		if !ok && ch.Op != cache.OpRemove { // a synchronous cache writes each removal down
			return fmt.Errorf("%s of %q, which is not there", opName(ch.Op), ch.Key)
		}
		delete(table, ch.Key)
	case cache.OpOrphan: // compared by themselves
	default:
		return fmt.Errorf("unknown operation %d", ch.Op)
	}
	return nil
}

func opName(op cache.Op) string {
	return [...]string{"nothing", "put", "update", "removal", "eviction", "expiry", "orphan"}[min(op, cache.OpOrphan)]
}

// differ tells the first difference between a copy and what it should be.
func differ(named *cache.Named, want map[string]item) string {
	wrong, seen := "", 0
	named.List("", 0, func(e *cache.Entry) bool {
		seen++
		w, ok := want[e.Key]
		switch {
		case wrong != "":
		case !ok:
			wrong = fmt.Sprintf("%q = %s (record %d) should not be there", e.Key, brief(e.Value), e.N)
		case e.N != w.n || !bytes.Equal(e.Value, w.value) || e.InFlight != w.inFlight:
			wrong = fmt.Sprintf("%q = %s (record %d, in flight %v), want %s (record %d, in flight %v)",
				e.Key, brief(e.Value), e.N, e.InFlight, brief(w.value), w.n, w.inFlight)
		}
		return false
	})
	if wrong == "" && seen != len(want) {
		wrong = fmt.Sprintf("%d entries, want %d", seen, len(want))
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if _, ok := named.Get(key); !ok {
				wrong = fmt.Sprintf("%q = %s (record %d, in flight %v) is missing", key, brief(want[key].value), want[key].n, want[key].inFlight)
			}
		}
	}
	return wrong
}

// brief is a value without its padding.
func brief(value []byte) string {
	if i := bytes.IndexByte(value, ' '); i >= 0 {
		value = value[:i]
	}
	return string(value)
}
