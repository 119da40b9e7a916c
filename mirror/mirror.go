package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// Config is what a Mirror is made of.
type Config struct {
	Cache *cache.Cache
	// Name is that of the named cache; empty: cache.DefaultName.
	Name string
	// Guard is the permission to work: is it open, and until when on
	// CLOCK_BOOTTIME. Nil: open as long as the cache can be written.
	Guard func() (open bool, until time.Duration)
	// Interrupted reports whether the work here was being ended at that time. A
	// workflow that failed then is not finished and stays in flight. Nil: never.
	Interrupted func(at time.Time) bool
	Log         zerolog.Logger
}

// Stats are counters since New.
type Stats struct {
	Puts      uint64 // entries written
	NotMaster uint64 // changes that were not written: this instance was no master
	Full      uint64 // messages not kept: too many were in flight
	Payloads  uint64 // too long for an entry, left out
	Failed    uint64 // entries that could not be written for another reason
	Lost      uint64 // events that this plugin did not hear
	Fences    uint64 // that agreed
	Refused   uint64 // that did not
	InFlight  int    // messages that run here, now
}

// Mirror keeps the state of the messages that run here in the cache, and reads
// what a predecessor left there. Its methods may be called from any goroutine.
type Mirror struct {
	cfg   Config
	named *cache.Named

	mu    sync.Mutex // guards what follows; held while an entry is written, so that writes of a message keep their order
	book  book
	dirty []*flight
	stats Stats
	buf   []byte
}

var (
	_ profiler.Plugin = (*Mirror)(nil)
	_ profiler.Fencer = (*Mirror)(nil)
	_ profiler.Loser  = (*Mirror)(nil)
)

// New makes a Mirror of a cache that has one of that name.
func New(cfg Config) (*Mirror, error) {
	if cfg.Cache == nil {
		return nil, errors.New("mirror: no cache is given")
	}
	if cfg.Name == "" {
		cfg.Name = cache.DefaultName
	}
	named, err := cfg.Cache.Named(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	m := &Mirror{cfg: cfg, named: named}
	m.book = book{flights: map[string]*flight{}, load: m.Get, interrupted: cfg.Interrupted}
	return m, nil
}

// Reset forgets what runs here, without touching the cache. It is for the
// start of a reign: what was begun in an earlier one must not be written over
// what others have done since.
func (m *Mirror) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.book.flights)
	m.dirty = nil
}

// Stats are the present counters.
func (m *Mirror) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.InFlight = len(m.book.flights)
	return s
}

// chunk is how many events or writes go by before a fence gets its turn.
const chunk = 64

// Observe takes events in and writes each message that they changed once. It
// never waits for slaves, nor for room.
func (m *Mirror) Observe(batch []profiler.Event) {
	for part := range slices.Chunk(batch, chunk) {
		m.mu.Lock()
		for i := range part {
			m.touch(m.book.apply(&part[i]))
		}
		m.mu.Unlock()
	}
	for {
		m.mu.Lock()
		n := min(chunk, len(m.dirty))
		for _, f := range m.dirty[:n] {
			if f.dirty { // else a fence has written it
				_, _ = m.write(f) // counted
			}
		}
		left := copy(m.dirty, m.dirty[n:])
		clear(m.dirty[left:])
		m.dirty = m.dirty[:left]
		m.mu.Unlock()
		if left == 0 {
			return
		}
	}
}

// Lost notes that events were dropped before they came here.
func (m *Mirror) Lost(events uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Lost += events
	m.book.lost()
}

func (m *Mirror) touch(f *flight) {
	if f != nil && !f.dirty {
		f.dirty = true
		m.dirty = append(m.dirty, f)
	}
}

// write puts a message as it is now, without waiting, and returns where its
// record is. m.mu is held.
func (m *Mirror) write(f *flight) (at cache.Pos, err error) {
	f.dirty = false
	if m.book.flights[f.ID] != f {
		return at, cache.ErrNotMaster // of a reign that is over
	}
	if f.Epoch == 0 {
		f.Epoch = m.cfg.Cache.Pos().Epoch
	}
	m.buf, err = f.AppendBinary(m.buf[:0])
	if err == nil && len(m.buf) > cache.MaxValue && f.Payload != nil {
		m.stats.Payloads++
		f.Payload = nil
		m.buf, err = f.AppendBinary(m.buf[:0])
	}
	if err == nil {
		at, err = m.put(f.ID, m.buf, !f.landed())
	}
	switch {
	case err == nil:
		m.stats.Puts++
	case errors.Is(err, cache.ErrNotMaster), errors.Is(err, cache.ErrClosed):
		m.stats.NotMaster++
		clear(m.book.flights)
	case errors.Is(err, cache.ErrFull):
		m.stats.Full++
		delete(m.book.flights, f.ID)
	default:
		m.stats.Failed++
		delete(m.book.flights, f.ID)
		m.cfg.Log.Warn().Err(err).Str("id", f.ID[:min(len(f.ID), 64)]).Msg("The state of a message is not kept")
	}
	if err == nil && f.landed() {
		delete(m.book.flights, f.ID)
	}
	return at, err
}

