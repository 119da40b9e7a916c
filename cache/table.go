package cache

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// table is one named cache: an LRU of what is finished, and beside it what is
// in flight, which is never evicted and never expires. Its owner's mutex
// guards it.
//
// To move an entry to the front of a list at each use costs as much as all the
// rest of it. So a use only leaves a number, and the order is put right where
// it matters: at the end of the list, when something is evicted.
type table struct {
	spec     Spec
	partial  bool // by the log: some of it stays on the master, copies may differ
	index    *index
	lru      *simplelru.LRU[*entry, struct{}] // what is finished
	late     late                             // what is finished, and was used after it came to the list
	touches  uint64                           // uses so far
	inFlight map[string]*entry
	slots    []*entry // all entries in no order: a walk that survives changes
	bytes    int64
	hash     uint64 // of the numbers of all entries in the log, in no order
	logged   uint64 // their count
	orphans  map[orphanID]*orphan
	origins  map[string][]Reign // of the orphans, by key
	wheel    map[int64][]*entry // by the tick in which they may expire
	dead     int                // entries that stand there still and are removed
	swept    int64              // last tick that was looked at
}

// wheelTick is how exact expiry is, in ms.
const wheelTick = 100

func newTable(spec Spec) *table {
	lru, err := simplelru.NewLRU[*entry, struct{}](math.MaxInt, nil) // the bound is ours: an eviction is a record
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &table{
		spec: spec, index: new(index), lru: lru, inFlight: map[string]*entry{}, orphans: map[orphanID]*orphan{}, origins: map[string][]Reign{}, wheel: map[int64][]*entry{},
	}
}

// mix spreads a record's number over 64 bits, so that XOR over all entries
// tells two sets apart (the finaliser of SplitMix64).
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// peek finds an entry and leaves its place among the others.
func (t *table) peek(key string) *entry { return t.index.get(key) }

func (t *table) len() int { return len(t.slots) }

// get finds an entry and notes that it was used.
func (t *table) get(key string) *entry { return t.find(hashOf(key), key) }

// find is get for who knows the key's hash.
func (t *table) find(hash uint64, key string) *entry {
	e := t.index.find(hash, key)
	if e != nil {
		t.touches++
		e.touched, e.reused = t.touches, true
	}
	return e
}

func (t *table) count(n uint64) {
	if n != 0 {
		t.hash ^= mix(n)
		t.logged++
	}
}

func (t *table) discount(n uint64) {
	if n != 0 {
		t.hash ^= mix(n)
		t.logged--
	}
}

// set writes an entry; old is what get found. The entry may then be another one.
func (t *table) set(old *entry, key string, value []byte, n uint64, created int64, inFlight bool) *entry {
	e := old
	if e == nil {
		e = newEntry(key, len(value))
		e.slot, e.inFlight = int32(len(t.slots)), inFlight
		t.slots = append(t.slots, e)
		t.bytes += int64(len(key))
		t.index.add(e)
		t.enlist(e)
		e.touched = t.touches
	} else {
		t.discount(e.n)
		t.bytes -= int64(e.size)
		if e.inFlight != inFlight {
			t.pin(e, inFlight)
		}
		if !e.fits(len(value)) {
			e = t.move(e, len(value))
		}
	}
	e.setValue(value)
	t.bytes += int64(len(value))
	e.n, e.created, e.used = n, created, created
	t.count(n)
	t.schedule(e)
	return e
}

// move puts an entry that was used just now into memory with room for a value.
func (t *table) move(e *entry, room int) *entry {
	m := newEntry(e.key(), room)
	m.slot, m.inFlight, m.touched = e.slot, e.inFlight, e.touched
	t.slots[m.slot] = m
	t.index.replace(e, m)
	t.delist(e)
	t.enlist(m)
	t.forget(e)
	return m
}

// enlist puts an entry where its kind is found.
func (t *table) enlist(e *entry) {
	if e.inFlight {
		t.inFlight[e.key()] = e
	} else {
		t.front(e)
	}
}

func (t *table) delist(e *entry) {
	switch {
	case e.inFlight:
		delete(t.inFlight, e.key())
	case e.late:
		t.late.drop(e)
	default:
		t.lru.Remove(e)
	}
}

// front makes a finished entry the first in the list. Without a bound nothing
// is evicted, and there is no list.
func (t *table) front(e *entry) {
	t.touches++
	e.reused = false
	if t.spec.MaxEntries > 0 {
		t.lru.Add(e, struct{}{})
	}
}

func (t *table) pin(e *entry, inFlight bool) {
	t.delist(e)
	e.inFlight = inFlight
	t.enlist(e)
}

