package cachetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/cache"
)

// Port is where every cache of a [Lab] listens.
const Port = 7800

// LabConfig is what a Lab is made of.
type LabConfig struct {
	Seed   uint64
	Caches []cache.Spec
	Debug  bool // the caches' own logs are part of Lab.Log
	// Change is called with the configuration of each instance before it is
	// opened. May be nil.
	Change func(*cache.Config)
}

// Lab runs caches on a [Fabric], in a synctest bubble, and knows what each
// should hold. Its methods belong to one goroutine, the one that made it; only
// [Instance.Put] and the other operations may be used from others.
type Lab struct {
	Fabric *Fabric
	// Log is what happened.
	Log []string
	// Count is how often things happened.
	Count map[string]int

	cfg     LabConfig
	began   time.Time
	rng     *rand.Rand
	reigns  map[cache.Reign]*reign
	expect  []orphan // that must be kept
	starts  uint64
	lastOp  uint64
	dropped map[string]bool   // keys whose orphans were dropped
	saved   map[string]uint64 // epochs, by host

	mu     sync.Mutex  // guards what follows, and the reigns' records
	all    []*Instance // also the dead
	faults []string
	ops    map[string]*operation // by value
}

// Instance is one start of a cache.
type Instance struct {
	Name  string
	ID    cache.InstanceID
	Addr  netip.AddrPort
	Cache *cache.Cache

	lab      *Lab
	host     *Host
	stop     context.CancelFunc
	done     chan struct{}
	dead     bool // its process was killed
	died     time.Duration
	stalled  bool
	off      bool
	reign    *reign      // as master; nil: it is a slave. lab.mu guards it
	open     bool        // as master: clients may write. lab.mu guards it
	promised cache.Reign // the greatest that it was told of
	at       point       // at the last check
	vowed    cache.Reign // promised, then
	shadow   content
	events   map[cache.EventType]int // lab.mu guards it
	alone    bool                    // EventAlone, and EventInStep not since. lab.mu guards it
	follows  *Instance
	followed *reign
}

// orphan is an entry that was cut off with a fork.
type orphan struct {
	in    *Instance
	cache string
	key   string
	wrote *reign
	item
}

// NewLab makes a lab without instances.
func NewLab(cfg LabConfig) *Lab {
	return &Lab{
		Fabric: NewFabric(cfg.Seed), Count: map[string]int{}, cfg: cfg, began: time.Now(),
		rng:    rand.New(rand.NewPCG(cfg.Seed, 0x1ab)),
		reigns: map[cache.Reign]*reign{}, ops: map[string]*operation{}, dropped: map[string]bool{}, saved: map[string]uint64{},
	}
}

func (l *Lab) now() time.Duration { return time.Since(l.began) }

func (l *Lab) logf(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logLocked(format, a...)
}

func (l *Lab) logLocked(format string, a ...any) {
	l.Log = append(l.Log, fmt.Sprintf("%12v ", l.now())+fmt.Sprintf(format, a...))
}

// Fail notes that something is wrong.
func (l *Lab) Fail(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(format, a...)
}

func (l *Lab) failLocked(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if len(l.faults) < 5 {
		l.logLocked("WRONG: %s", text)
	}
	l.faults = append(l.faults, text)
}

// Faults are the things that were wrong.
func (l *Lab) Faults() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults)
}

func (l *Lab) count(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Count[what]++
}

// Start starts a cache on a host that has none.
func (l *Lab) Start(name string) *Instance {
	l.starts++
	i := &Instance{Name: name, lab: l, done: make(chan struct{}), events: map[cache.EventType]int{}, shadow: content{}}
	binary.BigEndian.PutUint64(i.ID[:], l.rng.Uint64()|1)
	binary.BigEndian.PutUint64(i.ID[8:], l.starts)
	i.host = l.Fabric.Host(name)
	i.Addr = netip.AddrPortFrom(i.host.Addr(), Port)
	cfg := cache.Config{
		Cluster: "lab", Name: name, Instance: i.ID, Bind: i.Addr, Caches: slices.Clone(l.cfg.Caches),
		RingBytes: 1 << 20, Network: i.host, Now: l.now, OnEvent: i.event,
	}
	if l.cfg.Debug {
		cfg.Log = zerolog.New(zerolog.ConsoleWriter{Out: (*logWriter)(i), NoColor: true, PartsExclude: []string{zerolog.TimestampFieldName}})
	}
	if l.cfg.Change != nil {
		l.cfg.Change(&cfg)
	}
	var err error
	if i.Cache, err = cache.Open(cfg); err != nil {
		l.Fail("open %s: %v", name, err)
		close(i.done)
		i.dead = true
		return i
	}
	l.mu.Lock()
	l.all = append(l.all, i)
	l.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	i.stop = stop
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := i.Cache.Run(ctx); err != nil && !i.gone() {
			l.Fail("run %s: %v", name, err)
		}
	})
	wg.Go(func() { i.watch(ctx) })
	go func() { wg.Wait(); close(i.done) }()
	synctest.Wait()
	if l.rng.IntN(5) > 0 { // else its state was lost
		i.promised.Epoch = l.saved[name]
	}
	l.logf("start %s as %.4x, epoch %d", name, i.ID[:2], i.promised.Epoch)
	return i
}

// logWriter puts an instance's log into the lab's.
type logWriter Instance

