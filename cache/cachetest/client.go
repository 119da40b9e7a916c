package cachetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
)

// operation is one put of a client.
type operation struct {
	in       *Instance
	cache    string
	key      string
	wrote    *reign // nil: its record was not seen
	n        uint64
	acked    bool // a synchronous put that returned nil
	at       time.Duration
	holders  []holder // who was in step when it returned
	alone    bool     // no slave was in step, and an event said so
	returned bool     // nil, before its process was killed
}

// holder is a slave, and where it was.
type holder struct {
	in *Instance
	at cache.Pos
}

// wrote notes the record of an operation. The lab's mutex is held.
func (l *Lab) wrote(i *Instance, r *reign, ch *cache.Change) {
	op := l.ops[string(ch.Value)]
	switch {
	case op == nil || op.key != ch.Key || op.cache != ch.Cache:
		l.failLocked("%s wrote %q = %s, which nobody put", i.Name, ch.Key, brief(ch.Value))
	case op.wrote != nil:
		l.failLocked("%s wrote %q = %s twice: %v:%d and %v:%d", i.Name, ch.Key, brief(ch.Value), op.wrote, op.n, r, ch.N)
	default:
		op.wrote, op.n = r, ch.N
	}
}

// Put writes a new value, padded to so many bytes, and returns it.
func (i *Instance) Put(ctx context.Context, name, key string, size int, inFlight bool) (string, error) {
	l := i.lab
	named, err := i.Cache.Named(name)
	if err != nil {
		l.Fail("%v", err)
		return "", err
	}
	l.mu.Lock()
	l.lastOp++
	value := fmt.Sprintf("%s#%d", i.Name, l.lastOp)
	if size > len(value)+1 {
		value += " " + string(slices.Repeat([]byte{'.'}, size-len(value)-1))
	}
	op := &operation{in: i, cache: name, key: key, alone: i.alone}
	l.ops[value] = op
	l.mu.Unlock()
	before := i.inStep()
	put := named.Put
	if inFlight {
		put = named.PutInFlight
	}
	err = put(ctx, key, []byte(value))
	l.outcome(ctx, i, err)
	if err == nil && !i.gone() {
		i.acknowledged(op, named.Spec().Synchronous, before)
	}
	return value, err
}

// gone reports whether the process was killed: what it returns is not heard.
func (i *Instance) gone() bool {
	i.lab.mu.Lock()
	defer i.lab.mu.Unlock()
	return i.dead
}

// outcome checks that an error is one that a caller may expect.
func (l *Lab) outcome(ctx context.Context, i *Instance, err error) {
	switch {
	case err == nil, errors.Is(err, cache.ErrNotMaster), i.gone():
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
	default:
		l.Fail("operation on %s: %v", i.Name, err)
	}
}

// inStep is who is in step with this instance now.
func (i *Instance) inStep() (list []*Instance) {
	for _, f := range i.Cache.Status().Followers {
		if p := i.lab.byID(f.Instance); p != nil && f.InStep {
			list = append(list, p)
		}
	}
	return list
}

// acknowledged notes who must hold what was acknowledged: who was in step when
// the put returned, and before it began. Who came between may have come after
// the put was let go, with nobody to wait for.
func (i *Instance) acknowledged(op *operation, sync bool, before []*Instance) {
	l := i.lab
	var holders []holder
	for _, p := range i.inStep() {
		if slices.Contains(before, p) {
			holders = append(holders, holder{p, p.Cache.Pos()})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	op.returned = true
	if sync {
		op.acked, op.at, op.holders, op.alone = true, l.now(), holders, op.alone || i.alone
	}
}

// Remove removes an entry.
func (i *Instance) Remove(ctx context.Context, name, key string) error {
	named, err := i.Cache.Named(name)
	if err == nil {
		err = named.Remove(ctx, key)
		i.lab.outcome(ctx, i, err)
	}
	return err
}

// Heard is what a client hears of an operation that returned err on this
// instance: nothing, if its process was killed meanwhile.
func (i *Instance) Heard(err error) error {
	if i.gone() {
		return errors.Join(net.ErrClosed, err)
	}
	return err
}
