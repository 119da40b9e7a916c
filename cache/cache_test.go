package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// instance is one running cache of a test.
type instance struct {
	*Cache
	t    *testing.T
	stop func()

	mu     sync.Mutex
	events []Event
}

// start opens and runs a cache on loopback; it ends with the test.
func start(t *testing.T, name string, change func(*Config)) *instance {
	t.Helper()
	i := &instance{t: t}
	cfg := Config{
		Cluster: "test", Name: name, Bind: netip.MustParseAddrPort("127.0.0.1:0"), SocketTimeout: time.Second,
		Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		OnEvent: func(e Event) {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.events = append(i.events, e)
		},
	}
	if change != nil {
		change(&cfg)
	}
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	i.Cache = c
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	i.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: Run: %v", name, err)
		}
	})
	t.Cleanup(i.stop)
	return i
}

func (i *instance) saw(typ EventType) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, e := range i.events {
		if e.Type == typ {
			n++
		}
	}
	return n
}

// reign is a reign of this instance.
func (i *instance) reign(epoch uint64) Reign { return Reign{Epoch: epoch, Instance: i.Instance()} }

func (i *instance) promote(epoch uint64) {
	i.t.Helper()
	if err := i.Promote(i.reign(epoch)); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) named() *Named {
	i.t.Helper()
	n, err := i.Named(DefaultName)
	if err != nil {
		i.t.Fatal(err)
	}
	return n
}

func (i *instance) put(key, value string) {
	i.t.Helper()
	if err := i.named().Put(i.t.Context(), key, []byte(value)); err != nil {
		i.t.Fatalf("put %s: %v", key, err)
	}
}

func (i *instance) contents() map[string]string {
	all := map[string]string{}
	for _, e := range i.named().List("", 0, nil) {
		all[e.Key] = string(e.Value)
	}
	return all
}

// await polls for something that other goroutines bring about.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func same(t *testing.T, a *instance, others ...*instance) {
	t.Helper()
	for _, b := range others {
		// A record of who is in step may come at any time, so both in one look.
		var x, y digest
		await(t, b.cfg.Name+" reaches "+a.cfg.Name, func() bool {
			a.mu1(func(r *replica) { x = r.digest() })
			b.mu1(func(r *replica) { y = r.digest() })
			return x.Pos == y.Pos
		})
		if x != y {
			t.Fatalf("digests differ: %+v, %+v", x, y)
		}
		if x, y := a.contents(), b.contents(); !maps.Equal(x, y) {
			t.Fatalf("%s has %d entries, %s has %d, or they differ: %v", a.cfg.Name, len(x), b.cfg.Name, len(y), y)
		}
	}
}

func (i *instance) mu1(f func(*replica)) {
	i.Cache.mu.Lock()
	defer i.Cache.mu.Unlock()
	f(i.own)
}