func (w *logWriter) Write(line []byte) (int, error) {
	w.lab.logf("%s: %s", w.Name, bytes.TrimSpace(line))
	return len(line), nil
}

// watch keeps every record that this instance writes as master.
func (i *Instance) watch(ctx context.Context) {
	l := i.lab
	for {
		err := i.Cache.Watch(ctx, func(changes []cache.Change) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if i.reign == nil || i.dead {
				return
			}
			for _, ch := range changes {
				r := i.reign
				for r != nil && ch.N <= r.base && r.parent != nil && r.parent.of.Instance == i.ID {
					r = r.parent // written just before it took a greater epoch
				}
				if n := len(r.records); ch.N <= r.base || n > 0 && r.records[n-1].N >= ch.N {
					l.failLocked("%s writes record %d of %v, which it has written already", i.Name, ch.N, r)
				}
				r.records = append(r.records, ch)
				if ch.Op == cache.OpPut || ch.Op == cache.OpUpdate {
					l.wrote(i, r, &ch)
				}
			}
		})
		if !errors.Is(err, cache.ErrLagged) {
			if err != nil && !errors.Is(err, cache.ErrClosed) {
				l.Fail("watch %s: %v", i.Name, err)
			}
			return
		}
		l.mu.Lock()
		if i.reign != nil && !i.dead {
			i.reign.holes = true
			l.Count["holes"]++
		}
		l.mu.Unlock()
	}
}

func (i *Instance) event(e cache.Event) {
	l := i.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	if i.dead {
		return
	}
	i.events[e.Type]++
	l.Count[e.Type.String()]++
	switch e.Type {
	case cache.EventAlone:
		i.alone = true
	case cache.EventInStep:
		i.alone = false
	case cache.EventSealed: // also by a claim that was given up long ago
		i.promise(cache.Reign{Epoch: e.Epoch, Instance: e.Peer})
	default:
	}
	peer := e.Name
	if peer == "" && !e.Peer.IsZero() {
		peer = fmt.Sprintf("%.4x", e.Peer[:2])
	}
	l.logLocked("%s: %v peer=%s epoch=%d %d..%d count=%d %s", i.Name, e.Type, peer, e.Epoch, e.From, e.To, e.Count, e.Detail)
}

// promise notes a reign that an instance was told of. The lab's mutex is held.
func (i *Instance) promise(r cache.Reign) {
	if outranks(r, i.promised) {
		i.promised = r
	}
}

// Alive are the instances whose process was not killed, by name.
func (l *Lab) Alive() []*Instance {
	var alive []*Instance
	for _, i := range l.all {
		if !i.dead {
			alive = append(alive, i)
		}
	}
	slices.SortFunc(alive, func(a, b *Instance) int { return cmp.Compare(a.Name, b.Name) })
	return alive
}

// On is the living instance on a host, or nil.
func (l *Lab) On(name string) *Instance {
	for _, i := range l.Alive() {
		if i.Name == name {
			return i
		}
	}
	return nil
}

func (l *Lab) byID(id cache.InstanceID) *Instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, i := range l.all {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// Kill kills an instance's process, or, with power, takes its host's power.
func (l *Lab) Kill(i *Instance, power bool) {
	if i.dead {
		return
	}
	l.Check()
	if power {
		l.Fabric.Off(i.Name)
	} else {
		l.Fabric.Kill(i.Name)
	}
	l.saved[i.Name] = l.promisedTo(i).Epoch
	l.mu.Lock()
	i.dead, i.open, i.off, i.died = true, false, power, l.now()
	l.mu.Unlock()
	l.logf("kill %s (power %v) at %v", i.Name, power, i.at)
	i.end()
}

// end waits for Run to return.
func (i *Instance) end() {
	i.stop()
	select {
	case <-i.done:
	case <-time.After(30 * time.Second):
		i.lab.Fail("%s does not end", i.Name)
	}
}

// Stall stops a host; Wake ends that.
func (l *Lab) Stall(i *Instance) {
	l.logf("stall %s", i.Name)
	l.setStalled(i, true)
	l.Fabric.Stall(i.Name)
}

// Wake ends a stall.
func (l *Lab) Wake(i *Instance) {
	l.logf("wake %s", i.Name)
	l.setStalled(i, false)
	l.Fabric.Wake(i.Name)
}

func (l *Lab) setStalled(i *Instance, stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i.stalled = stalled
}

// Writers are the instances that take themselves for the master now. It may be
// used from any goroutine.
func (l *Lab) Writers() []*Instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []*Instance
	for _, i := range l.all {
		if i.open && !i.dead && !i.stalled {
			open = append(open, i)
		}
	}
	return open
}

// reaches reports whether two instances hear each other.
func (l *Lab) reaches(a, b *Instance) bool {
	return a == b || !a.dead && !b.dead && l.Fabric.Reachable(a.Name, b.Name)
}

// Near are the instances that one reaches, without itself.
func (l *Lab) Near(i *Instance) []*Instance {
	return slices.DeleteFunc(l.Alive(), func(p *Instance) bool { return p == i || !l.reaches(i, p) })
}

// Close ends all.
func (l *Lab) Close() {
	l.Fabric.HealAll()
	for _, i := range l.Alive() {
		if i.stalled {
			l.Wake(i)
		}
	}
	for _, i := range l.Alive() {
		l.mu.Lock()
		i.dead, i.open = true, false
		l.mu.Unlock()
		i.end()
		l.Fabric.Kill(i.Name)
	}
}
