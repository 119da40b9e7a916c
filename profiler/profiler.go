package profiler

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

// Overflow says what a hook does when there is no room for its event.
type Overflow uint8

// What a hook does when there is no room.
const (
	Drop  Overflow = iota // forget the event and count it
	Block                 // wait for room, but not for a plugin that is stuck
)

// Config is what a profiler needs. The zero value works; nobody hears it.
type Config struct {
	Plugins    []Plugin
	Overflow   Overflow
	Buffer     int           // events that may wait, and four times as many for each plugin; 0: 16384
	Flush      time.Duration // how long an event waits for others at most; 0: 2 ms
	Patience   time.Duration // a plugin that long in one Observe is stuck; 0: 1 s
	Open       int           // messages in flight that are told of; one more is not; 0: 100000
	Payload    bool          // keep a copy of a message's bytes at its workflow's start
	MaxPayload int           // bytes; a longer payload is not kept; 0: 256 KiB
	Log        func(string)  // hears of plugins that panic or are stuck, on any goroutine; nil: nobody
}

// validate fills in what is not given, and joins all faults.
func (c *Config) validate() error {
	var faults []error
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"Buffer", int64(c.Buffer)}, {"Flush", int64(c.Flush)}, {"Patience", int64(c.Patience)},
		{"Open", int64(c.Open)}, {"MaxPayload", int64(c.MaxPayload)},
	} {
		if f.n < 0 {
			faults = append(faults, fmt.Errorf("profiler: Config.%s is negative", f.name))
		}
	}
	if c.Overflow > Block {
		faults = append(faults, fmt.Errorf("profiler: Config.Overflow is %d; it is Drop or Block", c.Overflow))
	}
	for i, pl := range c.Plugins {
		if pl == nil {
			faults = append(faults, fmt.Errorf("profiler: Config.Plugins[%d] is nil", i))
		}
	}
	c.Buffer = orDefault(c.Buffer, 16384)
	c.Flush = orDefault(c.Flush, 2*time.Millisecond)
	c.Patience = orDefault(c.Patience, time.Second)
	c.Open = orDefault(c.Open, 100_000)
	c.MaxPayload = orDefault(c.MaxPayload, 256<<10)
	if c.Log == nil {
		c.Log = func(string) {}
	}
	return errors.Join(faults...)
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// Profiler makes steps and hands their events to plugins. Its methods may be
// called by any goroutine. A nil Profiler makes nil Steps, which do nothing.
type Profiler struct {
	base     time.Time
	cfg      Config
	seed     maphash.Seed
	shards   []shard // a power of two
	fencers  []Fencer
	hearers  []*hearer
	wake     chan struct{} // a shard is no longer empty
	hurry    chan struct{} // a shard fills up
	flushes  chan *flush
	over     chan struct{} // closed when Run ends
	state    atomic.Int32
	open     atomic.Int64  // messages in flight
	unnamed  atomic.Uint64 // workflows begun without an id
	payloads atomic.Uint64 // payloads too long to keep
	prefix   string        // of ids given to messages that have none
}

// minBuffer is the least room of a shard.
const minBuffer = 16

const (
	created = iota
	running
	ended
)

// New makes a profiler. Its steps work at once; the plugins hear of them while
// Run runs, and then also of what came before, as far as there was room.
func New(cfg Config) (*Profiler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Profiler{
		base:    time.Now(),
		cfg:     cfg,
		seed:    maphash.MakeSeed(),
		wake:    make(chan struct{}, 1),
		hurry:   make(chan struct{}, 1),
		flushes: make(chan *flush),
		over:    make(chan struct{}),
	}
	n := 8
	for n < 4*runtime.GOMAXPROCS(0) && n < 64 {
		n *= 2
	}
	p.shards = make([]shard, n)
	for i := range p.shards {
		p.shards[i].init(p, max(cfg.Buffer/n, minBuffer))
	}
	for _, pl := range cfg.Plugins {
		if f, ok := pl.(Fencer); ok {
			p.fencers = append(p.fencers, f)
		}
		p.hearers = append(p.hearers, newHearer(p, pl))
	}
	var r [6]byte
	rand.Read(r[:]) // never fails
	p.prefix = "unnamed-" + hex.EncodeToString(r[:]) + "-"
	return p, nil
}

// Base is the time that Event.At counts from. It has a monotonic part.
func (p *Profiler) Base() time.Time { return p.base }

// Stats are counters since New.
type Stats struct {
	Events   uint64 // handed over; a step that was short is one
	Dropped  uint64 // for want of room, once for each plugin that did not hear it; all after Run has ended
	Late     uint64 // steps, or ends of steps, of messages that had ended: ignored
	Unnamed  uint64 // workflows begun without an id, which got one
	Repeated uint64 // workflows begun with an id that was in flight
	Untold   uint64 // messages not told of: too many in flight, or no room for their start
	Payloads uint64 // that were too long to be kept
	Panics   uint64 // of plugins
	Stuck    uint64 // times that a plugin was found stuck
	Open     int    // messages whose workflow has begun and not ended, now
}

// Stats are the present counters. Those of a nil Profiler are zero.
func (p *Profiler) Stats() Stats {
	if p == nil {
		return Stats{}
	}
	s := Stats{Unnamed: p.unnamed.Load(), Payloads: p.payloads.Load(), Open: int(p.open.Load())}
	for i := range p.shards {
		p.shards[i].count(&s)
	}
	for _, h := range p.hearers {
		h.count(&s)
	}
	return s
}

// Running says whether a workflow with this message is under way. A plugin
// that lost events asks it which ends it missed.
func (p *Profiler) Running(id string) bool {
	if p == nil {
		return false
	}
	sh := p.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.open[id] != nil
}

func (p *Profiler) shard(id string) *shard {
	return &p.shards[maphash.String(p.seed, id)&uint64(len(p.shards)-1)]
}

// name makes an id for a message that has none.
func (p *Profiler) name() string {
	return p.prefix + strconv.FormatUint(p.unnamed.Add(1), 10)
}

// Flush returns nil when every plugin that is not stuck has heard all events
// before it, ErrNotRunning while Run does not run, or ctx's error.
func (p *Profiler) Flush(ctx context.Context) error {
	if p == nil {
		return nil
	}
	if p.state.Load() != running {
		return ErrNotRunning
	}
	f := &flush{over: make(chan struct{})}
	select {
	case p.flushes <- f:
	case <-p.over:
		return ErrNotRunning
	case <-ctx.Done():
		return fmt.Errorf("profiler: flush: %w", ctx.Err())
	}
	select {
	case <-f.over:
		return nil
	case <-p.over:
		return ErrNotRunning
	case <-ctx.Done():
		return fmt.Errorf("profiler: flush: %w", ctx.Err())
	}
}

// poke sends without waiting; one that is under way is enough.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
