package cache

import (
	"bytes"
	"context"
)

// watcher reads the log as a slave's sender does. The cache's mutex guards it.
type watcher struct {
	c        *Cache
	cur      cursor
	wake     chan struct{}
	sleeping bool
	lagged   bool // the log was replaced
}

func (w *watcher) poke() {
	w.sleeping = false
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Watch calls do with every change from now on, in order, on the caller's
// goroutine, until ctx ends. The slice is used again for the next call; keys and
// values stay as they are, and those of one call share their memory. Writers never wait for it: if it falls behind the
// ring, or a snapshot replaces this copy, it ends with [ErrLagged], and the
// caller lists anew. When the cache is closed it returns [ErrClosed].
func (c *Cache) Watch(ctx context.Context, do func([]Change)) error {
	w := &watcher{c: c, wake: make(chan struct{}, 1)}
	c.mu.Lock()
	var err error
	if w.cur, err = c.own.ring.at(c.own.ring.last); err != nil {
		c.mu.Unlock()
		return err
	}
	names := make([]string, 0, len(c.own.index))
	for _, t := range c.own.index {
		names = append(names, t.spec.Name)
	}
	c.watchers[w] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		w.sleeping = false
		delete(c.watchers, w)
	}()
	var changes []Change
	for {
		c.mu.Lock()
		w.sleeping = false
		if c.closed {
			c.mu.Unlock()
			return ErrClosed
		}
		r := c.own
		var ok bool
		var b []byte
		var first uint64
		var held *segment
		if !w.lagged {
			b, first, _, held, ok = r.ring.read(&w.cur)
		}
		if ok && held == nil {
			w.sleeping, c.wakeAt = true, 0
		}
		c.mu.Unlock()
		if !ok {
			return ErrLagged
		}
		if held == nil {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		changes, err = appendChanges(changes[:0], b, first, &names)
		c.mu.Lock()
		r.ring.release(held)
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if len(changes) > 0 && ctx.Err() == nil {
			do(changes)
		}
	}
}

// appendChanges appends the records that a watcher wants to see; one copy of all
// holds their keys and values.
func appendChanges(changes []Change, b []byte, n uint64, names *[]string) ([]Change, error) {
	rest := bytes.Clone(b)
	var err error
	for rec := (record{}); len(rest) > 0; n++ {
		if rest, err = rec.parse(rest); err != nil {
			return nil, err
		}
		switch rec.op {
		case opDeclare:
			if int(rec.cache) == len(*names) {
				*names = append(*names, string(rec.key))
			}
		case OpPut, OpUpdate, OpRemove, OpEvict, OpExpire, OpOrphan:
			// The copy is this watcher's, and nobody is given the key's bytes.
			ch := Change{N: n, Op: rec.op, Key: rec.text(), InFlight: rec.flags&flagInFlight != 0}
			if int(rec.cache) < len(*names) {
				ch.Cache = (*names)[rec.cache]
			}
			value := rec.value[:len(rec.value):len(rec.value)]
			switch {
			case rec.op == OpPut || rec.op == OpUpdate:
				ch.Value = value
			case rec.op == OpOrphan && len(value) >= orphanHeader:
				ch.Value = value[orphanHeader:]
			}
			changes = append(changes, ch)
		}
	}
	return changes, nil
}
