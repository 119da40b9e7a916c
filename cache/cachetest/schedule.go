package cachetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
)

// Schedule runs random faults, elections and operations, drawn from the seed,
// ends them, and checks what is left. It must be called in a synctest bubble.
func Schedule(seed uint64, debug bool) *Lab {
	rng := rand.New(rand.NewPCG(seed, 0x5c4ed))
	async := cache.Spec{Name: "async", MaxEntries: 12, Eternal: true}
	sync := cache.Spec{Name: "sync", Eternal: true, Synchronous: rng.IntN(4) > 0}
	short := cache.Spec{Name: "brief", MaxEntries: 8, TimeToLive: 700 * time.Millisecond, TimeToIdle: 450 * time.Millisecond}
	alone := cache.WhenAlone(rng.IntN(2))
	secret, gossip := rng.IntN(8) == 0, rng.IntN(8) == 0
	l := NewLab(LabConfig{Seed: seed, Debug: debug, Caches: []cache.Spec{async, sync, short}, Change: func(cfg *cache.Config) {
		cfg.WhenAlone = alone
		cfg.MaxInFlight = 6
		if secret {
			cfg.Keys = [][32]byte{{1, 2, 3}}
		}
		if gossip {
			cfg.Peers = []string{"10.0.0.1:7800", "10.0.0.2:7800", "10.0.0.3:7800"}
		}
	}})
	s := &schedule{Lab: l, rng: rng, big: rng.IntN(3) == 0, secret: secret}
	s.run(3+rng.IntN(3), 15+rng.IntN(20))
	return l
}

type schedule struct {
	*Lab
	rng    *rand.Rand
	big    bool // values that fill the ring
	secret bool // streams are encrypted
	hosts  []string
	paused atomic.Bool
	ended  atomic.Bool
}

func (s *schedule) run(hosts, steps int) {
	for n := range hosts {
		s.hosts = append(s.hosts, string(rune('a'+n)))
	}
	for _, name := range s.hosts[:hosts-s.rng.IntN(2)] { // one may join later
		s.Start(name)
	}
	s.link()
	s.Elect(s.pick(s.Alive()))
	var clients sync.WaitGroup
	for n := range 3 {
		rng := rand.New(rand.NewPCG(s.rng.Uint64(), uint64(n)))
		clients.Go(func() {
			for !s.ended.Load() {
				s.operate(rng)
			}
		})
	}
	for range steps {
		if len(s.Faults()) > 0 {
			break
		}
		s.step()
		time.Sleep(time.Duration(s.rng.Int64N(int64(150 * time.Millisecond))))
		s.Check()
	}
	s.paused.Store(true)
	if len(s.Faults()) == 0 && s.Calm(60*time.Second) {
		time.Sleep(1500 * time.Millisecond)
		s.Check()
		for key, it := range s.Master().shadow["brief"] {
			if !it.inFlight {
				s.Fail("%q = %s, record %d, which lives 700ms, is there after 1.5s", key, brief(it.value), it.n)
			}
		}
		s.paused.Store(false)
		time.Sleep(100 * time.Millisecond) // and it still works
		s.paused.Store(true)
		s.Calm(10 * time.Second)
	}
	s.ended.Store(true)
	clients.Wait()
	s.Close()
}

func (s *schedule) pick(from []*Instance) *Instance {
	if len(from) == 0 {
		return nil
	}
	return from[s.rng.IntN(len(from))]
}

// two picks two different hosts.
func (s *schedule) two() (a, b string) {
	p := s.rng.Perm(len(s.hosts))
	return s.hosts[p[0]], s.hosts[p[1]]
}

func (s *schedule) link() {
	link := Link{Delay: time.Duration(50+s.rng.IntN(2000)) * time.Microsecond, Jitter: time.Duration(1+s.rng.IntN(1000)) * time.Microsecond}
	if s.rng.IntN(4) == 0 {
		link.Loss, link.Double, link.Reorder = 0.1, 0.1, 0.2
	}
	link.Buffer = 8 << 10 << s.rng.IntN(6)
	s.logf("link %+v", link)
	s.Fabric.SetLink(link)
}

