package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// stream is the receiving end: this slave's connection to its master. The
// cache's mutex guards it.
type stream struct {
	conn      net.Conn // nil: none
	from      InstanceID
	epoch     uint64 // of the reign that it sends under
	connected bool   // welcomed
	building  *replica
	snapped   uint64 // the snapshot is whole, once this record is here; 0 = it is not
	taken     int    // entries of the snapshot
	entries   uint64 // about how many it will have
	told      time.Duration
	fork      uint64
	echo      time.Duration // of the acks that are known to have arrived, the time of the last
	heard     time.Duration
	timed     bool   // the log's clock was set by this stream; frames that were held up do not set it back
	last      uint64 // of the master's log
	anew      bool   // ask for a snapshot next time
	offered   bool   // the master was handed what only this instance had
}

// close ends the stream; the following goroutine notices.
func (s *stream) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

const (
	dialTime   = 2 * time.Second
	holdTime   = 30 * time.Second // for an instance, or its keeper, to answer a connection that was accepted
	retryLeast = 5 * time.Millisecond
	retryMost  = time.Second
)

// errFenced ends a stream to a master that is older than what this slave was
// promised to.
var errFenced = errors.New("cache: the master is older than the reign this slave was promised to")

// follow keeps a stream to the master, whoever it is, until ctx ends.
func (c *Cache) follow(ctx context.Context) error {
	pause := retryLeast
	var last Reign
	for ctx.Err() == nil {
		c.mu.Lock()
		reign, addr, fence := c.target, c.at, c.fence
		c.mu.Unlock()
		if reign != last {
			last, pause = reign, retryLeast
		}
		if !addr.IsValid() || fence.outranks(reign) {
			select {
			case <-ctx.Done():
			case <-c.retarg:
			}
			continue
		}
		began := c.quiet()
		welcomed, err := c.attend(ctx, reign, addr)
		c.cfg.Log.Debug().Err(err).Stringer("addr", addr).Msg("Stream to the master ended")
		if welcomed {
			pause = retryLeast
			c.tell(Event{Type: EventBroken, Peer: reign.Instance, Addr: addr, Epoch: reign.Epoch, Detail: errText(err)})
			if c.quiet()-began > retryMost {
				continue // at once: a dead master's keeper may have something to say
			}
		}
		if o, ok := errors.AsType[*obituaryError](err); ok {
			c.tell(Event{Type: EventObituary, Peer: o.Instance, Addr: addr, Obituary: o.Obituary})
			pause = retryMost
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			c.tell(Event{Type: EventRefused, Peer: reign.Instance, Addr: addr, Epoch: reign.Epoch})
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
		case <-c.retarg:
			pause = retryLeast
		case <-timer.C:
			pause = min(2*pause, retryMost)
		}
		timer.Stop()
	}
	return nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// dial opens a stream and says hello; the answer is awaited for so long.
func (c *Cache) dial(ctx context.Context, addr netip.AddrPort, h *hello, wait time.Duration) (net.Conn, *reader, *welcome, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTime)
	dialled := time.Now()
	raw, err := c.cfg.Network.Dial(dialCtx, addr)
	connected := time.Since(dialled)
	cancel()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("dial %v: %w", addr, err)
	}
	if !c.track(raw) {
		return nil, nil, nil, ErrClosed
	}
	conn := raw
	fail := func(err error) (net.Conn, *reader, *welcome, error) {
		c.untrack(conn)
		return nil, nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	proved, err := c.guard.client(ctx, raw)
	if err != nil {
		return fail(err)
	}
	if conn = proved; conn != raw {
		if !c.track(conn) {
			return fail(ErrClosed)
		}
		defer c.forget(raw) // the secured one stands for it
	}
	h.cluster, h.instance, h.name, h.addr = clusterTag(c.cfg.Cluster), c.cfg.Instance, c.cfg.Name, c.Addr().String()
	asked := time.Now()
	_ = conn.SetDeadline(asked.Add(wait))
	if _, err := conn.Write(append([]byte(streamMagic), frame(frameHello, h.marshal())...)); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return fail(err)
	}
	r := newReader(conn, maxHello)
	kind, body, err := c.firstFrame(r)
	if err != nil {
		return fail(err)
	}
	switch kind {
	case frameWelcome:
	case frameRefuse:
		if len(body) == 0 {
			return fail(errMalformed)
		}
		return fail(fmt.Errorf("%v refuses: %w", addr, refusalError(body[0])))
	default:
		return fail(fmt.Errorf("%w: frame %d instead of a welcome", errMalformed, kind))
	}
	var w welcome
	if err := w.unmarshal(body); err != nil {
		return fail(err)
	}
	w.took = max(1, min(connected, time.Since(asked))) // kernels connect, however busy the other end is
	_ = conn.SetDeadline(time.Time{})
	r.limit = maxFrame
	return conn, r, &w, nil
}

