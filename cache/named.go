package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Named is one named cache. Its methods may be called from any goroutine.
type Named struct {
	c *Cache
	i int // index of its table
}

// Named returns the cache of that name.
func (c *Cache) Named(name string) (*Named, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range c.own.tables {
		if t.spec.Name == name {
			return &Named{c, i}, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
}

// Names are the names of all caches, those of the configuration first.
func (c *Cache) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, len(c.own.tables))
	for i, t := range c.own.tables {
		names[i] = t.spec.Name
	}
	return names
}

// Spec is the cache's configuration on this instance.
func (n *Named) Spec() Spec {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	return n.table().spec
}

// Len is the number of entries.
func (n *Named) Len() int {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	return n.table().len()
}

// table is the table; a snapshot replaces all of them, in the same order.
func (n *Named) table() *table {
	if n.i < len(n.c.own.tables) {
		return n.c.own.tables[n.i]
	}
	return newTable(Spec{Name: DefaultName, Eternal: true}) // known to the last master only, and gone
}

// Put writes an entry; an entry in flight is finished by it. In a synchronous
// cache it returns when every slave in step holds the entry. Errors:
// [ErrNotMaster], [ErrTooLarge], and ctx's, after which the entry may be there
// or not.
func (n *Named) Put(ctx context.Context, key string, value []byte) error {
	_, g, err := n.write(ctx, key, value, false, true)
	return g.result(ctx, err)
}

// PutInFlight writes an entry that is neither evicted nor expires until it is
// put again with Put, or removed. If too many are in flight, a new one waits
// until ctx ends; the error is then [ErrFull] joined with ctx's.
func (n *Named) PutInFlight(ctx context.Context, key string, value []byte) error {
	_, g, err := n.write(ctx, key, value, true, true)
	return g.result(ctx, err)
}

// Write is Put, or PutInFlight, that waits neither for slaves nor for room: if
// too many are in flight, the error is [ErrFull]. [Cache.Held] waits for the
// record at that position; it is zero for what is not replicated.
func (n *Named) Write(ctx context.Context, key string, value []byte, inFlight bool) (Pos, error) {
	at, _, err := n.write(ctx, key, value, inFlight, false)
	return at, err
}

// write does all of a put but wait for its group, which is nil if wait is false.
func (n *Named) write(ctx context.Context, key string, value []byte, inFlight, wait bool) (at Pos, g *group, err error) {
	if key == "" {
		return Pos{}, nil, ErrNoKey
	}
	if len(key) > MaxKey || len(value) > MaxValue {
		return Pos{}, nil, fmt.Errorf("%w: a key has at most %d bytes and a value at most %d, these have %d and %d", ErrTooLarge, MaxKey, MaxValue, len(key), len(value))
	}
	c := n.c
	c.mu.Lock()
	for {
		if !c.writing {
			c.mu.Unlock()
			return Pos{}, nil, c.refusal()
		}
		if !slices.Contains(c.own.index, n.table()) {
			c.mu.Unlock()
			return Pos{}, nil, errUndeclared
		}
		if !inFlight || n.hasRoom(key) {
			break
		}
		if !wait {
			c.mu.Unlock()
			return Pos{}, nil, ErrFull
		}
		if err := c.waitRoom(ctx); err != nil {
			return Pos{}, nil, err
		}
	}
	t := n.table()
	now := c.now() // here: to read a clock waits for what is being fetched from memory
	old := t.get(key)
	op, local := OpPut, t.spec.LocalPuts
	if old != nil {
		op, local = OpUpdate, t.spec.LocalUpdates
	}
	var number uint64
	if !local {
		r := record{op: op, cache: c.indexOf(n.i), created: now, key: bytesOf(key), value: value}
		if inFlight {
			r.flags = flagInFlight
		}
		number = c.own.ring.append(&r)
		at = c.own.pos()
	}
	freed := old != nil && old.inFlight && !inFlight
	t.set(old, key, value, number, now, inFlight)
	for e := t.overfull(); e != nil; e = t.overfull() {
		c.evict(n.i, t, e)
	}
	if freed {
		c.wakeRoom()
	}
	c.count.Puts.Add(1)
	c.wake()
	if wait && t.spec.Synchronous && number != 0 {
		g = c.wait(number)
	}
	acked, least := c.pace()
	c.mu.Unlock()
	if g == nil && acked != nil {
		pause(ctx, acked, least)
	}
	return at, g, nil
}

