package cache

import (
	"fmt"
	"net"
	"slices"
	"time"
)

// Orphans travel from the slave that has them to the master as records behind
// the name of their table; the master writes them into its log, and so they
// come back to all.

// sendOrphans hands the master what only this instance has. They stay pending
// until they come back.
func (c *Cache) sendOrphans(conn net.Conn, all []lost) error {
	var e encoder
	for _, l := range all {
		rec := orphanRecord(0, l.id, &l.orphan)
		if len(e.b) > 0 && len(e.b)+1+len(l.table)+rec.size() > segmentSize {
			if err := c.sendFrame(conn, frameOrphans, e.b); err != nil {
				return err
			}
			e.b = e.b[:0]
		}
		e.text(l.table)
		at := len(e.b)
		e.b = slices.Grow(e.b, rec.size())[:at+rec.size()]
		rec.put(e.b[at:])
	}
	return c.sendFrame(conn, frameOrphans, e.b)
}

func (c *Cache) sendFrame(conn net.Conn, kind frameKind, body []byte) error {
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := conn.Write(frame(kind, body))
	return err
}

// adopt writes a slave's orphans into the log.
func (c *Cache) adopt(body []byte) error {
	var all []lost
	var rec record
	for len(body) > 0 {
		d := decoder{b: body}
		name := d.text()
		if d.fail {
			return errMalformed
		}
		rest, err := rec.parse(d.b)
		if err != nil {
			return err
		}
		body = rest
		id, o, err := parseOrphan(&rec)
		if err != nil {
			return err
		}
		all = append(all, lost{name, id, *o})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		c.keep(all)
		c.wake()
	} else if len(c.pending)+len(all) <= maxOrphans { // the log is sealed: until it is this instance's again, or the next master's
		c.pending = c.dedupe(append(c.pending, all...))
	}
	return nil
}

// keep writes orphans into the log, but for those that are there, and tells how
// many.
func (c *Cache) keep(all []lost) {
	kept, refused, first, why := 0, 0, "", ""
	for _, l := range all {
		t := c.own.named(l.table)
		i := slices.Index(c.own.index, t)
		switch {
		case t == nil || i < 0:
			refused++
			why = fmt.Sprintf("there is no cache %q here", l.table)
			continue
		case t.orphans[l.id] != nil && t.orphans[l.id].n >= l.n, t.holds(l.id.key, l.value):
			continue
		case len(t.orphans) >= maxOrphans && t.orphans[l.id] == nil:
			refused++
			why = fmt.Sprintf("there are %d already; drop those that are settled", maxOrphans)
			continue
		}
		rec := orphanRecord(uint8(i), l.id, &l.orphan)
		_ = t.keepOrphan(&rec, c.own.ring.append(&rec)) // it was parsed before
		if kept++; first == "" {
			first = l.id.key
		}
	}
	if kept > 0 {
		c.tell(Event{Type: EventOrphans, Count: kept, Peer: all[0].id.reign.Instance, From: all[0].id.reign.Epoch, Detail: "kept, the first is " + first})
	}
	if refused > 0 {
		c.tell(Event{Type: EventOrphans, Count: refused, Detail: "refused: " + why})
	}
}

// settlePending forgets what has come back.
func (c *Cache) settlePending() {
	if len(c.pending) > 0 {
		c.pending = slices.DeleteFunc(c.pending, func(l lost) bool {
			t := c.own.named(l.table)
			return t != nil && (t.orphans[l.id] != nil && t.orphans[l.id].n >= l.n || t.holds(l.id.key, l.value))
		})
	}
}

// adoptPending is for a master that itself had what the last one lacked.
func (c *Cache) adoptPending() {
	c.keep(c.pending)
	c.pending = nil
}
