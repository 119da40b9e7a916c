package node

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/mirror"
)

// openCache runs a cache on loopback until the test ends.
func openCache(t *testing.T, name string, change func(*cache.Config)) cacheAPI {
	t.Helper()
	cfg := cache.Config{Cluster: "test", Name: name, Bind: netip.MustParseAddrPort("127.0.0.1:0"), SocketTimeout: time.Second}
	if change != nil {
		change(&cfg)
	}
	c, err := cache.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return cacheAPI{cache: c, known: func() admin.Status { return admin.Status{} }}
}

func promote(t *testing.T, a cacheAPI) cache.Reign {
	t.Helper()
	r := cache.Reign{Epoch: 3, Instance: a.cache.Instance()}
	if err := a.cache.Promote(r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCacheAPI(t *testing.T) {
	a := openCache(t, "a", func(c *cache.Config) { c.MaxInFlight = 2 })
	promote(t, a)
	ctx := t.Context()
	m, err := mirror.Message{ID: "m-1", Workflow: "orders", Step: "publish", State: mirror.Done}.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, value []byte, inFlight bool) error {
		return a.Put(ctx, cache.DefaultName, key, value, inFlight)
	}
	for i, err := range []error{put("m-1", m, false), put("p/1", []byte("x"), true), put("p/2", nil, true), put("k\xff", []byte("v"), false)} {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	s := a.Stats()
	c, err := s.Named("")
	if err != nil || c.Entries != 4 || c.InFlight != 2 || s.Role != admin.RoleMaster || s.Copy != nil || s.Epoch != 3 || s.Counters["puts"] != 4 {
		t.Errorf("stats: %+v, %v", s, err)
	}
	if got := a.status(admin.Status{}); got.Copy != nil || got.Name != cache.DefaultName || got.Entries != 4 || got.InFlight != 2 || got.Seq != s.Seq || got.InSync == nil {
		t.Errorf("status: %+v", got)
	}
	list, err := a.List(cache.DefaultName, admin.CacheQuery{Limit: 10, State: "in-flight"})
	if err != nil || len(list) != 2 || list[0].Key != "p/1" || list[0].Size != 1 || list[0].Seq == 0 {
		t.Errorf("in flight: %+v, %v", list, err)
	}
	if list, err = a.List(cache.DefaultName, admin.CacheQuery{Limit: 10, Workflow: "orders"}); err != nil || len(list) != 1 || list[0].Step != "publish" {
		t.Errorf("orders: %+v, %v", list, err)
	}
	if e, v, err := a.Get(cache.DefaultName, "m-1", false); err != nil || string(v) != string(m) || e.State != "done" {
		t.Errorf("get: %+v, %q, %v", e, v, err)
	}

	brief, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	for _, tt := range []struct {
		what string
		err  error
		kind admin.Kind
		says string
	}{
		{"put without room", a.Put(brief, cache.DefaultName, "p/3", nil, true), admin.KindFull, "in flight"},
		{"put of a long key", put(strings.Repeat("k", cache.MaxKey+1), nil, false), admin.KindTooLarge, "1024"},
		{"put of a long value", put("k", make([]byte, cache.MaxValue+1), false), admin.KindTooLarge, ""},
		{"put into none", a.Put(ctx, "none", "k", nil, false), admin.KindUnknown, `no cache is named "none"`},
		{"get of none", get(a, cache.DefaultName, "none", false), admin.KindUnknown, `no entry "none"`},
		{"get of no orphan", get(a, cache.DefaultName, "m-1", true), admin.KindUnknown, `no orphan "m-1"`},
		{"remove of none", a.Remove(ctx, cache.DefaultName, "none"), admin.KindUnknown, "no entry"},
		{"remove", a.Remove(ctx, cache.DefaultName, "m-1"), "", ""},
		{"remove again", a.Remove(ctx, cache.DefaultName, "m-1"), admin.KindUnknown, ""},
		{"drop of no orphan", a.DropOrphans(ctx, cache.DefaultName, "p/1"), admin.KindUnknown, "no orphan"},
		{"watch of none", a.Watch(ctx, "none", nil), admin.KindUnknown, ""},
	} {
		if admin.KindOf(tt.err) != tt.kind || tt.err != nil && !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: %v (%s), want %s with %q", tt.what, tt.err, admin.KindOf(tt.err), tt.kind, tt.says)
		}
	}
}

// Who asks again for a removal that no slave confirmed is not told that the key
// is gone: it may come back.
func TestCacheAPIRemoveAgain(t *testing.T) {
	a := openCache(t, "a", func(c *cache.Config) {
		c.Caches = []cache.Spec{{Name: cache.DefaultName, Eternal: true, Synchronous: true}}
		c.WhenAlone = cache.AloneBlock
	})
	promote(t, a)
	n, err := a.named(cache.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Write(t.Context(), "k", nil, true); err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{"first", "second"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := a.Remove(ctx, cache.DefaultName, "k"); admin.KindOf(err) != admin.KindTimeout {
			t.Errorf("the %s removal, with no slave in step: %v", which, err)
		}
		cancel()
	}
}

func get(a cacheAPI, name, key string, orphan bool) error {
	_, _, err := a.Get(name, key, orphan)
	return err
}

func TestCacheAPISlave(t *testing.T) {
	inStep := make(chan struct{}, 16)
	a := openCache(t, "a", func(c *cache.Config) {
		c.OnEvent = func(e cache.Event) {
			if e.Type == cache.EventInStep {
				inStep <- struct{}{}
			}
		}
	})
	b := openCache(t, "b", nil)
	if err := b.Put(t.Context(), cache.DefaultName, "k", nil, false); admin.KindOf(err) != admin.KindNotMaster || !strings.Contains(err.Error(), "none is known") {
		t.Errorf("a put without a master: %v", err)
	}
	if got := b.Stats(); got.Role != admin.RoleSlave || got.Copy == nil || got.Copy.Of != "" {
		t.Errorf("stats without a master: %+v", got)
	}
	r := promote(t, a)
	b.known = func() admin.Status {
		return admin.Status{Master: &admin.Master{Name: "a", ID: r.Instance.String(), Address: "192.0.2.7:2710"}}
	}
	b.cache.Follow(r, a.cache.Addr())
	<-inStep
	told := make(chan admin.CacheChange, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Watch(t.Context(), cache.DefaultName, func(changes []admin.CacheChange) bool {
			told <- changes[0]
			return false
		})
	}()
	// Nobody says when the watcher is there, so there is always one more put.
	for i, seen := 0, false; !seen; i++ {
		if err := a.Put(t.Context(), cache.DefaultName, fmt.Sprint("k", i), []byte("v"), true); err != nil {
			t.Fatal(err)
		}
		if err := a.cache.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case c := <-told:
			if c.Op != admin.OpPut || c.State != "in-flight" || c.Size != 1 || c.Seq == 0 {
				t.Errorf("told %+v", c)
			}
			seen = true
		default:
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("watch: %v", err)
	}
	if got := b.Stats(); got.Copy == nil || got.Copy.Of != "a" || !got.Copy.Connected || got.Copy.Behind != 0 {
		t.Errorf("stats of the slave: %+v", got.Copy)
	}
	if got := a.Stats(); len(got.Slaves) != 1 || got.Slaves[0].Name != "b" || got.Slaves[0].Behind != 0 || !got.Slaves[0].InStep {
		t.Errorf("stats of the master: %+v", got.Slaves)
	}
	for _, x := range []cacheAPI{a, b} {
		if got := x.status(x.known()); !slices.Equal(got.InSync, []string{"b"}) || got.Seq != a.cache.Pos().N {
			t.Errorf("status: %+v", got)
		}
	}
	if list, err := b.List(cache.DefaultName, admin.CacheQuery{Limit: 1}); err != nil || len(list) != 1 || list[0].Key != "k0" {
		t.Errorf("the slave's list: %+v, %v", list, err)
	}
	for _, err := range []error{
		b.Put(t.Context(), cache.DefaultName, "k", nil, false),
		b.Remove(t.Context(), cache.DefaultName, "k0"),
		b.Remove(t.Context(), cache.DefaultName, "none"),
		b.DropOrphans(t.Context(), cache.DefaultName, "k0"),
	} {
		if admin.KindOf(err) != admin.KindNotMaster || err.Error() != "master is a on 192.0.2.7:2710: run it there" {
			t.Errorf("a write on the slave: %v", err)
		}
	}
}

// The lowest keys are kept whatever their order, and no key is split.
func TestLowest(t *testing.T) {
	var keys []string
	for i := range 3000 {
		keys = append(keys, fmt.Sprintf("%04d", i*7919%3000/2)) // each twice
	}
	for _, limit := range []int{1, 2, 7, 100, 2999, 3000, 10_000} {
		once := lowest{limit: limit, once: true}
		l := lowest{limit: limit}
		for _, k := range keys {
			for _, l := range []*lowest{&l, &once} {
				if l.wants(k) {
					l.add(k, admin.CacheEntry{Key: k})
				}
			}
		}
		got := once.entries()
		want := min(limit, 1500)
		if len(got) != want || got[len(got)-1].Key != fmt.Sprintf("%04d", want-1) {
			t.Errorf("limit %d, each once: %d entries to %s, want %d", limit, len(got), got[len(got)-1].Key, want)
		}
		got = l.entries()
		want = min((limit+1)/2*2, 3000)
		if len(got) != want || !slices.IsSortedFunc(got, func(a, b admin.CacheEntry) int { return cmp.Compare(a.Key, b.Key) }) ||
			got[0].Key != "0000" || got[len(got)-1].Key != fmt.Sprintf("%04d", want/2-1) {
			t.Errorf("limit %d: %d entries from %s to %s, want %d", limit, len(got), got[0].Key, got[len(got)-1].Key, want)
		}
	}
}
