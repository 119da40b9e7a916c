package cache

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Cache is this instance's copy of all named caches. Its methods may be called
// from any goroutine.
type Cache struct {
	cfg     Config
	sync    bool // one of the named caches is synchronous
	port    *port
	guard   *guard
	gossip  *gossip
	count   counters
	doorman *doorman
	events  *events
	base    time.Time // of the log's clock

	mu      sync.Mutex // guards what follows
	own     *replica
	closed  bool
	leading bool  // this instance is the master: streams of slaves are served
	writing bool  // and it has not sealed its log
	fence   Reign // older masters are refused
	offset  int64 // of the log's clock, ms

	// As master.
	followers map[*follower]struct{}
	members   int      // of followers, those in step
	ledFrom   uint64   // the record with which this mastership began
	setN      uint64   // the record from which on the present set counts
	released  uint64   // everything up to here is held by all in step
	open      *group   // puts that no frame has carried yet
	groups    []*group // puts that wait, in order
	holds     []*hold  // others that wait for a record
	room      chan struct{}
	settled   chan struct{} // closed at the next ack, if somebody waits for one
	hurry     chan struct{} // wakes the goroutine that looks for silent slaves
	alone     bool          // told that nobody is in step

	// As slave.
	target  Reign // whom to follow
	at      netip.AddrPort
	retarg  chan struct{} // tells the following goroutine that target changed
	stream  stream
	pending []lost // orphans that the master does not have yet

	watchers map[*watcher]struct{}
	wakeAt   int64 // at which ring.total the first of the sleeping senders and watchers wants to wake, or less
	conns    map[net.Conn]struct{}
}

// Open makes a Cache and binds its sockets. Run serves them; a Cache that is
// not run must be closed with [Cache.Close].
func Open(cfg Config) (*Cache, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if cfg.Instance.IsZero() {
		_, _ = rand.Read(cfg.Instance[:]) // never fails
	}
	if cfg.Network == nil {
		cfg.Network = hostNetwork{log: cfg.Log}
	}
	if cfg.Now == nil {
		cfg.Now = boottime.Now
	}
	c := &Cache{
		cfg: cfg, own: newReplica(&cfg), base: time.Now(),
		followers: map[*follower]struct{}{}, watchers: map[*watcher]struct{}{}, conns: map[net.Conn]struct{}{},
		retarg: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		events: newEvents(cfg.OnEvent), doorman: newDoorman(cfg.Log),
	}
	c.sync = slices.ContainsFunc(cfg.Caches, func(s Spec) bool { return s.Synchronous })
	var err error
	if c.guard, err = newGuard(cfg.Cluster, cfg.Keys); err != nil {
		return nil, err
	}
	listener, packets, err := cfg.Network.Listen(cfg.Bind)
	if err != nil {
		return nil, err
	}
	c.port = newPort(listener, packets, len(cfg.Keys) > 0, &c.count, cfg.Log)
	if !c.Addr().IsValid() {
		return nil, errors.Join(fmt.Errorf("cache: %v is no address to listen at", listener.Addr()), c.port.close())
	}
	if err := c.openGossip(); err != nil {
		return nil, errors.Join(err, c.port.close())
	}
	return c, nil
}

// Addr is the TCP and UDP address of gossip and streams; see [Cache.Move].
func (c *Cache) Addr() netip.AddrPort { return c.port.now.Load().local }

// Instance is the identity of this start.
func (c *Cache) Instance() InstanceID { return c.cfg.Instance }

// ListenerFile is a copy of the TCP listener, for another process that answers
// there once this one is dead. The caller closes it.
func (c *Cache) ListenerFile() (*os.File, error) { return listenerFile(c.port.now.Load().listener) }

// Run serves until ctx ends, and returns nil then. It may be called once.
func (c *Cache) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	serve := func(what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				failed <- fmt.Errorf("cache: %s: %w", what, err)
				stop()
			}
		})
	}
	var streams sync.WaitGroup
	eventsDone := make(chan struct{})
	go func() { defer close(eventsDone); c.events.run() }()
	serve("port", func(ctx context.Context) error {
		return c.port.run(ctx, func(conn net.Conn) {
			streams.Go(func() { c.serve(ctx, conn) })
		})
	})
	serve("gossip", c.runGossip)
	serve("follow", c.follow)
	serve("tick", c.tick)
	serve("step", c.watchSteps)
	<-ctx.Done()
	c.shut()
	wg.Wait()
	streams.Wait()
	c.events.close()
	<-eventsDone
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// Close gives up the sockets of a Cache that was never run.
func (c *Cache) Close() error { return c.port.close() }