// A master that outruns its slaves is slowed, so that they need no snapshot:
// each paceEvery records it waits for an ack; one that lags by three quarters of
// the ring, for paceMost. Who does not answer, like a slave that was stopped,
// does not count.
const (
	paceEvery   = 256
	paceMost    = 2 * time.Millisecond
	paceSilence = 50 * time.Millisecond
)

// pace tells whether the caller should wait after a put: for the next ack, but
// not less than least.
func (c *Cache) pace() (acked <-chan struct{}, least time.Duration) {
	r := &c.own.ring
	if r.last%paceEvery != 0 || r.bytes < r.limit/2 || r.oldest == nil {
		return nil, 0
	}
	held := r.last - r.oldest.first + 1
	held += held * uint64(r.limit-r.bytes) / uint64(r.limit) // what a full ring would hold
	slowed := false
	var now time.Duration
	for f := range c.followers {
		lag := r.last - f.acked
		if lag < held/2 || f.walk != nil {
			continue
		}
		if now == 0 {
			now = c.quiet()
		}
		if now-f.heard > paceSilence {
			continue
		}
		if slowed = true; lag > held/4*3 {
			least = paceMost
		}
	}
	if !slowed {
		return nil, 0
	}
	if c.settled == nil {
		c.settled = make(chan struct{})
	}
	return c.settled, least
}

