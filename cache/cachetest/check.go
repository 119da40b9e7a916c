package cachetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing/synctest"

	"github.com/interlok-ha/interlok-ha/cache"
)

// Check compares every copy with what its position in the history gives. It
// first waits until nothing moves, so that it sees one instant.
func (l *Lab) Check() {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Count["checks"]++
	for _, i := range l.Alive() {
		l.checkCopy(i)
	}
}

func (l *Lab) checkCopy(i *Instance) {
	status := i.Cache.Status()
	now := point{l.reigns[status.Reign], status.Pos.N}
	was := i.at
	i.at = now
	if now.r == nil && (status.Reign != cache.Reign{} || now.n > 0) {
		l.failLocked("%s is at record %d of reign %v, which never was", i.Name, now.n, status.Reign)
		return
	}
	if was.r != nil && now.r != was.r && (now.r == nil || was.r.of.Epoch > now.r.of.Epoch) {
		l.failLocked("%s was at %v and is at %v, an older reign", i.Name, was, now)
	}
	if p := i.vowed; now.r == was.r && now.n > was.n && now.r != nil && outranks(p, now.r.of) && !i.mayTake(p, now) {
		l.failLocked("%s was promised to reign %d/%.2x at %v, and went on to %v", i.Name, p.Epoch, p.Instance[:2], was, now)
	}
	i.promise(status.Reign) // the log itself is a promise
	i.vowed = i.promised
	if !now.whole() {
		l.Count["copies not checked"]++
		i.shadow = content{}
		return
	}
	var err error
	if now.contains(was) && was.whole() {
		i.shadow, err = advance(i.shadow, was.n, now)
	} else {
		if now.r == was.r {
			l.failLocked("%s was at %v and is at %v", i.Name, was, now)
		}
		l.cutOff(i, was, now)
		i.shadow, err = now.content()
	}
	if err != nil {
		l.failLocked("%s at %v: %v", i.Name, now, err)
	}
	l.Count["copies checked"]++
	for _, spec := range l.cfg.Caches {
		named, err := i.Cache.Named(spec.Name)
		if err != nil && len(i.shadow[spec.Name]) == 0 {
			continue // it is not configured here, and was not heard of
		}
		if err != nil {
			l.failLocked("%s: %v", i.Name, err)
			return
		}
		if d := differ(named, i.shadow[spec.Name]); d != "" {
			l.failLocked("%s at %v: cache %s: %s", i.Name, now, spec.Name, d)
			return
		}
	}
}

// mayTake reports whether an instance that was promised to a reign may go on in
// the log of an older one: it may take what it can get at its own barrier, and
// catch up with the reign it was promised to, or a newer one.
func (i *Instance) mayTake(promised cache.Reign, to point) bool {
	return promised.Instance == to.r.of.Instance || promised.Instance == i.ID || i.promised.Instance == i.ID ||
		i.followed != nil && !outranks(promised, i.followed.of) && point{i.followed, ^uint64(0)}.contains(to)
}

// cutOff notes what an instance loses by joining another log.
func (l *Lab) cutOff(i *Instance, was, now point) {
	common := fork(was, now)
	l.Count["forks"]++
	l.logLocked("%s: its log is cut back from %v to record %d, and goes on to %v", i.Name, was, common, now)
	for name, table := range i.shadow {
		for key, it := range table {
			if it.n > common {
				l.expect = append(l.expect, orphan{i, name, key, was.wrote(it.n), it})
			}
		}
	}
}

// Final checks what must be true when all is calm.
func (l *Lab) Final() {
	m := l.Master()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, spec := range l.cfg.Caches {
		var want string
		for _, i := range append([]*Instance{m}, l.Alive()...) {
			named, err := i.Cache.Named(spec.Name)
			if err != nil {
				l.failLocked("%s: %v", i.Name, err)
				return
			}
			all := named.Orphans()
			got := orphanText(all)
			if i == m {
				want = got
				l.checkOrphans(m, spec.Name, all)
			} else if got != want {
				l.failLocked("cache %s: the orphans of %s are\n%s\nthose of the master, %s,\n%s", spec.Name, i.Name, got, m.Name, want)
			}
		}
		if n := m.finished(spec.Name); spec.MaxEntries > 0 && n > spec.MaxEntries {
			l.failLocked("cache %s: %d finished entries, at most %d", spec.Name, n, spec.MaxEntries)
		}
	}
	l.checkAcked(m)
}