// shut ends everything that waits.
func (c *Cache) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.stepDown(ErrClosed)
	for conn := range c.conns {
		_ = conn.Close()
	}
	for w := range c.watchers {
		w.poke()
	}
	c.settle()
}

// track keeps a connection closable; it reports false when the cache is shut.
func (c *Cache) track(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return false
	}
	c.conns[conn] = struct{}{}
	return true
}

func (c *Cache) untrack(conn net.Conn) {
	_ = conn.Close()
	c.forget(conn)
}

func (c *Cache) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

// now is the log's clock, in ms. It goes on across reigns: a slave sets its
// own by the frames it gets.
func (c *Cache) now() int64 { return time.Since(c.base).Milliseconds() + c.offset }

// quiet is a clock to measure silences by; cheaper than Config.Now, which must
// be right across a sleep of the host.
func (c *Cache) quiet() time.Duration { return time.Since(c.base) }

// outranks reports whether a reign goes before another.
func (r Reign) outranks(o Reign) bool {
	return r.Epoch > o.Epoch || r.Epoch == o.Epoch && !r.Instance.IsZero() &&
		(o.Instance.IsZero() || slices.Compare(r.Instance[:], o.Instance[:]) < 0)
}

// Promote makes this instance the master under r, which must outrank every
// reign that this copy knows. A master calls it again to go on under a greater
// epoch, or, with the same one, to take [Cache.Seal] back. It does not block.
func (c *Cache) Promote(r Reign) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.own.reign()
	switch {
	case c.closed:
		return ErrClosed
	case r.Instance != c.cfg.Instance:
		return fmt.Errorf("cache: promote: %v is another instance", r.Instance)
	case r == last && c.leading:
		c.writing = true
		c.adoptPending()
		c.wake()
		return nil
	case !r.outranks(last) || r.Epoch == last.Epoch:
		return fmt.Errorf("cache: promote: epoch %d is not above %d, which the log has", r.Epoch, last.Epoch)
	case c.fence.outranks(r):
		return fmt.Errorf("cache: promote: epoch %d is below %d, which another instance was promised", r.Epoch, c.fence.Epoch)
	}
	c.fence = r
	c.target, c.at = Reign{}, netip.AddrPort{}
	c.stream.close()
	c.kick()
	if !c.leading {
		c.released = c.own.ring.last
		c.ledFrom = c.own.ring.last + 1
	}
	c.leading, c.writing = true, true
	epoch := binary.BigEndian.AppendUint64(nil, r.Epoch)
	n := c.own.ring.append(&record{op: opReign, key: r.Instance[:], value: epoch, created: c.now()})
	c.own.began(r, n)
	c.declareAll()
	c.setN = c.own.ring.last
	c.writeSet()
	c.adoptPending()
	c.release()
	c.wake()
	c.tellGossip()
	return nil
}

// declareAll writes down which index means which cache, and which are partial,
// where the log does not say so yet.
func (c *Cache) declareAll() {
	for _, t := range c.own.tables {
		partial := t.spec.LocalPuts || t.spec.LocalUpdates || t.spec.LocalRemovals
		index := slices.Index(c.own.index, t)
		if index >= 0 && (t.partial || !partial) || index < 0 && len(c.own.index) >= MaxCaches {
			continue
		}
		if index < 0 {
			index = len(c.own.index)
			c.own.index = append(c.own.index, t)
		}
		t.partial = t.partial || partial
		c.own.ring.append(&record{op: opDeclare, cache: uint8(index), key: []byte(t.spec.Name), value: []byte{boolByte(t.partial)}, created: c.now()})
	}
}

