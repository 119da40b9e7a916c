package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// fakeCaches is one cache in memory.
type fakeCaches struct {
	mu      sync.Mutex // guards the rest
	stats   CacheStats
	entries map[string]fakeEntry
	orphans []fakeOrphan
	asked   []CacheQuery
	fail    error
	full    bool          // Put waits for its ctx
	changes []CacheChange // what Watch tells before it waits
	lagged  error         // what Watch returns instead of waiting
}

type fakeEntry struct {
	value    []byte
	inFlight bool
}

type fakeOrphan struct {
	key, value string
	epoch      uint64
}

var _ Caches = (*fakeCaches)(nil)

func newFakeCaches() *fakeCaches {
	return &fakeCaches{
		stats:   CacheStats{Instance: "a", Role: RoleMaster, Epoch: 3, Seq: 1234, Caches: []NamedCache{{Name: "other"}, {Name: DefaultCache, Entries: 10, InFlight: 2, Orphans: 1}}},
		entries: map[string]fakeEntry{},
	}
}

func (f *fakeCaches) put(key, value string, inFlight bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries[key] = fakeEntry{[]byte(value), inFlight}
}

func (f *fakeCaches) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

func (f *fakeCaches) Stats() CacheStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *fakeCaches) check(cache string) error {
	if f.fail != nil {
		return f.fail
	}
	_, err := f.stats.Named(cache)
	return err
}

func (f *fakeCaches) List(cache string, q CacheQuery) ([]CacheEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(cache); err != nil {
		return nil, err
	}
	f.asked = append(f.asked, q)
	type listed struct {
		raw string
		CacheEntry
	}
	var all []listed
	if q.Orphans {
		for _, o := range f.orphans {
			e := DescribeEntry(o.key, []byte(o.value), false)
			e.Orphan = &Orphan{Epoch: o.epoch, Seq: 7, Master: "77"}
			all = append(all, listed{o.key, e})
		}
	} else {
		for key, e := range f.entries {
			all = append(all, listed{key, DescribeEntry(key, e.value, e.inFlight)})
		}
	}
	slices.SortStableFunc(all, func(a, b listed) int { return cmp.Compare(a.raw, b.raw) })
	var list []CacheEntry
	last := ""
	for _, e := range all {
		if e.raw <= q.After || !q.Fits(&e.CacheEntry) {
			continue
		}
		if len(list) >= q.Limit && e.raw != last {
			break
		}
		list, last = append(list, e.CacheEntry), e.raw
	}
	return list, nil
}

func (f *fakeCaches) Get(cache, key string, orphan bool) (CacheEntry, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(cache); err != nil {
		return CacheEntry{}, nil, err
	}
	e, ok := f.entries[key]
	if !ok || orphan {
		return CacheEntry{}, nil, &Error{Kind: KindUnknown, Detail: fmt.Sprintf("no entry %q in %s", key, cache)}
	}
	return DescribeEntry(key, e.value, e.inFlight), e.value, nil
}

func (f *fakeCaches) Watch(ctx context.Context, _ string, each func([]CacheChange) bool) error {
	f.mu.Lock()
	changes, lagged := f.changes, f.lagged
	f.mu.Unlock()
	if !each(changes) {
		return nil
	}
	if lagged == nil {
		<-ctx.Done()
	}
	return lagged
}