// put writes an entry and waits for nobody.
func (m *Mirror) put(id string, value []byte, inFlight bool) (cache.Pos, error) {
	return m.named.Write(context.Background(), id, value, inFlight)
}

// held waits until all slaves in step, and at least one, hold the record there.
func (m *Mirror) held(ctx context.Context, at cache.Pos) error {
	if at.N == 0 { // the cache keeps its puts to itself
		return cache.ErrNoReplica
	}
	return m.cfg.Cache.Held(ctx, at)
}

func (m *Mirror) guard() (open bool, until time.Duration) {
	if m.cfg.Guard == nil {
		return true, 0
	}
	return m.cfg.Guard()
}

// Fence returns nil once every slave in step, and at least one, holds that the
// step has started, and this instance may still work. The context that it
// returns ends when the permission does, unless that is renewed meanwhile: who
// needs longer asks again.
//
// The error is cache.ErrNotMaster if mastership has ended, cache.ErrNoReplica
// if no slave is in step, cache.ErrFull if too many messages are in flight, or
// ctx's. The step must not run then. Whether the record reached a slave is not
// known after some of them: a successor may list the step as open.
func (m *Mirror) Fence(ctx context.Context, id string, ev profiler.Event) (context.Context, error) {
	err := m.fence(ctx, id, ev)
	var until time.Duration
	if err == nil {
		var open bool
		if open, until = m.guard(); !open {
			err = cache.ErrNotMaster
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.stats.Refused++
		ev.ID = id
		m.rewrite(m.book.refuse(&ev))
		return ctx, fmt.Errorf("fence %s of message %.64q: %w", ev.Step.Name(), id, err)
	}
	m.stats.Fences++
	if m.cfg.Guard == nil {
		return ctx, nil
	}
	in, cancel := context.WithDeadlineCause(ctx, time.Now().Add(until-boottime.Now()), cache.ErrNotMaster)
	return guarded{in, cancel}, nil
}

// guarded is the context of a fenced step. Nobody calls its cancel: who began
// the step ends the context around it, and that ends the timer too.
type guarded struct {
	context.Context
	_ context.CancelFunc
}

func (m *Mirror) fence(ctx context.Context, id string, ev profiler.Event) error {
	if open, _ := m.guard(); !open {
		return cache.ErrNotMaster
	}
	if id == "" {
		return cache.ErrNoKey
	}
	ev.ID = id
	m.mu.Lock()
	f, ok := m.book.ahead(&ev)
	if !ok {
		m.mu.Unlock()
		return fmt.Errorf("%w: %d steps of the message are open", cache.ErrFull, maxOpen)
	}
	at, err := m.write(f)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.held(ctx, at)
}

func (m *Mirror) rewrite(f *flight) {
	if f != nil {
		_, _ = m.write(f)
	}
}

// Get is the state of a message as the cache has it: on the master with up to
// the profiler's flush interval of delay, on a slave as far as its copy reaches.
func (m *Mirror) Get(id string) (Message, bool) {
	e, ok := m.named.Get(id)
	if !ok {
		return Message{}, false
	}
	msg, err := Unmarshal(e.Value)
	return msg, err == nil
}

// Seen reports whether a message was done, here or by a predecessor, as long as
// the cache remembers it: done messages are evicted, oldest first, beyond the
// cache's bound.
func (m *Mirror) Seen(id string) bool {
	msg, ok := m.Get(id)
	return ok && msg.State == Done
}

// InFlight are the messages that have begun and not ended, in the order in
// which they began. On a new master, before its work begins, they are what the
// predecessor left. What other programs keep in flight in the same cache is
// among them, with the entry's value as payload.
func (m *Mirror) InFlight() []Message {
	return m.list(func(e *cache.Entry) bool { return e.InFlight })
}

func (m *Mirror) list(keep func(*cache.Entry) bool) []Message {
	entries := m.named.List("", 0, keep)
	all := make([]Message, 0, len(entries))
	for _, e := range entries {
		msg, err := Unmarshal(e.Value)
		if err != nil {
			msg = Message{Payload: e.Value}
		}
		if msg.ID == "" {
			msg.ID = e.Key
		}
		if e.InFlight {
			msg.State = InFlight
		}
		all = append(all, msg)
	}
	slices.SortStableFunc(all, func(a, b Message) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Begun, b.Begun), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Settle writes down how a message ended that no workflow runs here: one that a
// predecessor left and that turns out to be done, or is given up. s is Done or
// Failed. It waits for no slave.
func (m *Mirror) Settle(id string, s State) error {
	if s != Done && s != Failed {
		return fmt.Errorf("mirror: settle message %.64q: %v is no end", id, s)
	}
	now := time.Now().UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.book.flights[id] != nil {
		return fmt.Errorf("mirror: settle message %.64q: it runs here", id)
	}
	msg, ok := m.Get(id)
	if !ok {
		msg = Message{ID: id, Started: now}
	}
	msg.State, msg.Updated = s, now
	if s == Done {
		msg.Error, msg.Steps = "", nil
	}
	b, err := msg.AppendBinary(nil)
	if err == nil {
		_, err = m.put(id, b, false)
	}
	if err != nil {
		return fmt.Errorf("mirror: settle message %.64q: %w", id, err)
	}
	return nil
}