// pause waits for the next ack, from least to paceMost.
func pause(ctx context.Context, acked <-chan struct{}, least time.Duration) {
	timer := time.NewTimer(paceMost)
	defer timer.Stop()
	if least > 0 {
		acked = nil
	}
	select {
	case <-acked:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errUndeclared: the log has no index for the cache, and so no records.
var errUndeclared = fmt.Errorf("%w: the cluster has %d caches already, under other names", ErrUnknown, MaxCaches)

// hasRoom reports whether the key may be put in flight.
func (n *Named) hasRoom(key string) bool {
	t := n.table()
	if len(t.inFlight) < n.c.cfg.MaxInFlight {
		return true
	}
	_, ok := t.inFlight[key]
	return ok
}

// waitRoom waits, without the lock, until an entry in flight was finished. It
// returns with the lock held, or with an error and without it.
func (c *Cache) waitRoom(ctx context.Context) error {
	if c.room == nil {
		c.room = make(chan struct{})
	}
	room := c.room
	c.mu.Unlock()
	select {
	case <-room:
		c.mu.Lock()
		return nil
	case <-ctx.Done():
		return errors.Join(ErrFull, ctx.Err())
	}
}

func (c *Cache) wakeRoom() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// refusal is why this instance does not write.
func (c *Cache) refusal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	return ErrNotMaster
}

// indexOf is the log's index of a table.
func (c *Cache) indexOf(i int) uint8 {
	t := c.own.tables[i]
	if i < len(c.own.index) && c.own.index[i] == t {
		return uint8(i)
	}
	return uint8(max(0, slices.Index(c.own.index, t)))
}

// drop removes an entry on the master, as op.
func (c *Cache) drop(i int, t *table, e *entry, op Op) uint64 {
	number := c.note(i, t, e.key(), op)
	t.remove(e)
	return number
}

// note writes into the log that a key is removed; 0 if that stays here.
func (c *Cache) note(i int, t *table, key string, op Op) uint64 {
	if t.spec.LocalRemovals {
		return 0
	}
	return c.own.ring.append(&record{op: op, cache: c.indexOf(i), created: c.now(), key: bytesOf(key)})
}

func (c *Cache) evict(i int, t *table, e *entry) {
	c.drop(i, t, e, OpEvict)
	c.count.Evictions.Add(1)
}

func (c *Cache) expire(i int, t *table, e *entry) {
	c.drop(i, t, e, OpExpire)
	c.count.Expirations.Add(1)
}

// Remove removes an entry; one that is not there is no error. In a synchronous
// cache it returns when no slave in step has it any more: one that is not there
// is written down too, for the removal that took it may not have arrived
// anywhere yet, and this instance may be deposed and not know.
func (n *Named) Remove(ctx context.Context, key string) error {
	c := n.c
	c.mu.Lock()
	if !c.writing {
		c.mu.Unlock()
		return c.refusal()
	}
	t := n.table()
	if !slices.Contains(c.own.index, t) {
		c.mu.Unlock()
		return errUndeclared
	}
	var g *group
	var number uint64
	if e := t.get(key); e != nil {
		freed := e.inFlight
		number = c.drop(n.i, t, e, OpRemove)
		if freed {
			c.wakeRoom()
		}
		c.count.Removes.Add(1)
	} else if t.spec.Synchronous && key != "" && len(key) <= MaxKey {
		number = c.note(n.i, t, key, OpRemove)
	}
	if number != 0 {
		c.wake()
		if t.spec.Synchronous {
			g = c.wait(number)
		}
	}
	c.mu.Unlock()
	return g.result(ctx, nil)
}

// Get returns a copy of an entry. On the master it counts as use, and an entry
// whose time is over is not found; a slave shows what it holds.
func (n *Named) Get(key string) (Entry, bool) {
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	t := n.table()
	e := t.get(key)
	now := c.now()
	if e != nil && c.writing && t.expired(e, now) {
		c.expire(n.i, t, e)
		c.wake()
		e = nil
	}
	if e == nil {
		c.count.Misses.Add(1)
		return Entry{}, false
	}
	c.count.Hits.Add(1)
	if c.writing {
		e.used = now
	}
	return t.copyOf(e, now), true
}

// List returns up to limit entries by key, from the first one after the given
// key, that keep accepts (nil: all). keep gets an entry whose Value is valid
// only during the call; no lock is held meanwhile. A limit of 0 means all. It
// takes time in proportion to the size of the cache, but never holds up writers
// for long.
func (n *Named) List(after string, limit int, keep func(*Entry) bool) []Entry {
	seen := make(map[string]struct{})
	var all, piece []Entry
	var values []byte
	// From the end to the start, in pieces: what is removed meanwhile moves an
	// entry that was seen to a place that was not, so one may come twice.
	for i := math.MaxInt; i >= 0; {
		piece, values, i = n.piece(after, i, piece[:0], values[:0])
		for _, e := range piece {
			if _, double := seen[e.Key]; double || keep != nil && !keep(&e) {
				continue
			}
			seen[e.Key] = struct{}{}
			e.Value = bytes.Clone(e.Value)
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all
}

// pieceSize is how many entries are looked at before writers get their turn.
const pieceSize = 512

// piece copies entries from slot i downwards, their values into buf, and returns
// the slot to go on with.
func (n *Named) piece(after string, i int, list []Entry, buf []byte) ([]Entry, []byte, int) {
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	t := n.table()
	now := c.now()
	i = min(i, t.len()-1)
	for end := i - pieceSize; i >= 0 && i > end; i-- {
		if e := t.slots[i]; e.key() > after {
			at := len(buf)
			buf = append(buf, e.value()...)
			list = append(list, Entry{
				Key: e.key(), Value: buf[at:len(buf):len(buf)], N: e.n,
				Age: time.Duration(max(0, now-e.created)) * time.Millisecond, InFlight: e.inFlight,
			})
		}
	}
	return list, buf, i
}

// Orphans are the entries that only a deposed master had, oldest first.
func (n *Named) Orphans() []Entry {
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	t := n.table()
	all := make([]Entry, 0, len(t.orphans))
	for id, o := range t.orphans {
		all = append(all, Entry{
			Key: id.key, Value: append([]byte(nil), o.value...), N: o.n, InFlight: o.inFlight,
			Age:    time.Duration(max(0, c.now()-o.created)) * time.Millisecond,
			Orphan: &Pos{Epoch: id.reign.Epoch, N: o.n}, From: id.reign.Instance,
		})
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if a.Orphan.Less(*b.Orphan) {
			return -1
		}
		return 1
	})
	return all
}

// DropOrphan forgets the orphans of a key. In a synchronous cache it returns
// when no slave in step has them any more.
func (n *Named) DropOrphan(ctx context.Context, key string) error {
	c := n.c
	c.mu.Lock()
	if !c.writing {
		c.mu.Unlock()
		return c.refusal()
	}
	var g *group
	if t := n.table(); slices.Contains(c.own.index, t) && len(key) <= MaxKey {
		number := c.own.ring.append(&record{op: opDropOrphan, cache: c.indexOf(n.i), created: c.now(), key: bytesOf(key)})
		t.dropOrphans(key)
		c.wake()
		if t.spec.Synchronous {
			g = c.wait(number)
		}
	}
	c.mu.Unlock()
	return g.result(ctx, nil)
}