func orphanText(all []cache.Entry) string {
	var lines []string
	for i := range all {
		e := &all[i]
		lines = append(lines, fmt.Sprintf("%s %d %.4x %d %v %s", e.Key, e.Orphan.Epoch, e.From[:2], e.Orphan.N, e.InFlight, brief(e.Value)))
	}
	slices.Sort(lines)
	var b bytes.Buffer
	for _, line := range lines {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// finished counts the entries that are not in flight.
func (i *Instance) finished(name string) int {
	n := 0
	for _, it := range i.shadow[name] {
		if !it.inFlight {
			n++
		}
	}
	return n
}

// checkOrphans: what was cut off from a copy that lives is kept.
func (l *Lab) checkOrphans(m *Instance, name string, have []cache.Entry) {
	for _, o := range l.expect {
		if o.in.dead || o.cache != name || l.dropped[name+"/"+o.key] || m.at.contains(point{o.wrote, o.n}) {
			continue // or its own log has won in the end
		}
		l.Count["orphans expected"]++
		kept := slices.ContainsFunc(have, func(e cache.Entry) bool {
			return e.Key == o.key && e.From == o.wrote.of.Instance && e.Orphan.Epoch == o.wrote.of.Epoch &&
				(e.Orphan.N > o.n || e.Orphan.N == o.n && bytes.Equal(e.Value, o.value) && e.InFlight == o.inFlight)
		})
		if !kept {
			l.failLocked("cache %s: %q = %s, record %v of %s, was cut off and is no orphan", name, o.key, brief(o.value), point{o.wrote, o.n}, o.in.Name)
		}
	}
}

// checkAcked: a put that returned nil was written, and a synchronous one is
// there, or its loss was allowed and told.
func (l *Lab) checkAcked(m *Instance) {
	for value, op := range l.ops {
		switch {
		case op.returned && op.wrote == nil && m.at.whole() && l.Count["holes"] == 0:
			l.failLocked("%q = %s returned nil on %s and was never written", op.key, brief([]byte(value)), op.in.Name)
		case !op.acked || op.wrote == nil:
			continue
		}
		l.Count["synchronous puts"]++
		at := point{op.wrote, op.n}
		for _, h := range op.holders {
			if h.at.Epoch == op.wrote.of.Epoch && h.at.N < op.n {
				l.failLocked("%q = %s, record %v, returned nil on %s at %v (alone %v) while %s, in step, was at %v", op.key, brief([]byte(value)), at, op.in.Name, op.at, op.alone, h.in.Name, h.at)
			}
		}
		if m.at.contains(at) {
			continue
		}
		l.Count["synchronous puts lost"]++
		switch {
		case op.alone:
			l.Count["lost, with an event: no slave was in step"]++
		case l.isOrphan(m, op, value):
			l.Count["lost, and kept as an orphan"]++
		case l.told(cache.EventLost) || l.told(cache.EventMaybeLost):
			l.Count["lost, with an event"]++
		case unsure(m.at, at):
			l.Count["lost, and the next master knew that it may lack something"]++
		case l.superseded(op):
			l.Count["lost, but written over on its own branch"]++
		default:
			l.failLocked("%q = %s, record %v, returned nil on %s at %v, with %d in step, and is lost in silence", op.key, brief([]byte(value)), at, op.in.Name, op.at, len(op.holders))
		}
	}
}

func (l *Lab) isOrphan(m *Instance, op *operation, value string) bool {
	named, err := m.Cache.Named(op.cache)
	return err == nil && slices.ContainsFunc(named.Orphans(), func(e cache.Entry) bool {
		return e.Key == op.key && string(e.Value) == value
	})
}

func (l *Lab) told(t cache.EventType) bool {
	return slices.ContainsFunc(l.all, func(i *Instance) bool { return i.events[t] > 0 })
}

// unsure reports whether a master that lacked a record was not sure that it
// held all.
func unsure(now, lost point) bool {
	for r := now.r; r != nil && !(point{r.parent, r.base}).contains(lost); r = r.parent {
		if r.unsure {
			return true
		}
	}
	return false
}

// superseded reports whether the reign that wrote an entry wrote its key again.
func (l *Lab) superseded(op *operation) bool {
	return slices.ContainsFunc(op.wrote.records, func(ch cache.Change) bool {
		return ch.N > op.n && ch.Key == op.key && ch.Cache == op.cache && ch.Op != cache.OpOrphan
	})
}