// step does one thing.
func (s *schedule) step() {
	i := s.pick(s.Alive())
	a, b := s.two()
	switch n := s.rng.IntN(100); {
	case n < 10:
		s.logf("cut %s %s", a, b)
		s.Fabric.Cut(a, b)
	case n < 15:
		s.logf("cut %s to %s", a, b)
		s.Fabric.CutOneWay(a, b)
	case n < 20: // one alone
		s.logf("isolate %s", a)
		for _, other := range s.hosts {
			if other != a {
				s.Fabric.Cut(a, other)
			}
		}
	case n < 30:
		s.logf("heal")
		s.Fabric.HealAll()
		s.Resolve()
	case n < 38:
		if !i.stalled {
			s.Stall(i)
		}
	case n < 46:
		for _, i := range s.Alive() {
			if i.stalled {
				s.Wake(i)
				break
			}
		}
	case n < 54:
		if len(s.Alive()) > 2 {
			s.Kill(i, s.rng.IntN(4) == 0)
		}
	case n < 66:
		for _, name := range s.hosts {
			if s.On(name) == nil {
				s.Fabric.On(name)
				s.Start(name)
				s.Resolve()
				break
			}
		}
	case n < 80: // who hears no master may become one
		if !i.stalled && s.best(append(s.Near(i), i)) == nil || s.rng.IntN(4) == 0 && !i.stalled {
			s.Elect(i, s.deaf(i)...)
		} else {
			s.Resolve()
		}
	case n < 84:
		if m := s.Master(); m != nil && !m.stalled {
			if heir := s.pick(s.Near(m)); heir != nil {
				s.HandOver(m, heir)
			}
		}
	case n < 88:
		s.logf("reset %s %s", a, b)
		s.Fabric.Reset(a, b)
	case n < 92:
		if s.secret {
			break // TLS answers with an alert, under a mutex that a writer may hold: a bubble would stand still
		}
		s.logf("corrupt %s to %s", a, b)
		s.Fabric.Corrupt(a, b)
	case n < 94:
		s.link()
	case n < 96:
		if m := s.Master(); m != nil && !m.stalled {
			s.Raise(m, s.promisedTo(m).Epoch+1)
			s.Resolve()
		}
	default:
		s.burst()
	}
}

// deaf is, at times, one instance that will not answer.
func (s *schedule) deaf(i *Instance) []*Instance {
	for _, p := range s.Alive() {
		if p != i && !s.reaches(i, p) && s.rng.IntN(3) == 0 {
			return []*Instance{p}
		}
	}
	return nil
}

// burst writes more than the ring holds.
func (s *schedule) burst() {
	s.logf("burst")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for n := range 30 {
		if i := s.pick(s.Writers()); i != nil {
			_, _ = i.Put(ctx, "async", fmt.Sprint("k", n%10), 60<<10, false)
		}
		time.Sleep(time.Millisecond)
	}
}

// operate is one operation of a client, on whoever takes itself for a master.
func (s *schedule) operate(rng *rand.Rand) {
	time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Millisecond))))
	open := s.Writers()
	if s.paused.Load() || len(open) == 0 {
		return
	}
	i := open[rng.IntN(len(open))]
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(50+rng.IntN(500))*time.Millisecond)
	defer cancel()
	name := []string{"async", "sync", "brief"}[rng.IntN(3)]
	size := 20 + rng.IntN(100)
	if s.big && rng.IntN(8) == 0 {
		size = rng.IntN(50 << 10)
	}
	key, flight := fmt.Sprint("k", rng.IntN(16)), fmt.Sprint("f", rng.IntN(8))
	switch n := rng.IntN(100); {
	case n < 50:
		_, _ = i.Put(ctx, name, key, size, false)
	case n < 65:
		for range 1 + rng.IntN(10) { // at once
			_, _ = i.Put(ctx, "async", fmt.Sprint("k", rng.IntN(16)), 20, false)
		}
	case n < 77:
		_, _ = i.Put(ctx, name, flight, size, true)
	case n < 84:
		_, _ = i.Put(ctx, name, flight, size, false)
	case n < 94:
		_ = i.Remove(ctx, name, slices.Concat([]string{key}, []string{flight})[rng.IntN(2)])
	case n < 98:
		if named, err := i.Cache.Named(name); err == nil {
			named.Get(key)
		}
	default:
		_ = i.Cache.Flush(ctx)
	}
}