// firstFrame reads the answer to a hello, which may be an obituary.
func (c *Cache) firstFrame(r *reader) (frameKind, []byte, error) {
	if err := r.fill(len(obituaryMagic)); err != nil {
		return 0, nil, err
	}
	if string(r.buf[r.r:r.r+len(obituaryMagic)]) == obituaryMagic {
		if err := r.fill(obituarySize); err != nil {
			return 0, nil, err
		}
		o, err := readObituary(io.LimitReader(bytes.NewReader(r.buf[r.r:r.w]), obituarySize))
		if err != nil {
			return 0, nil, err
		}
		return 0, nil, &obituaryError{o}
	}
	return r.next()
}

// attend follows one master over one stream, until it ends. welcomed tells
// whether the master took us.
func (c *Cache) attend(ctx context.Context, reign Reign, addr netip.AddrPort) (welcomed bool, err error) {
	c.mu.Lock()
	h := hello{mode: modeFollow, reign: reign, last: c.own.ring.last, history: c.own.history, anew: c.stream.anew}
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	settled := make(chan struct{})
	go func() { // another target ends the wait for an answer
		defer close(settled)
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.retarg:
			}
			c.mu.Lock()
			changed := c.target.Instance != reign.Instance || c.at != addr || c.fence.outranks(c.target)
			c.mu.Unlock()
			if changed {
				cancel()
				c.kick()
				return
			}
		}
	}()
	defer func() { cancel(); <-settled }()

	conn, r, w, err := c.dial(ctx, addr, &h, holdTime)
	if err != nil {
		return false, err
	}
	defer c.untrack(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := c.welcomed(conn, reign, w); err != nil {
		return false, err
	}
	defer c.parted(conn)
	c.tell(Event{Type: EventConnected, Peer: w.instance, Name: w.name, Addr: addr, Epoch: w.reign.Epoch, RoundTrip: w.took})
	return true, c.receive(conn, r, false)
}

// welcomed takes a welcome in.
func (c *Cache) welcomed(conn net.Conn, reign Reign, w *welcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.instance != reign.Instance:
		return fmt.Errorf("cache: %v answers where %v was expected", w.instance, reign.Instance)
	case c.target.Instance != reign.Instance:
		return errFenced
	}
	c.stream = stream{conn: conn, from: w.instance, epoch: w.reign.Epoch, connected: true, heard: c.quiet(), last: w.last, anew: c.stream.anew}
	return c.prepare(w)
}

// prepare makes ready for what the welcome says will come.
func (c *Cache) prepare(w *welcome) error {
	c.setClock(w.now)
	if !w.snapshot {
		return nil
	}
	b := newReplica(&c.cfg)
	for i, d := range w.index {
		if err := b.declare(uint8(i), d.name, d.partial); err != nil {
			return err
		}
	}
	b.ring.restart(w.base)
	b.history, b.inStep = w.history, w.inStep
	c.stream.building, c.stream.fork, c.stream.entries, c.stream.told = b, w.fork, w.entries, c.quiet()
	c.tell(Event{Type: EventSnapshot, Peer: w.instance, Name: w.name, Count: 0, To: w.entries, Detail: "begins"})
	return nil
}

