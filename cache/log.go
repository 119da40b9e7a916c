package cache

// segmentSize is how much of the log one segment holds, and so the greatest
// frame, unless one record alone is greater.
const segmentSize = 256 << 10

// segment is a run of records. What was appended never changes, so readers use
// it without a lock once they hold a reference.
type segment struct {
	first uint64 // number of its first record
	count uint64
	buf   []byte // len = used
	refs  int    // readers that use buf just now
	next  *segment
	gone  bool // dropped from the ring
}

// ring is the newest part of the log. Its owner's mutex guards it.
type ring struct {
	oldest, newest *segment
	last           uint64 // number of the last record, 0 = none
	total          int64  // bytes of all records ever appended
	bytes, limit   int64
	free           []*segment
}

// room returns a place for size bytes at the end of the log.
func (l *ring) room(size int) *segment {
	s := l.newest
	if s != nil && cap(s.buf)-len(s.buf) >= size {
		return s
	}
	s = l.fresh(max(size, segmentSize))
	s.first = l.last + 1
	if l.newest != nil {
		l.newest.next = s
	} else {
		l.oldest = s
	}
	l.newest = s
	l.bytes += int64(cap(s.buf))
	for l.bytes > l.limit && l.oldest != l.newest {
		l.drop()
	}
	return s
}

func (l *ring) fresh(size int) *segment {
	if n := len(l.free); n > 0 && size <= segmentSize {
		s := l.free[n-1]
		l.free = l.free[:n-1]
		*s = segment{buf: s.buf[:0]}
		return s
	}
	return &segment{buf: make([]byte, 0, size)}
}

// drop forgets the oldest segment. Who still reads it keeps it alive.
func (l *ring) drop() {
	s := l.oldest
	l.oldest = s.next
	l.bytes -= int64(cap(s.buf))
	s.next, s.gone = nil, true
	l.recycle(s)
}

func (l *ring) recycle(s *segment) {
	if s.gone && s.refs == 0 && cap(s.buf) == segmentSize && len(l.free) < 8 {
		l.free = append(l.free, s)
		s.gone = false
	}
}

// append adds one record and returns its number.
func (l *ring) append(r *record) uint64 {
	size := r.size()
	s := l.room(size)
	at := len(s.buf)
	s.buf = s.buf[:at+size]
	r.put(s.buf[at:])
	s.count++
	l.total += int64(size)
	l.last++
	return l.last
}

// appendRaw adds records that are encoded already.
func (l *ring) appendRaw(b []byte, count uint64) {
	s := l.room(len(b))
	s.buf = append(s.buf, b...)
	s.count += count
	l.total += int64(len(b))
	l.last += count
}

// restart empties the ring; the next record has the number after last.
func (l *ring) restart(last uint64) {
	*l = ring{last: last, limit: l.limit, total: l.total}
}

// holds reports whether every record after n is here.
func (l *ring) holds(n uint64) bool {
	return n == l.last || n < l.last && l.oldest != nil && l.oldest.first <= n+1
}

// cursor is a place in the log: everything up to n has been read.
type cursor struct {
	seg  *segment
	off  int
	n    uint64
	read int64 // ring.total when n was the last record
}

// at returns the cursor behind record n, which the ring holds.
func (l *ring) at(n uint64) (cursor, error) {
	c := cursor{n: n, read: l.total}
	if n == l.last {
		if l.newest != nil {
			c.seg, c.off = l.newest, len(l.newest.buf)
		}
		return c, nil
	}
	s := l.oldest
	for s.first+s.count <= n+1 {
		s = s.next
	}
	c.seg = s
	rest := s.buf
	var r record
	for at := s.first; at <= n; at++ {
		var err error
		if rest, err = r.parse(rest); err != nil {
			return c, err
		}
	}
	c.off = len(s.buf) - len(rest)
	c.read -= int64(len(rest))
	for s = s.next; s != nil; s = s.next {
		c.read -= int64(len(s.buf))
	}
	return c, nil
}

// read returns what follows the cursor, at most to the end of a segment, and
// moves the cursor behind it. The caller gives the segment back with release.
// ok is false if the cursor fell off the ring.
func (l *ring) read(c *cursor) (b []byte, first, count uint64, held *segment, ok bool) {
	switch {
	case c.n == l.last:
		return nil, 0, 0, nil, true
	case l.oldest == nil || l.oldest.first > c.n+1:
		return nil, 0, 0, nil, false
	case l.oldest.first == c.n+1: // the cursor's own segment may be dropped, and in use again
		c.seg, c.off = l.oldest, 0
	case c.off == len(c.seg.buf):
		c.seg, c.off = c.seg.next, 0
	}
	s := c.seg
	b = s.buf[c.off:]
	first = c.n + 1
	count = s.first + s.count - first
	c.off, c.n, c.read = len(s.buf), c.n+count, c.read+int64(len(b))
	s.refs++
	return b, first, count, s, true
}

// release ends the use of a segment.
func (l *ring) release(s *segment) {
	if s.refs--; s.gone {
		l.recycle(s)
	}
}