func (f *fakeCaches) Put(ctx context.Context, cache, key string, value []byte, inFlight bool) error {
	f.mu.Lock()
	full := f.full
	f.mu.Unlock()
	if full {
		<-ctx.Done()
		return &Error{Kind: KindFull, Detail: "too many entries are in flight", Err: ctx.Err()}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(cache); err != nil {
		return err
	}
	f.entries[key] = fakeEntry{value, inFlight}
	return nil
}

func (f *fakeCaches) Remove(_ context.Context, cache, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(cache); err != nil {
		return err
	}
	if _, ok := f.entries[key]; !ok {
		return &Error{Kind: KindUnknown, Detail: fmt.Sprintf("no entry %q in %s", key, cache)}
	}
	delete(f.entries, key)
	return nil
}

func (f *fakeCaches) DropOrphans(_ context.Context, cache, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orphans = slices.DeleteFunc(f.orphans, func(o fakeOrphan) bool { return o.key == key })
	return f.check(cache)
}

func askCache(c Caches, method, path, body string, header ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	newAPI(Config{Node: newFakeNode(), Caches: c}, nil).ServeHTTP(w, r)
	return w
}

func message(t *testing.T, m mirror.Message) string {
	t.Helper()
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOpenSteps says of a message in flight which steps were under way, and
// what may be out already.
func TestOpenSteps(t *testing.T) {
	c := newFakeCaches()
	step := func(name string, k profiler.Kind, p profiler.Phase, attempt uint32) mirror.Step {
		return mirror.Step{Name: name, Kind: k, Phase: p, Order: 1, Attempt: attempt}
	}
	c.put("m-1", message(t, mirror.Message{ID: "m-1", Workflow: "orders", Step: "publish", State: mirror.InFlight, Attempts: 2, Started: 1_795_000_000_000, Steps: []mirror.Step{
		step("publish", profiler.Producer, profiler.Started, 1), step("publish", profiler.Producer, profiler.Started, 2),
		step("audit", profiler.Producer, profiler.Completed, 2), step("mail", profiler.Producer, profiler.Failed, 2),
		step("enrich", profiler.Service, profiler.Started, 2),
	}}), true)
	c.put("m-2", message(t, mirror.Message{ID: "m-2", Workflow: "orders", Step: "orders", State: mirror.InFlight, Attempts: 1}), true)
	var p CachePage
	if err := json.Unmarshal(askCache(c, "GET", "/v1/in-flight", "").Body.Bytes(), &p); err != nil || len(p.Entries) != 2 {
		t.Fatal(p, err)
	}
	e := p.Entries[0]
	if want := []OpenStep{{"publish", StepProducer, 1}, {"publish", StepProducer, 2}, {"enrich", StepService, 2}}; !slices.Equal(e.Open, want) {
		t.Errorf("open %v, want %v", e.Open, want)
	}
	if !slices.Equal(e.Published, []string{"audit"}) || !slices.Equal(e.Doubt, []string{"publish", "mail"}) {
		t.Errorf("published %q, doubt %q", e.Published, e.Doubt)
	}
	if e.Started == nil || e.Started.UnixMilli() != 1_795_000_000_000 {
		t.Errorf("started %v", e.Started)
	}
	if e := p.Entries[1]; e.Open != nil || e.Published != nil || e.Doubt != nil || e.Started != nil {
		t.Errorf("of a message without steps: %+v", e)
	}
}

func TestCacheRoutes(t *testing.T) {
	big := strings.Repeat("x", maxValueBody)
	for _, tt := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "/v1/cache", "", 200, `"name":"FAILOVER_CACHE"`},
		{"HEAD", "/v1/cache", "", 200, ""},
		{"POST", "/v1/cache", "", 405, ""},
		{"GET", "/v1/cache?x=1", "", 400, "takes none"},
		{"GET", "/v1/cache/", "", 404, "no such path"},
		{"GET", "/v1/cache/none", "", 404, "here are: other, FAILOVER_CACHE"},
		{"GET", "/v1/cache/FAILOVER_CACHE", "", 200, `"total":10,"inFlight":2,"orphans":1,"seq":1234,"copy":null`},
		{"GET", "/v1/cache/FAILOVER%5FCACHE", "", 200, ""},
		{"GET", "/v1/cache/other", "", 200, ""},
		{"PUT", "/v1/cache/FAILOVER_CACHE", "x", 405, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?limit=0", "", 400, "from 1 to 10000"},
		{"GET", "/v1/cache/FAILOVER_CACHE?limit=10001", "", 400, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?limit=many", "", 400, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?state=lost", "", 400, "in-flight, done or failed"},
		{"GET", "/v1/cache/FAILOVER_CACHE?state=", "", 400, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?stat=done", "", 400, "known are: after"},
		{"GET", "/v1/cache/FAILOVER_CACHE?limit=1&limit=2", "", 400, "twice"},
		{"GET", "/v1/cache/FAILOVER_CACHE?orphans=maybe", "", 400, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?orphans=0", "", 200, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?after=!!&afterEncoding=base64", "", 400, "no base64"},
		{"GET", "/v1/cache/FAILOVER_CACHE?after=x&afterEncoding=rot13", "", 400, "not known"},
		{"GET", "/v1/cache/FAILOVER_CACHE?watch=1&state=done", "", 400, "no other parameter"},
		{"GET", "/v1/cache/FAILOVER_CACHE?watch=maybe", "", 400, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE?watch=0", "", 200, ""},
		{"GET", "/v1/cache/none?watch=1", "", 404, ""},
		{"HEAD", "/v1/cache/FAILOVER_CACHE?watch=1", "", 200, ""},
		{"GET", "/v1/in-flight", "", 200, `"cache":"FAILOVER_CACHE"`},
		{"GET", "/v1/in-flight?cache=other", "", 200, `"cache":"other"`},
		{"GET", "/v1/in-flight?cache=none", "", 404, ""},
		{"GET", "/v1/in-flight?state=done", "", 400, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE/", "", 400, "the key is empty"},
		{"GET", "/v1/cache/FAILOVER_CACHE/k", "", 200, `"value":"v"`},
		{"HEAD", "/v1/cache/FAILOVER_CACHE/k", "", 200, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE/none", "", 404, `no entry \"none\" in FAILOVER_CACHE`},
		{"GET", "/v1/cache/none/k", "", 404, "no cache is named"},
		{"GET", "/v1/cache/FAILOVER_CACHE/k?orphan=1", "", 404, ""},
		{"GET", "/v1/cache/FAILOVER_CACHE/k?raw=1", "", 400, ""},
		{"POST", "/v1/cache/FAILOVER_CACHE/k", "", 405, "DELETE, GET, HEAD, PUT"},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k", "w", 200, `"key":"k"`},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k", "", 200, ""},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k", big, 200, ""},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k", big + "x", 413, ""},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k?inFlight=yes", "w", 400, ""},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k?timeoutMs=0", "w", 400, ""},
		{"DELETE", "/v1/cache/FAILOVER_CACHE/k", "", 200, ""},
		{"DELETE", "/v1/cache/FAILOVER_CACHE/none", "", 404, ""},
		{"DELETE", "/v1/cache/FAILOVER_CACHE/o?orphan=1", "", 200, ""},
	} {
		c := newFakeCaches()
		c.put("k", "v", false)
		w := askCache(c, tt.method, tt.path, tt.body)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s %s: %d %s, want %d with %q", tt.method, tt.path, w.Code, w.Body, tt.code, tt.says)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: no JSON: %s", tt.method, tt.path, w.Body)
		}
	}
	for _, path := range []string{"/v1/cache", "/v1/cache/FAILOVER_CACHE", "/v1/cache/FAILOVER_CACHE/k", "/v1/in-flight"} {
		if w := askCache(nil, "GET", path, ""); w.Code != 404 || !strings.Contains(w.Body.String(), "keeps no cache") {
			t.Errorf("%s without a cache: %d %s", path, w.Code, w.Body)
		}
	}
	if w := askCache(&fakeCaches{}, "GET", "/v1/in-flight", ""); w.Code != 404 {
		t.Errorf("no cache at all: %d %s", w.Code, w.Body)
	}
}

