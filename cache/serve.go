package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	helloTime    = 2 * time.Second // for a stranger to say what it wants
	writeTime    = 10 * time.Second
	maxHello     = 16 << 10
	maxFollowers = 256
	maxEpoch     = 1<<63 - 1 // as in heartbeats
	chunkEntries = 128       // of a snapshot, encoded while writers wait
)

// follower is the sending end of one stream. The cache's mutex guards all but
// the connection.
type follower struct {
	c        *Cache
	conn     net.Conn
	extended time.Time // when the deadline for writing was set; the sender's own
	from     *replica  // what is sent; another one takes its place after a snapshot from elsewhere
	instance InstanceID
	name     string
	addr     netip.AddrPort
	pull     bool // ends with the log

	cur      cursor
	walk     *walk // a snapshot that is under way
	wake     chan struct{}
	sleeping bool
	wakeAt   int64 // sleeping: at which ring.total
	gone     bool

	acked      uint64
	echo       uint64        // the clock in its last ack
	heard      time.Duration // its last ack
	unanswered time.Duration // the first frame after that; 0: none
	inStep     bool
	mark       uint64 // a record to reach in time, to be in step
	markAt     time.Duration
}

// walk is how far a snapshot has come.
type walk struct {
	table   int        // index in replica.index
	slot    int        // next one, downwards; -1: the table is done
	orphans []orphanID // of the table, to be sent yet
	turn    bool       // the live records'
}

// serve answers one stream that came in.
func (c *Cache) serve(ctx context.Context, raw net.Conn) {
	if !c.track(raw) {
		return
	}
	defer c.untrack(raw)
	conn, err := c.guard.server(ctx, raw)
	if err == nil {
		defer func() { _ = conn.Close() }()
		err = c.answer(ctx, conn)
	}
	if err != nil && ctx.Err() == nil {
		c.doorman.note(raw.RemoteAddr(), err)
	}
}

// answer hears what the other end wants, and serves it.
func (c *Cache) answer(ctx context.Context, conn net.Conn) error {
	turn, ok := c.guard.limit.enter(conn)
	if !ok {
		return errCrowded
	}
	defer turn.leave()
	_ = conn.SetDeadline(time.Now().Add(helloTime))
	var magic [4]byte
	if _, err := io.ReadFull(conn, magic[:]); err != nil {
		if turn.leave() {
			return errCrowded // a newer one took its place
		}
		return slow(err)
	}
	if string(magic[:]) != streamMagic {
		return fmt.Errorf("%w: it begins with %q", errMalformed, magic)
	}
	r := newReader(conn, maxHello)
	kind, body, err := r.next()
	if turn.leave() {
		return errCrowded // a newer one took its place
	}
	if err != nil {
		return slow(err)
	}
	var h hello
	if kind != frameHello {
		err = fmt.Errorf("%w: frame %d before a hello", errMalformed, kind)
	} else if err = h.unmarshal(body); err == nil && h.cluster != clusterTag(c.cfg.Cluster) {
		err = errCluster
	} else if err == nil && h.instance == c.cfg.Instance {
		err = errSelf
	}
	if err != nil {
		_, _ = conn.Write(frame(frameRefuse, []byte{refusalCode(err)}))
		return err
	}
	f := &follower{c: c, conn: conn, instance: h.instance, name: h.name, wake: make(chan struct{}, 1), pull: h.mode == modePull}
	f.addr, _ = netip.ParseAddrPort(h.addr)
	w, err := c.admit(f, &h)
	if err != nil {
		_, _ = conn.Write(frame(frameRefuse, []byte{refusalCode(err)}))
		if errors.Is(err, errNoMaster) {
			return nil
		}
		return err
	}
	defer c.dismiss(f)
	if _, err := conn.Write(frame(frameWelcome, w.marshal())); err != nil {
		return nil
	}
	if f.pull {
		_ = conn.SetDeadline(time.Now().Add(helloTime)) // for it to choose among its peers
		if kind, _, err := r.next(); err != nil || kind != frameGo {
			return slow(err)
		}
	}
	_ = conn.SetDeadline(time.Time{})
	r.limit = maxFrame
	acks := make(chan error, 1)
	go func() { acks <- f.listen(r) }()
	err = f.send(ctx)
	_ = conn.Close()
	err = errors.Join(err, <-acks)
	if errors.Is(err, errMalformed) || errors.Is(err, errChecksum) || errors.Is(err, ErrTooLarge) || errors.Is(err, errSlow) {
		return err
	}
	return nil
}