// setClock sets the log's clock by the master's. What was held up on its way
// does not set it back, but for the first word of a stream: an instance that
// has run for longer than its master has a clock of its own.
func (c *Cache) setClock(now int64) {
	if d := now - c.now(); d > 0 || c.stream.connected && !c.stream.timed {
		c.offset += d
	}
	c.stream.timed = true
}

// parted forgets the stream.
func (c *Cache) parted(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream.conn != conn {
		return // it belongs to another by now
	}
	anew := c.stream.anew
	last := c.stream.last
	echo := c.stream.echo
	if c.stream.building != nil {
		echo = 0 // what it speaks of was not this copy
	}
	c.stream = stream{anew: anew, last: last, echo: echo}
}

// receive takes what the other end sends until the stream ends; at the end of
// a pull it returns nil.
func (c *Cache) receive(conn net.Conn, r *reader, pull bool) error {
	var ack [frameHeader + 16]byte
	silence := max(5*c.pingEvery(), 3*time.Second)
	var extended time.Time // when the deadlines were set
	for {
		if now := time.Now(); now.Sub(extended) > silence/10 {
			extended = now
			_ = conn.SetDeadline(now.Add(silence + silence/10))
		}
		kind, body, err := r.next()
		if err != nil {
			return err
		}
		c.count.BytesReceived.Add(uint64(len(body) + frameHeader))
		c.mu.Lock()
		n, orphans, err := c.take(conn, kind, body, pull)
		nack := errors.Is(err, errFenced)
		fence := c.fence
		c.mu.Unlock()
		if nack {
			var e encoder
			e.reign(fence)
			_, _ = conn.Write(frame(frameNack, e.b))
		}
		switch {
		case kind == frameEnd && err == nil && pull:
			return nil
		case err != nil:
			return err
		case pull:
			continue
		}
		if len(orphans) > 0 {
			if err := c.sendOrphans(conn, orphans); err != nil {
				return err
			}
		}
		if r.ready() {
			continue // one ack for all that has come
		}
		binary.BigEndian.PutUint64(ack[frameHeader:], n)
		binary.BigEndian.PutUint64(ack[frameHeader+8:], uint64(c.cfg.Now()))
		putHeader(ack[:], frameAck, ack[frameHeader:])
		if _, err := conn.Write(ack[:]); err != nil {
			return err
		}
	}
}

// take takes one frame in and returns what to acknowledge, and orphans that
// the master should have.
func (c *Cache) take(conn net.Conn, kind frameKind, body []byte, pull bool) (n uint64, orphans []lost, err error) {
	s := &c.stream
	if s.conn != conn {
		return 0, nil, errFenced
	}
	if kind == frameLive || kind == framePing {
		if l, _, err := parseLive(body); err == nil {
			s.epoch = max(s.epoch, l.epoch)
		}
	}
	if !pull && c.fence.Instance != s.from && c.fence.outranks(Reign{Epoch: s.epoch, Instance: s.from}) {
		return 0, nil, errFenced
	}
	into := c.own
	if s.building != nil {
		into = s.building
	}
	defer func() {
		if err != nil && !errors.Is(err, errFenced) {
			s.anew = true // what is here may be half of something
		}
	}()
	switch kind {
	case frameLive, framePing:
		l, rest, err := parseLive(body)
		if err != nil {
			return 0, nil, err
		}
		s.heard, s.last = c.quiet(), l.last
		s.echo = max(s.echo, time.Duration(l.echo))
		c.setClock(l.now)
		if kind == framePing {
			if len(rest) < 16 {
				return 0, nil, errMalformed
			}
			d := digest{Count: binary.BigEndian.Uint64(rest), Hash: binary.BigEndian.Uint64(rest[8:])}
			if own := into.digest(); s.building == nil && l.first == into.ring.last && (own.Count != d.Count || own.Hash != d.Hash) {
				c.count.Resyncs.Add(1)
				c.tell(Event{Type: EventResync, Peer: s.from, Detail: fmt.Sprintf("%d entries here, %d on the master, at record %d", own.Count, d.Count, l.first)})
				return 0, nil, fmt.Errorf("%w: this copy differs from the master's", errChecksum)
			}
			break
		}
		if l.first != into.ring.last+1 {
			return 0, nil, fmt.Errorf("%w: record %d follows %d", errMalformed, l.first, into.ring.last)
		}
		if err := into.applyAll(rest, l.count); err != nil {
			return 0, nil, err
		}
		if into == c.own {
			c.wake()
		}
	case frameSnapshot:
		if s.building == nil {
			return 0, nil, fmt.Errorf("%w: entries of a snapshot that was not announced", errMalformed)
		}
		s.heard = c.quiet()
		if err := s.takeEntries(body); err != nil {
			return 0, nil, err
		}
		if s.heard-s.told >= time.Second {
			s.told = s.heard
			c.tell(Event{Type: EventSnapshot, Peer: s.from, Count: s.taken, To: s.entries, Detail: "goes on"})
		}
	case frameSnapped:
		if s.building == nil || len(body) < 8 {
			return 0, nil, errMalformed
		}
		s.snapped = max(1, binary.BigEndian.Uint64(body))
	case frameEnd:
		if !pull {
			return 0, nil, errMalformed
		}
	default:
		return 0, nil, fmt.Errorf("%w: frame %d from a master", errMalformed, kind)
	}
	if b := s.building; b != nil && s.snapped > 0 && b.ring.last >= s.snapped {
		c.swap(b)
	}
	if s.building != nil {
		return 0, nil, nil
	}
	if r := c.own.reign(); r.outranks(c.fence) {
		c.fence = r // the log itself is a promise
	}
	if c.own.adopted {
		c.own.adopted = false
		c.settlePending()
	}
	if !pull && len(c.pending) > 0 && !s.offered {
		s.offered = true
		orphans = slices.Clone(c.pending)
	}
	return c.own.ring.last, orphans, nil
}

