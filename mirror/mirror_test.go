package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// side is a cache with the mirror and the hooks over it.
type side struct {
	*Mirror
	cache    *cache.Cache
	profiler *profiler.Profiler
	stop     func()
	open     atomic.Bool // the guard
	ending   atomic.Pointer[time.Time]
	inStep   chan struct{}
}

func start(t *testing.T, name string, change func(*cache.Config)) *side {
	t.Helper()
	s := &side{inStep: make(chan struct{}, 16)}
	s.open.Store(true)
	cfg := cache.Config{
		Cluster: "test", Name: name, Bind: netip.MustParseAddrPort("127.0.0.1:0"), SocketTimeout: time.Second,
		OnEvent: func(e cache.Event) {
			if e.Type == cache.EventInStep {
				s.inStep <- struct{}{}
			}
		},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.cache, err = cache.Open(cfg); err != nil {
		t.Fatal(err)
	}
	s.Mirror, err = New(Config{
		Cache: s.cache, Interrupted: func(at time.Time) bool { e := s.ending.Load(); return e != nil && at.After(*e) },
		Guard: func() (bool, time.Duration) { return s.open.Load(), boottime.Now() + time.Minute },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.profiler, err = profiler.New(profiler.Config{Plugins: []profiler.Plugin{s.Mirror}, Overflow: profiler.Block, Payload: true, MaxPayload: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{s.profiler.Run, s.cache.Run} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for errors.Is(s.profiler.Flush(ctx), profiler.ErrNotRunning) {
		runtime.Gosched()
	}
	s.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(s.stop)
	return s
}

func (s *side) promote(t *testing.T, epoch uint64) {
	t.Helper()
	if err := s.cache.Promote(cache.Reign{Epoch: epoch, Instance: s.cache.Instance()}); err != nil {
		t.Fatal(err)
	}
}

// follow makes s a slave of m and waits until it is in step.
func (s *side) follow(t *testing.T, m *side, epoch uint64) {
	t.Helper()
	s.cache.Follow(cache.Reign{Epoch: epoch, Instance: m.cache.Instance()}, m.cache.Addr())
	select {
	case <-m.inStep:
	case <-time.After(20 * time.Second):
		t.Fatal("the slave does not come in step")
	}
}

// settled waits until all that the hooks told is in the caches.
func (s *side) settled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.profiler.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.cache.Flush(ctx); err != nil && !errors.Is(err, cache.ErrNoReplica) {
		t.Fatal(err)
	}
}

func synchronous(cfg *cache.Config) {
	cfg.Caches = []cache.Spec{{Name: cache.DefaultName, Eternal: true, Synchronous: true}}
}

var modes = map[string]func(*cache.Config){"asynchronous": nil, "synchronous": synchronous}

// What a master's hooks tell is what its successor knows.
func TestHandOver(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			a, b := start(t, "a", mode), start(t, "b", mode)
			a.promote(t, 1)
			b.follow(t, a, 1)
			p := a.profiler
			orders, validate, publish := p.Workflow("orders"), p.Service("validate"), p.Producer("publish", profiler.Fence())
			ctx := t.Context()
			broken := errors.New("no stock")

			if err := orders.Do(ctx, "good", func(ctx context.Context) error {
				return publish.Do(ctx, "", func(context.Context) error { return nil })
			}); err != nil {
				t.Fatal(err)
			}
			if err := orders.Do(ctx, "bad", func(context.Context) error { return broken }); !errors.Is(err, broken) {
				t.Fatal(err)
			}
			first, _ := orders.BeginPayload(ctx, "z-first", []byte("bytes"))
			_, _ = validate.Begin(first, "")
			second, _ := orders.Begin(ctx, "a-second")
			_, _ = publish.Begin(second, "")
			third, span := orders.Begin(ctx, "third")
			_, sent := publish.Begin(third, "")
			sent.End(nil)
			now := time.Now()
			a.ending.Store(&now) // what fails now is not finished
			interrupted := context.Canceled
			span.End(&interrupted)
			a.settled(t)

			a.stop()
			b.promote(t, 2)
			for id, want := range map[string]bool{"good": true, "bad": false, "z-first": false, "a-second": false, "unknown": false} {
				if got := b.Seen(id); got != want {
					t.Errorf("seen %s: %v", id, got)
				}
			}
			if m, ok := b.Get("bad"); !ok || m.State != Failed || m.Error != "no stock" {
				t.Errorf("bad: %+v", m)
			}
			left := b.InFlight()
			var got []string
			for i := range left {
				got = append(got, fmt.Sprint(left[i].ID, " ", left[i].Step, " doubt ", left[i].Doubt(""), " published ", left[i].Published("")))
			}
			want := []string{
				"z-first validate doubt false published false",
				"a-second publish doubt true published false",
				"third publish doubt false published true",
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Fatalf("in flight, in order of their start:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if string(left[0].Payload) != "bytes" || left[0].Epoch != 1 || left[0].Attempts != 1 || time.Since(time.UnixMilli(left[0].Started)) > time.Minute {
				t.Errorf("%+v", left[0])
			}
			if open := left[0].Open(); len(open) != 1 || open[0].Name != "validate" || open[0].Kind != profiler.Service {
				t.Errorf("open: %+v", open)
			}

			// The successor does what is left to do.
			orders = b.profiler.Workflow("orders")
			if err := orders.Do(ctx, "z-first", func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
			_, _ = orders.Begin(ctx, "a-second")
			b.settled(t)
			if err := b.Settle("third", Done); err != nil {
				t.Error(err)
			}
			left = b.InFlight()
			if len(left) != 1 || left[0].ID != "a-second" || left[0].Attempts != 2 || left[0].Epoch != 2 || !left[0].Doubt("publish") {
				t.Errorf("left: %+v, want the second, whose doubt stays", left)
			}
			if !b.Seen("z-first") || !b.Seen("third") {
				t.Error("what was done is not seen")
			}
			if err := b.Settle("a-second", Done); err == nil {
				t.Error("a message that runs here can be settled")
			}
		})
	}
}

func TestFence(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			a := start(t, "a", mode)
			publish := a.profiler.Producer("publish", profiler.Fence())
			orders := a.profiler.Workflow("orders")
			try := func(id string) error {
				return orders.Do(t.Context(), id, func(ctx context.Context) error {
					return publish.Do(ctx, "", func(context.Context) error { return nil })
				})
			}
			if err := try("slave"); !errors.Is(err, cache.ErrNotMaster) {
				t.Errorf("no master: %v", err)
			}
			a.promote(t, 1)
			if err := try("alone"); !errors.Is(err, cache.ErrNoReplica) {
				t.Errorf("no slave: %v", err)
			}
			a.settled(t)
			if m, _ := a.Get("alone"); m.State != Failed || m.Doubt("") || m.Published("") {
				t.Errorf("a step that did not run is told of: %+v", m)
			}

			b := start(t, "b", mode)
			b.follow(t, a, 1)
			_ = orders.Do(t.Context(), "m", func(ctx context.Context) error {
				return publish.Do(ctx, "", func(ctx context.Context) error {
					// Here, with no more ado, the slave knows.
					m, ok := b.Get("m")
					if !ok || m.State != InFlight || !m.Doubt("publish") {
						t.Errorf("the slave knows %+v", m)
					}
					if d, ok := ctx.Deadline(); !ok || time.Until(d) < 50*time.Second || time.Until(d) > time.Minute {
						t.Errorf("deadline %v, %v", d, ok)
					}
					return nil
				})
			})
			a.open.Store(false)
			if err := try("closed"); !errors.Is(err, cache.ErrNotMaster) {
				t.Errorf("closed guard: %v", err)
			}
			a.open.Store(true)
			b.stop()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for { // until the master has noticed
				if err := try("gone"); errors.Is(err, cache.ErrNoReplica) {
					break
				} else if err != nil || ctx.Err() != nil {
					t.Fatalf("the slave is gone: %v", err)
				}
			}
			a.cache.Release()
			if err := try("deposed"); !errors.Is(err, cache.ErrNotMaster) {
				t.Errorf("deposed: %v", err)
			}
			a.settledHere(t)
			if st := a.Stats(); st.InFlight != 0 || st.NotMaster == 0 || st.Refused < 5 || st.Fences == 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// settledHere waits until the mirror has heard all.
func (s *side) settledHere(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.profiler.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// The guard counts after the ack, too: mastership may end while a fence waits.
func TestFenceLooksAgain(t *testing.T) {
	a, b := start(t, "a", nil), start(t, "b", nil)
	a.promote(t, 1)
	b.follow(t, a, 1)
	looks := 0
	m, err := New(Config{Cache: a.cache, Guard: func() (bool, time.Duration) { looks++; return looks == 1, 0 }})
	if err != nil {
		t.Fatal(err)
	}
	h := newHooks(t)
	e := at(1, h.publish, 2, profiler.Started, 0)
	if _, err := m.Fence(t.Context(), "m", e); !errors.Is(err, cache.ErrNotMaster) || looks != 2 {
		t.Errorf("%v after %d looks, want ErrNotMaster after 2", err, looks)
	}
}

// What the cache has no room for is not told of, and no fence lets it through.
func TestFull(t *testing.T) {
	a := start(t, "a", func(cfg *cache.Config) { cfg.MaxInFlight = 2 })
	b := start(t, "b", nil)
	a.promote(t, 1)
	b.follow(t, a, 1)
	orders, publish := a.profiler.Workflow("orders"), a.profiler.Producer("publish", profiler.Fence())
	_, one := orders.Begin(t.Context(), "1")
	_, _ = orders.Begin(t.Context(), "2")
	a.settled(t)
	third, _ := orders.Begin(t.Context(), "3")
	err := publish.Do(third, "", func(context.Context) error { t.Error("the step runs"); return nil })
	if !errors.Is(err, cache.ErrFull) {
		t.Errorf("fence: %v", err)
	}
	fourth, span := orders.Begin(t.Context(), "4")
	_, v := a.profiler.Service("validate").Begin(fourth, "")
	a.settled(t)
	v.End(nil)
	a.settled(t)
	if st := a.Stats(); st.Full < 2 || st.InFlight != 2 {
		t.Errorf("stats %+v", st)
	}
	span.End(nil) // that it was done is known all the same
	one.End(nil)
	a.settled(t)
	if !a.Seen("4") || !a.Seen("1") {
		t.Error("what was done is not seen")
	}
	_, _ = orders.Begin(t.Context(), "5")
	a.settled(t)
	if left := a.InFlight(); len(left) != 2 || left[0].ID != "2" || left[1].ID != "5" {
		t.Errorf("in flight %+v, want 2 and 5", left)
	}
}

// A payload that does not fit is left out, not cut.
func TestPayload(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(t, 1)
	orders := a.profiler.Workflow("orders")
	_, _ = orders.BeginPayload(t.Context(), "big", make([]byte, cache.MaxValue))
	_, _ = orders.BeginPayload(t.Context(), "fits", make([]byte, cache.MaxValue-1000))
	_, _ = orders.BeginPayload(t.Context(), strings.Repeat("k", cache.MaxKey+1), nil)
	a.settled(t)
	big, ok := a.Get("big")
	fits, fit := a.Get("fits")
	if !ok || !fit || big.Payload != nil || len(fits.Payload) != cache.MaxValue-1000 {
		t.Errorf("kept %v %v, payloads of %d and %d bytes", ok, fit, len(big.Payload), len(fits.Payload))
	}
	if st := a.Stats(); st.Payloads != 1 || st.Failed != 1 || st.InFlight != 2 {
		t.Errorf("stats %+v", st)
	}
}

// What an earlier reign began is not written over what came since.
func TestReset(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(t, 1)
	ctx, span := a.profiler.Workflow("orders").Begin(t.Context(), "m")
	a.settled(t)
	a.Reset()
	if err := a.Settle("m", Done); err != nil {
		t.Fatal(err)
	}
	_, v := a.profiler.Service("validate").Begin(ctx, "")
	v.End(nil)
	a.settled(t)
	if !a.Seen("m") {
		t.Error("a step of an earlier reign counts")
	}
	span.End(nil)
}

// Entries that no hooks wrote are in flight too.
func TestForeign(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(t, 1)
	named, err := a.cache.Named(cache.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(named.PutInFlight(t.Context(), "k", []byte("text")), named.Put(t.Context(), "other", []byte("text"))); err != nil {
		t.Fatal(err)
	}
	left := a.InFlight()
	if len(left) != 1 || left[0].ID != "k" || left[0].State != InFlight || string(left[0].Payload) != "text" || a.Seen("other") {
		t.Errorf("in flight %+v", left)
	}
	if _, ok := a.Get("k"); ok {
		t.Error("text is a message")
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no cache is no fault")
	}
	a := start(t, "a", nil)
	if _, err := New(Config{Cache: a.cache, Name: "unknown"}); !errors.Is(err, cache.ErrUnknown) {
		t.Errorf("unknown cache: %v", err)
	}
	if err := a.Settle("m", InFlight); err == nil {
		t.Error("in flight is no end")
	}
}

// Many messages at once, with fences: each ends as it should, and none is left.
func TestMany(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			a, b := start(t, "a", mode), start(t, "b", mode)
			a.promote(t, 1)
			b.follow(t, a, 1)
			p := a.profiler
			orders, validate, publish := p.Workflow("orders"), p.Service("validate"), p.Producer("publish", profiler.Fence())
			const workers, each = 8, 200
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range each {
						id := fmt.Sprintf("%d-%d", w, i)
						for run := range 1 + i%2 { // every other one twice
							err := orders.Do(t.Context(), id, func(ctx context.Context) error {
								_ = validate.Do(ctx, "", func(context.Context) error { return nil })
								return publish.Do(ctx, "", func(context.Context) error {
									if m, ok := b.Get(id); !ok || m.State != InFlight || !m.Doubt("publish") {
										t.Errorf("%s, run %d: the slave knows %+v", id, run, m)
									}
									return nil
								})
							})
							if err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			wg.Wait()
			a.settled(t)
			for w := range workers {
				for i := range each {
					m, ok := b.Get(fmt.Sprintf("%d-%d", w, i))
					if !ok || m.State != Done || m.Attempts != uint32(1+i%2) || len(m.Steps) > 0 {
						t.Fatalf("%d-%d: %+v", w, i, m)
					}
				}
			}
			if left, st := b.InFlight(), a.Stats(); len(left) > 0 || st.InFlight > 0 {
				t.Errorf("%d in flight, stats %+v", len(left), st)
			}
		})
	}
}

// overfull is a plugin whose queue was full whenever a workflow began.
type overfull struct{ *Mirror }

func (o overfull) Observe(batch []profiler.Event) {
	began := func(e profiler.Event) bool { return e.Step.Kind() == profiler.Workflow && e.Phase == profiler.Started }
	o.Mirror.Observe(slices.DeleteFunc(slices.Clone(batch), began))
	o.Lost(1)
}

// A workflow whose start was not heard still runs when its fenced producer has
// completed: it is in flight for a successor, not done.
func TestFenceStartLost(t *testing.T) {
	a, b := start(t, "a", nil), start(t, "b", nil)
	a.promote(t, 1)
	b.follow(t, a, 1)
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{overfull{a.Mirror}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for errors.Is(p.Flush(ctx), profiler.ErrNotRunning) {
		runtime.Gosched()
	}
	flush := func() {
		t.Helper()
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.cache.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}

	run, span := p.Workflow("orders").Begin(ctx, "o-17")
	if err := p.Producer("publish", profiler.Fence()).Do(run, "", func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	flush()
	if left := b.InFlight(); b.Seen("o-17") || len(left) != 1 {
		t.Errorf("while it runs: seen as done %v, in flight %+v", b.Seen("o-17"), left)
	}
	span.End(nil)
	flush()
	if left := b.InFlight(); !b.Seen("o-17") || len(left) != 0 {
		t.Errorf("when it has ended: seen as done %v, in flight %+v", b.Seen("o-17"), left)
	}
}