// Follow makes this instance a slave of the master that reigns under r and
// whose cache is at addr. What an older master sends from now on is refused.
// It does not block.
func (c *Cache) Follow(r Reign, addr netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Instance == c.cfg.Instance || c.closed {
		return
	}
	if r.outranks(c.fence) {
		c.fence = r
		if c.cfg.TellPromise {
			c.tellGossip()
		}
	}
	if c.leading {
		c.stepDown(ErrNotMaster)
	}
	if c.target.Instance != r.Instance {
		c.stream.echo = 0 // it speaks of another master
	}
	if c.target.Instance != r.Instance || c.at != addr {
		c.stream.close()
	}
	c.target, c.at = r, addr
	c.kick()
}

// Release ends mastership or following: there is no master.
func (c *Cache) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leading {
		c.stepDown(ErrNotMaster)
	}
	c.target, c.at = Reign{}, netip.AddrPort{}
	c.stream.close()
	c.kick()
}

// Seal ends writing and returns the last record's position. The slaves are
// still served, so that they can get it.
func (c *Cache) Seal() Pos {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.wakeRoom()
	return c.own.pos()
}

// stepDown ends leading: who waits gets err, the slaves' streams are closed.
func (c *Cache) stepDown(err error) {
	was := c.leading
	c.leading, c.writing = false, false
	for _, g := range c.groups {
		g.end(fmt.Errorf("%w any more: %w", err, ErrOutcome))
	}
	for _, h := range c.holds {
		h.done <- fmt.Errorf("%w any more: %w", err, ErrOutcome)
	}
	c.groups, c.open, c.holds = nil, nil, nil
	for f := range c.followers {
		if f.gone {
			delete(c.followers, f) // its goroutines have ended, or will
		}
		f.inStep = false
		f.shut()
	}
	c.members = 0
	c.alone = false
	c.settle()
	c.wakeRoom()
	if was && !c.closed {
		c.tellGossip()
	}
}

// kick tells the following goroutine to look again.
func (c *Cache) kick() {
	select {
	case c.retarg <- struct{}{}:
	default:
	}
}

// Promised is the greatest reign that this copy is promised to, or has.
func (c *Cache) Promised() Reign {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.own.reign(); r.outranks(c.fence) {
		return r
	}
	return c.fence
}

// Outranks reports whether a reign goes before another.
func (r Reign) Outranks(o Reign) bool { return r.outranks(o) }

// Pos is the position of the last record here.
func (c *Cache) Pos() Pos {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own.pos()
}

// Standing says how far this copy reaches, whether the log is synchronous, and
// until when (on Config.Now's clock) this slave is surely in step: if the
// master died before that, everything it acknowledged is here.
func (c *Cache) Standing() (pos Pos, sync bool, sureUntil time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own.pos(), c.sync, c.sureUntil()
}

func (c *Cache) sureUntil() time.Duration {
	if !c.sync || c.leading || c.stream.building != nil || c.stream.anew || c.stream.echo == 0 || !slices.Contains(c.own.inStep, c.cfg.Instance) {
		return 0
	}
	return c.stream.echo + c.cfg.SocketTimeout*4/5
}

// SetKeys replaces the keys: the first is used, all are accepted. Streams that
// rest on a key that is gone are closed.
func (c *Cache) SetKeys(keys [][32]byte) error {
	if (len(keys) == 0) != (len(c.cfg.Keys) == 0) {
		return errors.New("cache: keys can be changed, but not switched on or off, while running")
	}
	if err := c.guard.setKeys(keys); err != nil {
		return err
	}
	return c.gossip.setKeys(keys)
}

// Learn tells of another cache's address.
func (c *Cache) Learn(addr netip.AddrPort) { c.gossip.learn(addr) }

// tick expires what is due, until ctx ends.
func (c *Cache) tick(ctx context.Context) error {
	if !slices.ContainsFunc(c.cfg.Caches, func(s Spec) bool { return !s.Eternal && (s.TimeToIdle > 0 || s.TimeToLive > 0) }) {
		<-ctx.Done()
		return nil
	}
	t := time.NewTicker(wheelTick * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		c.mu.Lock()
		for i, t := range c.own.tables {
			var expire func(*entry)
			if c.writing {
				expire = func(e *entry) { c.expire(i, t, e) }
			}
			t.sweep(c.now(), expire)
		}
		c.wake()
		c.mu.Unlock()
	}
}