func TestFollow(t *testing.T) {
	a, b, c := start(t, "a", nil), start(t, "b", nil), start(t, "c", nil)
	if err := b.named().Put(t.Context(), "k", nil); !errors.Is(err, ErrNotMaster) {
		t.Fatalf("put on a slave: %v", err)
	}
	a.promote(1)
	a.put("before", "1")
	for _, s := range []*instance{b, c} {
		s.Follow(a.reign(1), a.Addr())
	}
	for n := range 1000 {
		a.put(fmt.Sprint("key", n%100), fmt.Sprint(n))
	}
	if err := a.named().PutInFlight(t.Context(), "flying", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := a.named().Remove(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	same(t, a, b, c)
	e, ok := c.named().Get("flying")
	if !ok || !e.InFlight || string(e.Value) != "x" {
		t.Fatalf("flying = %+v, %v", e, ok)
	}
	if _, ok := c.named().Get("before"); ok {
		t.Fatal("removed, and still there")
	}
}

func TestSynchronousPutIsHeldByAll(t *testing.T) {
	sync := func(cfg *Config) { cfg.Caches = []Spec{{Name: DefaultName, Eternal: true, Synchronous: true}} }
	a, b, c := start(t, "a", sync), start(t, "b", sync), start(t, "c", sync)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	c.Follow(a.reign(1), a.Addr())
	await(t, "both in step", func() bool { return a.saw(EventInStep) == 2 })
	for n := range 200 {
		key := fmt.Sprint("key", n)
		a.put(key, "v")
		for _, s := range []*instance{b, c} {
			if _, ok := s.named().Get(key); !ok {
				t.Fatalf("%s does not hold %s, which was acknowledged", s.cfg.Name, key)
			}
		}
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotToAJoinerWhileWritesGoOn(t *testing.T) {
	small := func(cfg *Config) { cfg.RingBytes = 1 << 20 }
	a, b := start(t, "a", small), start(t, "b", small)
	a.promote(1)
	for n := range 20000 {
		a.put(fmt.Sprint("key", n), fmt.Sprintf("%0200d", n))
	}
	b.Follow(a.reign(1), a.Addr())
	for n := range 20000 {
		if n%3 == 0 {
			if err := a.named().Remove(t.Context(), fmt.Sprint("key", n)); err != nil {
				t.Fatal(err)
			}
		} else {
			a.put(fmt.Sprint("key", n+5000), "new")
		}
	}
	same(t, a, b)
	if b.saw(EventSnapshot) == 0 {
		t.Fatal("there was no snapshot")
	}
}

func TestTakeOverAndOrphans(t *testing.T) {
	a, b, c := start(t, "a", nil), start(t, "b", nil), start(t, "c", nil)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	c.Follow(a.reign(1), a.Addr())
	a.put("common", "1")
	same(t, a, b, c)
	// b is cut off from the next writes; c has them, and a barrier brings them.
	b.Release()
	a.put("late", "2")
	same(t, a, c)
	c.Release()
	a.put("alone", "3") // only a has this
	a.put("common", "a's")
	if _, err := b.Barrier(t.Context(), 2, []netip.AddrPort{c.Addr()}); err != nil {
		t.Fatal(err)
	}
	b.promote(2)
	if e, ok := b.named().Get("late"); !ok || string(e.Value) != "2" {
		t.Fatalf("late = %v, %v", e, ok)
	}
	c.Follow(b.reign(2), b.Addr())
	b.put("common", "b's")
	a.Follow(b.reign(2), b.Addr())
	if err := a.named().Put(t.Context(), "x", nil); !errors.Is(err, ErrNotMaster) {
		t.Fatalf("put on a deposed master: %v", err)
	}
	for _, i := range []*instance{a, b, c} {
		await(t, "orphans at "+i.cfg.Name, func() bool { return len(i.named().Orphans()) == 2 })
	}
	same(t, b, a, c)
	got := map[string]string{}
	for _, o := range c.named().Orphans() {
		got[o.Key] = string(o.Value)
		if o.From != a.Instance() || o.Orphan.Epoch != 1 {
			t.Errorf("orphan %+v does not say that it was a's", o)
		}
	}
	if want := map[string]string{"alone": "3", "common": "a's"}; !maps.Equal(got, want) {
		t.Fatalf("orphans %v, want %v", got, want)
	}
	if e, _ := a.named().Get("common"); string(e.Value) != "b's" {
		t.Fatalf("common = %s", e.Value)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, keys := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			open := func(name string) *Cache {
				c, err := Open(Config{Cluster: "bench", Name: name, Bind: netip.MustParseAddrPort("127.0.0.1:0")})
				if err != nil {
					b.Fatal(err)
				}
				go func() { _ = c.Run(ctx) }()
				return c
			}
			m, s1, s2 := open("m"), open("s1"), open("s2")
			r := Reign{1, m.Instance()}
			if err := m.Promote(r); err != nil {
				b.Fatal(err)
			}
			s1.Follow(r, m.Addr())
			s2.Follow(r, m.Addr())
			names := make([]string, keys)
			for i := range names {
				names[i] = fmt.Sprintf("key:%012d", i)
			}
			n, _ := m.Named(DefaultName)
			value := make([]byte, 200)
			b.ResetTimer()
			for i := range b.N {
				_ = n.Put(ctx, names[i%keys], value)
			}
			for s1.Pos() != m.Pos() || s2.Pos() != m.Pos() {
				time.Sleep(100 * time.Microsecond)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(float64(m.Status().Counters.Cuts), "cuts")
		})
	}
}
