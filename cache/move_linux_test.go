package cache

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// on is an address of this host, of which Linux has many.
func on(i byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 91, i}) }

// A slave moves, then the master, while puts go on. Gossip alone tells where
// they are, the roles stay, what was acknowledged is everywhere, and is sent
// once: no copy is fetched anew. Then a slave that moved is the master.
func TestMove(t *testing.T) {
	t.Parallel()
	var all []*instance
	for i := range byte(3) {
		all = append(all, start(t, string('a'+rune(i)), func(cfg *Config) {
			cfg.Bind = netip.AddrPortFrom(on(i+1), 0)
			cfg.AutoFollow = true
			cfg.Caches = []Spec{{Name: DefaultName, Eternal: true, Synchronous: true}}
			cfg.WhenAlone = AloneBlock
			if i > 0 {
				cfg.Peers = []string{all[0].Addr().String()}
			}
		}))
	}
	a, b, c := all[0], all[1], all[2]
	a.promote(1)
	inStep := func(m *instance, want ...*instance) func() bool {
		return func() bool {
			found := 0
			for _, s := range m.Status().Followers {
				for _, w := range want {
					if f := w.Status().Following; s.InStep && s.Addr == w.Addr() && f.Connected && f.Addr == m.Addr() {
						found++
					}
				}
			}
			return found == len(want)
		}
	}
	gossipUntil(t, "all are in step", inStep(a, b, c))
	snapshots := a.Status().Counters.Snapshots

	ctx, cancel := context.WithCancel(t.Context())
	puts := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if err := a.named().Put(t.Context(), fmt.Sprint("key", n), []byte("v")); err != nil {
				t.Errorf("put %d: %v", n, err)
				break
			}
			time.Sleep(time.Millisecond)
		}
		puts <- n
	}()
	for i, x := range []*instance{b, a} {
		was := x.Addr()
		if err := x.Move(on(byte(11 + i))); err != nil {
			t.Fatal(err)
		}
		if x.Addr() == was || x.Addr().Port() != was.Port() {
			t.Errorf("moved from %v to %v", was, x.Addr())
		}
		for _, o := range all {
			if o != x {
				gossipUntil(t, o.cfg.Name+" is told where "+x.cfg.Name+" is", func() bool {
					for _, m := range o.gossip.members() {
						if m.Instance == x.Instance() {
							return m.Addr == x.Addr()
						}
					}
					return false
				})
			}
		}
		gossipUntil(t, "all are in step after "+x.cfg.Name+" moved", inStep(a, b, c))
	}
	cancel()
	n := <-puts
	same(t, a, b, c)
	if got := a.named().Len(); got != n {
		t.Errorf("%d entries after %d puts", got, n)
	}
	if got := a.Status().Counters.Snapshots; got != snapshots {
		t.Errorf("%d snapshots, want %d", got, snapshots)
	}

	b.promote(2)
	gossipUntil(t, "all are in step with b", inStep(b, a, c))
	b.put("from b", "v")
	if _, ok := a.named().Get("from b"); !ok {
		t.Error("a does not hold what b has put")
	}
	for _, x := range all {
		if lost := x.saw(EventLost) + x.saw(EventMaybeLost) + x.saw(EventOrphans) + x.saw(EventResync); lost > 0 {
			t.Errorf("%s: %d events tell of a loss", x.cfg.Name, lost)
		}
	}
}

// What cannot be had is no harm; a port in use is another one.
func TestMoveToWhatIsInUse(t *testing.T) {
	a, b := start(t, "a", nil), start(t, "b", nil)
	was := a.Addr()
	if err := a.Move(netip.MustParseAddr("192.0.2.1")); err == nil {
		t.Error("moved to an address of nobody's")
	}
	if a.Addr() != was {
		t.Errorf("is at %v after a move that failed, was at %v", a.Addr(), was)
	}
	l, p, err := listenBoth(netip.AddrPortFrom(on(21), was.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer p.Close()
	if err := a.Move(on(21)); err != nil {
		t.Fatal(err)
	}
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	await(t, "b is in step", func() bool { return a.saw(EventInStep) == 1 })
	a.stop()
	if err := a.Move(on(22)); err == nil {
		t.Error("moved after its end")
	}
}