// remove takes an entry out.
func (t *table) remove(e *entry) {
	t.delist(e)
	t.index.remove(e)
	last := len(t.slots) - 1
	moved := t.slots[last]
	t.slots[e.slot] = moved
	moved.slot = e.slot
	t.slots[last] = nil
	t.slots = t.slots[:last]
	t.forget(e)
	t.bytes -= int64(e.keySize) + int64(e.size)
	t.discount(e.n)
}

// lookBack is how many entries an eviction looks at, at most: it holds the lock.
const lookBack = 1000

// overfull returns the least recently used entry if there are too many. What
// was used after it came to the list waits for its turn in t.late. After many
// such uses it is the least of those that were looked at so far.
func (t *table) overfull() *entry {
	if t.spec.MaxEntries == 0 || t.lru.Len()+t.late.live <= t.spec.MaxEntries {
		return nil
	}
	for range lookBack {
		e, _, ok := t.lru.GetOldest()
		if !ok || !e.reused {
			break
		}
		t.lru.Remove(e)
		t.late.add(e)
	}
	e, _, ok := t.lru.GetOldest()
	if l := t.late.least(); !ok || l != nil && l.touched < e.touched {
		return l
	}
	return e
}

// expires is when the entry expires, in ms of the log's clock.
func (t *table) expires(e *entry) int64 {
	at := int64(math.MaxInt64)
	if t.spec.Eternal || e.inFlight {
		return at
	}
	if d := t.spec.TimeToLive; d > 0 {
		at = e.created + d.Milliseconds()
	}
	if d := t.spec.TimeToIdle; d > 0 {
		at = min(at, e.used+d.Milliseconds())
	}
	return at
}

// expired reports whether the entry's time is over at now.
func (t *table) expired(e *entry, now int64) bool { return now >= t.expires(e) }

// schedule puts the entry into the wheel, once.
func (t *table) schedule(e *entry) {
	if e.due || t.spec.Eternal {
		return
	}
	if at := t.expires(e); at != math.MaxInt64 {
		e.due = true
		tick := max(at/wheelTick, t.swept) + 1
		t.wheel[tick] = append(t.wheel[tick], e)
	}
}

// forget notes that an entry is removed. The wheel holds it until its turn
// comes, or until most of what it holds is removed.
func (t *table) forget(e *entry) {
	e.slot = -1
	if !e.due {
		return
	}
	if t.dead++; t.dead <= len(t.slots)+wheelSlack {
		return
	}
	t.dead = 0
	for tick, due := range t.wheel {
		due = slices.DeleteFunc(due, func(e *entry) bool { return e.slot < 0 })
		if len(due) == 0 {
			delete(t.wheel, tick)
		} else {
			t.wheel[tick] = slices.Clip(due)
		}
	}
}

// wheelSlack is how many removed entries the wheel may hold beside as many as
// there are living ones.
const wheelSlack = 64

// sweep calls expire for each entry whose time is over. On a slave expire is
// nil: the entry stays until the master says that it expired.
func (t *table) sweep(now int64, expire func(*entry)) {
	until := now / wheelTick
	if len(t.wheel) == 0 {
		t.swept = until
		return
	}
	if until-t.swept > int64(len(t.wheel)) { // after a jump of the clock
		for tick := range t.wheel {
			if tick <= until {
				t.sweepTick(tick, now, expire)
			}
		}
	} else {
		for tick := t.swept + 1; tick <= until; tick++ {
			t.sweepTick(tick, now, expire)
		}
	}
	t.swept = until
}

func (t *table) sweepTick(tick, now int64, expire func(*entry)) {
	due := t.wheel[tick]
	delete(t.wheel, tick)
	for _, e := range due {
		e.due = false
		switch {
		case e.slot < 0:
			t.dead--
		case !t.expired(e, now):
			t.schedule(e)
		case expire != nil:
			expire(e)
		default: // asked again in a second
			e.due = true
			later := max(tick, now/wheelTick) + int64(time.Second/time.Millisecond)/wheelTick
			t.wheel[later] = append(t.wheel[later], e)
		}
	}
}

// copyOf is a copy for a caller.
func (t *table) copyOf(e *entry, now int64) Entry {
	return Entry{
		Key: e.key(), Value: append([]byte(nil), e.value()...), N: e.n,
		Age: time.Duration(max(0, now-e.created)) * time.Millisecond, InFlight: e.inFlight,
	}
}

// rotate keeps an XOR of tables from cancelling out.
func rotate(hash uint64, index int) uint64 { return bits.RotateLeft64(hash, index%64) }