// A write that fails has the status of its cause.
func TestCacheWriteFails(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		code int
	}{{KindNotMaster, 409}, {KindTooLarge, 413}, {KindFull, 503}, {KindTimeout, 504}, {KindUnavailable, 503}} {
		c := newFakeCaches()
		c.fail = &Error{Kind: tt.kind, Detail: "master is b on 192.0.2.7:4711: run it there"}
		for _, method := range []string{"PUT", "DELETE"} {
			w := askCache(c, method, "/v1/cache/FAILOVER_CACHE/k", "v")
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != tt.code || p.Kind != tt.kind || !strings.Contains(p.Detail, "master is b") {
				t.Errorf("%s, %s: %d %s", method, tt.kind, w.Code, w.Body)
			}
		}
	}
	c := newFakeCaches()
	c.full = true
	if w := askCache(c, "PUT", "/v1/cache/FAILOVER_CACHE/k?timeoutMs=1", "v"); w.Code != 503 {
		t.Errorf("a put that finds no room in time: %d %s", w.Code, w.Body)
	}
}

// Any key can be written, read, listed and removed, and none is taken for another.
func TestOddKeys(t *testing.T) {
	c := newFakeCaches()
	keys := []string{"a/b", "a%2Fb", "//", "/", ".", "..", "../x", "a b+c", "?x=1#y", "é", "\x00", "\n", "\xff\xfe", "%", "\"", "watch", strings.Repeat("\x01", 1<<10)}
	for i, key := range keys {
		if w := askCache(c, "PUT", entryPath(DefaultCache, key), fmt.Sprint(i)); w.Code != 200 {
			t.Fatalf("%q: %d %s", key, w.Code, w.Body)
		}
	}
	if len(c.entries) != len(keys) {
		t.Fatalf("%d keys became %d", len(keys), len(c.entries))
	}
	for i, key := range keys {
		w := askCache(c, "GET", entryPath(DefaultCache, key), "")
		var got CacheItem
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%q: %v: %s", key, err, w.Body)
		}
		if raw, err := got.RawKey(); err != nil || raw != key || got.Value != fmt.Sprint(i) {
			t.Errorf("%q came back as %q with %q, %v", key, raw, got.Value, err)
		}
	}
	var listed []string
	for _, e := range allPages(t, c, CacheQuery{Limit: 3}) {
		raw, err := e.RawKey()
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, raw)
	}
	slices.Sort(keys)
	if !slices.Equal(listed, keys) {
		t.Errorf("listed %q, want %q", listed, keys)
	}
	// Slashes need no escape.
	if w := askCache(c, "GET", "/v1/cache/FAILOVER_CACHE/a/b", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"key":"a/b"`) {
		t.Errorf("a/b: %d %s", w.Code, w.Body)
	}
	for _, key := range keys {
		if w := askCache(c, "DELETE", entryPath(DefaultCache, key), ""); w.Code != 200 {
			t.Errorf("delete %q: %d %s", key, w.Code, w.Body)
		}
	}
	if len(c.entries) > 0 {
		t.Errorf("left: %v", c.entries)
	}
}

// allPages goes through the handlers as a client does.
func allPages(t *testing.T, c Caches, q CacheQuery) (all []CacheEntry) {
	t.Helper()
	pages := 0
	for p, err := range Pages(q, func(q CacheQuery) (CachePage, error) {
		v := url.Values{}
		setKey(v, q)
		for name, text := range map[string]string{"state": q.State, "workflow": q.Workflow} {
			if text != "" {
				v.Set(name, text)
			}
		}
		if q.Orphans {
			v.Set("orphans", "1")
		}
		w := askCache(c, "GET", entryPath(DefaultCache, "")+"?"+v.Encode(), "")
		var p CachePage
		if w.Code != 200 {
			return p, errors.New(w.Body.String())
		}
		return p, json.Unmarshal(w.Body.Bytes(), &p)
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if pages++; pages > 1000 {
			t.Fatal("the pages have no end")
		}
		all = append(all, p.Entries...)
	}
	return all
}

// While nothing changes, paging shows each entry once, whatever the page's size.
func TestPaging(t *testing.T) {
	c := newFakeCaches()
	states := []mirror.State{mirror.InFlight, mirror.Done, mirror.Failed}
	for i := range 60 {
		m := mirror.Message{ID: "m", Workflow: fmt.Sprintf("w%d", i%2), State: states[i%3]}
		c.put(fmt.Sprintf("m-%02d", i), message(t, m), false)
	}
	c.put("plain", "text", false)
	c.put("pinned", "text", true)
	for i := range 30 {
		c.orphans = append(c.orphans, fakeOrphan{fmt.Sprintf("o-%d", i/4), "x", uint64(i)})
	}
	for _, tt := range []struct {
		q    CacheQuery
		want int
	}{
		{CacheQuery{}, 62},
		{CacheQuery{State: "in-flight"}, 21},
		{CacheQuery{State: "done"}, 20},
		{CacheQuery{State: "failed", Workflow: "w1"}, 10},
		{CacheQuery{Workflow: "w0"}, 30},
		{CacheQuery{Workflow: "none"}, 0},
		{CacheQuery{Orphans: true}, 30},
		{CacheQuery{After: "m-58"}, 3},
	} {
		for _, limit := range []int{1, 2, 3, 7, 30, 61, 62, 63, 0} {
			tt.q.Limit = limit
			seen := map[string]bool{}
			for _, e := range allPages(t, c, tt.q) {
				id := e.Key
				if e.Orphan != nil {
					id += fmt.Sprint(e.Orphan.Epoch)
				}
				if seen[id] {
					t.Errorf("%+v: %s twice", tt.q, id)
				}
				seen[id] = true
			}
			if len(seen) != tt.want {
				t.Errorf("%+v: %d entries, want %d", tt.q, len(seen), tt.want)
			}
		}
	}
	// The end is known without another question.
	c.asked = nil
	if allPages(t, c, CacheQuery{Limit: 62}); len(c.asked) != 1 {
		t.Errorf("%d questions for one full page", len(c.asked))
	}
}

// Long names make a page shorter, and lose nothing.
func TestPageBytes(t *testing.T) {
	c := newFakeCaches()
	for i := range 2000 {
		c.put(fmt.Sprintf("%04d", i)+strings.Repeat("k", 1000), "", false)
	}
	w := askCache(c, "GET", "/v1/cache/FAILOVER_CACHE?limit=10000", "")
	if w.Body.Len() > 2<<20 {
		t.Errorf("a page of %d bytes", w.Body.Len())
	}
	if got := len(allPages(t, c, CacheQuery{Limit: 10_000})); got != 2000 {
		t.Errorf("%d entries, want 2000", got)
	}
}

func TestInFlight(t *testing.T) {
	c := newFakeCaches()
	c.put("m-1", message(t, mirror.Message{State: mirror.InFlight, Workflow: "orders", Step: "validate", Attempts: 2}), true)
	c.put("m-2", message(t, mirror.Message{State: mirror.Done, Workflow: "orders"}), false)
	c.put("x", "pinned", true)
	var p CachePage
	if err := json.Unmarshal(askCache(c, "GET", "/v1/in-flight", "").Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Entries) != 2 || p.Entries[0].Step != "validate" || p.Entries[0].Attempts != 2 || p.Entries[1].State != "in-flight" {
		t.Errorf("got %+v", p.Entries)
	}
	if err := json.Unmarshal(askCache(c, "GET", "/v1/in-flight?workflow=orders", "").Body.Bytes(), &p); err != nil || len(p.Entries) != 1 {
		t.Errorf("of one workflow: %+v, %v", p.Entries, err)
	}
}

func TestValues(t *testing.T) {
	c := newFakeCaches()
	for _, tt := range []struct{ name, value, encoding string }{
		{"empty", "", ""},
		{"text", "hello, wörld\n\tand <more> & \"so\"", ""},
		{"control", "a\x1b[2J", "base64"},
		{"zero", "\x00", "base64"},
		{"not UTF-8", "\xff", "base64"},
		{"replacement", "\ufffd", ""},
		{"direction", "a\u202eb", "base64"},
	} {
		c.put("k", tt.value, true)
		var i CacheItem
		if err := json.Unmarshal(askCache(c, "GET", "/v1/cache/FAILOVER_CACHE/k", "").Body.Bytes(), &i); err != nil {
			t.Fatal(err)
		}
		if raw, err := i.RawValue(); err != nil || string(raw) != tt.value || i.Encoding != tt.encoding || i.Size != len(tt.value) || !i.InFlight {
			t.Errorf("%s: %q, %v in %+v", tt.name, raw, err, i)
		}
		w := askCache(c, "GET", "/v1/cache/FAILOVER_CACHE/k", "", "Accept", "application/octet-stream")
		if w.Body.String() != tt.value || w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s, raw: %q %v", tt.name, w.Body, w.Header())
		}
	}
}

func TestDescribedMessage(t *testing.T) {
	c := newFakeCaches()
	c.put("m-1", message(t, mirror.Message{ID: "m-1", Workflow: "orders", Step: "publish", State: mirror.Failed, Attempts: 2,
		Started: 1_795_000_000_000, Updated: 1_795_000_000_250, Error: "no stock", Payload: []byte("order 12")}), false)
	c.put("odd", message(t, mirror.Message{State: mirror.Done, Started: 1 << 62, Updated: -1 << 62}), false)
	golden(t, "message.golden", askCache(c, "GET", "/v1/cache/FAILOVER_CACHE/m-1", "").Body.String()+
		askCache(c, "GET", "/v1/cache/FAILOVER_CACHE/odd", "").Body.String()+
		askCache(c, "GET", "/v1/cache/FAILOVER_CACHE", "").Body.String())
}

func TestCacheStatsGolden(t *testing.T) {
	master, slave := newFakeCaches(), newFakeCaches()
	master.stats.Address, master.stats.Members = "127.0.0.1:4711", 2
	master.stats.Slaves = []CacheSlave{{Name: "b", ID: "9c", Address: "127.0.0.1:4712", Acked: 1230, Behind: 4, LastContactMs: 2, InStep: true}}
	master.stats.Counters = map[string]uint64{"puts": 1234}
	slave.stats = CacheStats{Instance: "b", Role: RoleSlave, Epoch: 3, Seq: 1230, Copy: &CacheCopy{Of: "a", Connected: true, Behind: 4, LastContactMs: 2, InStep: true}}
	golden(t, "cachestats.golden", askCache(master, "GET", "/v1/cache", "").Body.String()+askCache(slave, "GET", "/v1/cache", "").Body.String())
}

// The other limits are as they were.
func TestOrdersKeepTheirLimit(t *testing.T) {
	if w := askCache(newFakeCaches(), http.MethodPost, "/v1/drain", strings.Repeat(" ", maxBody+1)); w.Code != 413 {
		t.Errorf("got %d", w.Code)
	}
}