// slow turns a deadline into errSlow.
func slow(err error) error {
	var t net.Error
	if errors.As(err, &t) && t.Timeout() {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

// admit decides what the other end gets. For a barrier it also promises to take
// no more from older masters.
func (c *Cache) admit(f *follower, h *hello) (*welcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || len(c.followers) >= maxFollowers:
		return nil, errBusy
	case h.mode == modeFollow && !c.leading:
		return nil, errNoMaster
	case h.mode == modePull && (h.reign.Instance != h.instance || h.reign.Epoch > maxEpoch):
		return nil, errMalformed // who opens a reign pulls for itself
	case h.mode == modePull:
		c.seal(h.reign, h.name)
	case h.mode != modeFollow:
		return nil, errMalformed
	}
	r := c.own
	f.from = r
	w := &welcome{
		instance: c.cfg.Instance, name: c.cfg.Name, reign: r.reign(), last: r.ring.last, now: c.now(), history: r.history, inStep: r.inStep,
		fork: fork(r.history, r.ring.last, h.history, h.last),
	}
	if !h.anew && h.last == w.fork && r.ring.holds(h.last) {
		cur, err := r.ring.at(h.last)
		if err != nil {
			return nil, err
		}
		f.cur, f.acked = cur, h.last
	} else {
		w.snapshot, w.base = true, r.ring.last
		for _, t := range r.index {
			w.index = append(w.index, declared{t.spec.Name, t.partial})
			w.entries += uint64(t.len())
		}
		f.cur, _ = r.ring.at(r.ring.last)
		f.walk = &walk{slot: -1, table: -1}
		c.count.Snapshots.Add(1)
	}
	f.heard = c.quiet()
	f.mark, f.markAt = r.ring.last, f.heard
	if !f.pull {
		for old := range c.followers {
			if old.instance == f.instance {
				old.shut() // it dialled anew
			}
		}
		c.tell(Event{Type: EventConnected, Peer: f.instance, Name: f.name, Addr: f.addr})
	}
	c.followers[f] = struct{}{}
	return w, nil
}

// seal promises to take nothing more from masters older than the reign to come.
func (c *Cache) seal(r Reign, by string) {
	if !r.outranks(c.fence) {
		return
	}
	c.fence = r
	if c.leading {
		if c.writing { // else its log is sealed: the newer reign is what that was for
			c.tell(Event{Type: EventDeposed, Epoch: r.Epoch, Peer: r.Instance, Name: by, Detail: "it opens a newer reign"})
		}
		c.stepDown(ErrNotMaster)
	}
	c.tell(Event{Type: EventSealed, Epoch: r.Epoch, Peer: r.Instance, Name: by})
}

// dismiss forgets a follower.
func (c *Cache) dismiss(f *follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.gone = true
	if !f.inStep || !c.sync || !c.leading || c.closed {
		c.leave(f, "its stream broke")
		delete(c.followers, f)
	} // else it counts on being waited for: until dropSilent
	if !f.pull && !c.closed {
		c.tell(Event{Type: EventBroken, Peer: f.instance, Name: f.name, Addr: f.addr})
	}
	c.settle()
}

// shut ends the stream; its goroutines do the rest.
func (f *follower) shut() {
	f.gone = true
	_ = f.conn.Close()
	f.poke()
}

func (f *follower) poke() {
	f.sleeping = false
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// wake starts the senders that sleep and have something to do, and the watchers.
func (c *Cache) wake() {
	total := c.own.ring.total
	if total < c.wakeAt {
		return
	}
	c.wakeAt = math.MaxInt64
	for f := range c.followers {
		switch {
		case !f.sleeping:
		case f.wakeAt <= total:
			f.poke()
		default:
			c.wakeAt = min(c.wakeAt, f.wakeAt)
		}
	}
	for w := range c.watchers {
		if w.sleeping {
			w.poke()
		}
	}
}

// parcel is one frame to send.
type parcel struct {
	kind   frameKind
	header []byte   // what the body begins with
	body   []byte   // and the rest of it
	held   *segment // that the body lies in
	end    bool     // the stream ends with it
}

// send sends until the stream breaks or has to.
func (f *follower) send(ctx context.Context) error {
	c := f.c
	var header [frameHeader + liveHeader + 24]byte
	chunk := make([]byte, 0, 4<<10)
	ping := time.NewTimer(c.pingEvery())
	defer ping.Stop()
	hold := time.NewTimer(holdMost)
	defer hold.Stop()
	due, late := false, false
	for {
		c.mu.Lock()
		f.sleeping = false
		if f.gone {
			c.mu.Unlock()
			return nil
		}
		p, ok := f.next(header[frameHeader:], &chunk, due, late)
		due, late = false, false
		if p == nil {
			if !ok {
				c.mu.Unlock()
				return nil
			}
			f.sleeping = true
			c.wakeAt = min(c.wakeAt, f.wakeAt)
			var over <-chan time.Time
			if f.wakeAt > 0 && len(c.groups) == 0 {
				hold.Reset(holdMost)
				over = hold.C
			}
			c.mu.Unlock()
			select {
			case <-f.wake:
			case <-over:
				late = true
			case <-ping.C:
				due = true
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		if f.unanswered == 0 {
			f.unanswered = c.quiet()
		}
		c.mu.Unlock()
		putHeader(header[:], p.kind, p.header, p.body)
		err := f.write(header[:frameHeader+len(p.header)], p.body)
		if p.held != nil {
			c.mu.Lock()
			f.from.ring.release(p.held)
			c.mu.Unlock()
		}
		if err != nil || p.end {
			return slow(err)
		}
		ping.Reset(c.pingEvery())
	}
}

func (f *follower) write(header, body []byte) error {
	if now := time.Now(); now.Sub(f.extended) > writeTime/10 {
		f.extended = now
		_ = f.conn.SetWriteDeadline(now.Add(writeTime))
	}
	f.c.count.BytesSent.Add(uint64(len(header) + len(body)))
	return writeBoth(f.conn, header, body)
}

// While a frame is on its way, what would make only a small one is held back
// until its ack, as Nagle's algorithm does: ten records in one frame cost a
// slave hardly more than one.
const (
	holdSize = 32 << 10
	holdMost = time.Millisecond
)

// next chooses what to send; nil: nothing now, or, if ok is false, never more.
// Snapshot and live records take turns.
func (f *follower) next(header []byte, chunk *[]byte, ping, late bool) (p *parcel, ok bool) {
	c, r := f.c, f.from
	f.wakeAt = 0
	if w := f.walk; w != nil {
		if w.turn = !w.turn && f.cur.n < r.ring.last; !w.turn {
			return f.nextEntries(header, chunk), true
		}
	}
	// While puts wait, one frame is on its way: those that come meanwhile
	// share the next one.
	if f.inStep && f.acked < f.cur.n && !ping {
		switch {
		case len(c.groups) > 0:
			f.wakeAt = math.MaxInt64
			return nil, true
		case !late && f.cur.n < r.ring.last && r.ring.total-f.cur.read < holdSize:
			f.wakeAt = f.cur.read + holdSize
			return nil, true
		}
	}
	b, first, count, held, ok := r.ring.read(&f.cur)
	if !ok {
		c.count.Cuts.Add(1)
		c.tell(Event{Type: EventBroken, Peer: f.instance, Name: f.name, Addr: f.addr, Detail: "it fell behind the ring: it will need a snapshot"})
		return nil, false
	}
	l := live{epoch: r.reign().Epoch, first: first, count: count, now: c.now(), last: r.ring.last}
	if f.inStep { // an echo says that this slave is waited for
		l.echo = f.echo
	}
	if count > 0 {
		if !f.pull {
			c.cut(f.cur.n)
		}
		l.put(header)
		return &parcel{kind: frameLive, header: header[:liveHeader], body: b, held: held}, true
	}
	if f.pull {
		return &parcel{kind: frameEnd, end: true}, true
	}
	if !ping {
		return nil, true
	}
	l.first = f.cur.n
	l.put(header)
	d := r.digest()
	binary.BigEndian.PutUint64(header[liveHeader:], d.Count)
	binary.BigEndian.PutUint64(header[liveHeader+8:], d.Hash)
	return &parcel{kind: framePing, header: header[:liveHeader+16]}, true
}

// nextEntries makes the next piece of a snapshot: of each table the orphans,
// then the entries from the last to the first. What is removed meanwhile moves
// an entry that was sent to a place that was not; it is then sent twice, and
// none is missed.
func (f *follower) nextEntries(header []byte, chunk *[]byte) *parcel {
	c, r, w := f.c, f.from, f.walk
	b := (*chunk)[:0]
	fits := func(rec *record) bool { return len(b) == 0 || len(b)+8+rec.size() <= segmentSize }
	put := func(n uint64, rec *record) {
		at := len(b)
		b = slices.Grow(b, 8+rec.size())[:at+8+rec.size()]
		binary.BigEndian.PutUint64(b[at:], n)
		rec.put(b[at+8:])
	}
	for i := 1; ; i++ {
		if i%chunkEntries == 0 { // let the writers in
			c.mu.Unlock()
			c.mu.Lock()
		}
		if len(w.orphans) > 0 {
			id := w.orphans[0]
			if o := r.index[w.table].orphans[id]; o != nil { // else it was dropped meanwhile, and the record of that has been sent
				rec := orphanRecord(uint8(w.table), id, o)
				if !fits(&rec) {
					break
				}
				put(o.kept, &rec)
			}
			w.orphans = w.orphans[1:]
			continue
		}
		if w.slot < 0 {
			if w.table++; w.table >= len(r.index) {
				w.table = len(r.index)
				break
			}
			t := r.index[w.table]
			w.slot = t.len() - 1
			for id := range t.orphans {
				w.orphans = append(w.orphans, id)
			}
			continue
		}
		t := r.index[w.table]
		if w.slot = min(w.slot, t.len()-1); w.slot < 0 {
			continue
		}
		e := t.slots[w.slot]
		rec := record{op: OpPut, cache: uint8(w.table), created: e.created, key: bytesOf(e.key()), value: e.value()}
		if e.inFlight {
			rec.flags = flagInFlight
		}
		if e.n != 0 {
			if !fits(&rec) {
				break
			}
			put(e.n, &rec)
		}
		w.slot--
	}
	*chunk = b
	if len(b) == 0 {
		f.walk = nil
		binary.BigEndian.PutUint64(header, r.ring.last)
		return &parcel{kind: frameSnapped, header: header[:8]}
	}
	return &parcel{kind: frameSnapshot, body: b}
}

// listen takes what the other end says, until the stream breaks.
func (f *follower) listen(r *reader) error {
	c := f.c
	defer func() { // the sender may sleep
		c.mu.Lock()
		f.shut()
		c.mu.Unlock()
	}()
	// Each ping is answered: a stream that brings nothing is of no use.
	silence := max(5*c.pingEvery(), 3*time.Second)
	var extended time.Time
	for {
		if now := time.Now(); !f.pull && now.Sub(extended) > silence/10 {
			extended = now
			_ = f.conn.SetReadDeadline(now.Add(silence + silence/10))
		}
		kind, body, err := r.next()
		if err != nil {
			return slow(err)
		}
		switch kind {
		case frameAck:
			d := decoder{b: body}
			n, clock := d.u64(), d.u64()
			if d.err() != nil {
				return d.err()
			}
			f.ack(n, clock)
		case frameNack:
			d := decoder{b: body}
			reign := d.reign()
			if d.err() != nil {
				return d.err()
			}
			c.mu.Lock()
			if c.writing && reign.outranks(c.own.reign()) {
				c.tell(Event{Type: EventDeposed, Epoch: reign.Epoch, Peer: reign.Instance, Name: f.name, Detail: "a slave was promised to a newer reign"})
			}
			c.mu.Unlock()
			return nil
		case frameOrphans:
			if err := c.adopt(body); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: frame %d from a slave", errMalformed, kind)
		}
	}
}

// ack notes that the slave holds everything up to n.
func (f *follower) ack(n, clock uint64) {
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.gone || f.pull || n < f.acked || n > f.from.ring.last {
		return
	}
	now := c.quiet()
	f.acked, f.echo, f.heard, f.unanswered = n, clock, now, 0
	if n < f.cur.n {
		f.unanswered = now
	}
	if f.walk == nil && n >= f.mark {
		if !f.inStep && c.leading && now-f.markAt <= max(c.cfg.SocketTimeout, 2*c.pingEvery()) {
			c.join(f)
			c.lookSoon()
		}
		f.mark, f.markAt = c.own.ring.last, now
	}
	c.release()
	c.settleHolds()
	c.settle()
	switch {
	case !f.sleeping:
	case f.cur.n < f.from.ring.last:
		f.poke()
	default: // it need not wait for an ack any more
		f.wakeAt, c.wakeAt = 0, 0
	}
}