// takeEntries takes a piece of a snapshot.
func (s *stream) takeEntries(body []byte) error {
	var recs [batch]record
	var numbers [batch]uint64
	for len(body) > 0 {
		some := recs[:0]
		for len(body) > 0 && len(some) < batch {
			if len(body) < 8 {
				return errMalformed
			}
			var rec record
			n := binary.BigEndian.Uint64(body)
			rest, err := rec.parse(body[8:])
			if err != nil {
				return err
			}
			body = rest
			if rec.op != OpPut && rec.op != OpOrphan {
				return fmt.Errorf("%w: operation %d in a snapshot", errMalformed, rec.op)
			}
			numbers[len(some)] = n
			some = append(some, rec)
		}
		s.building.fetch(some)
		for i := range some {
			if err := s.building.apply(&some[i], numbers[i]); err != nil {
				return err
			}
			s.taken++
		}
	}
	return nil
}

// swap puts a whole snapshot in the place of what was here. What only this
// instance had is kept, to be handed to the master.
func (c *Cache) swap(b *replica) {
	c.pending = c.dedupe(append(c.pending, c.own.compare(b, c.stream.fork)...))
	if n := len(c.pending); n > 0 {
		c.tell(Event{Type: EventOrphans, Count: n, Peer: c.stream.from, Detail: "entries that only this instance had"})
	}
	for i, t := range b.tables {
		if i < len(c.cfg.Caches) {
			t.spec = c.cfg.Caches[i]
		}
	}
	c.own = b
	c.settlePending()
	c.tell(Event{Type: EventSnapshot, Peer: c.stream.from, Count: c.stream.taken, To: uint64(c.stream.taken), Detail: "complete"})
	c.stream.building, c.stream.snapped, c.stream.anew = nil, 0, false
	for w := range c.watchers {
		w.lagged = true
		w.poke()
	}
}

// dedupe leaves one of each, the newest.
func (c *Cache) dedupe(all []lost) []lost {
	type key struct {
		table string
		id    orphanID
	}
	newest := make(map[key]uint64, len(all))
	for _, l := range all {
		newest[key{l.table, l.id}] = max(newest[key{l.table, l.id}], l.n)
	}
	return slices.DeleteFunc(all, func(l lost) bool {
		k := key{l.table, l.id}
		if newest[k] != l.n {
			return true
		}
		newest[k] = 0 // an equal one is a copy
		return l.n == 0
	})
}
