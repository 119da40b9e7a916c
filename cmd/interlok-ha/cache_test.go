//go:build unix

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// fakeCache is the cache of a fake instance.
type fakeCache struct {
	mu      sync.Mutex // guards entries and orphans
	stats   admin.CacheStats
	entries map[string]*fakeEntry
	orphans []*fakeEntry
	changes []admin.CacheChange
}

type fakeEntry struct {
	key      string
	value    []byte
	ageMs    int64
	inFlight bool
	orphan   *admin.Orphan
}

var _ admin.Caches = (*fakeCache)(nil)

// newFakeCache makes a cache: kind is master, slave, cut, alone or steps.
func newFakeCache(kind string) (*fakeCache, error) {
	message := func(m mirror.Message) []byte {
		b, err := m.MarshalBinary()
		if err != nil {
			panic(err)
		}
		return b
	}
	f := &fakeCache{entries: map[string]*fakeEntry{}, stats: admin.CacheStats{
		Instance: "a", Role: "master", Epoch: 3, Seq: 1234, Address: "127.0.0.1:41811", Members: 3, RingBytes: 3 << 20,
		Caches: []admin.NamedCache{
			{Name: "sessions", MaxEntries: 10, TimeToIdleSeconds: 120, TimeToLiveSeconds: 600, Synchronous: true},
			{Name: "FAILOVER_CACHE", Entries: 6, InFlight: 2, Orphans: 1, Bytes: 1700, MaxEntries: 100_000, Eternal: true},
		},
		Counters: map[string]uint64{"puts": 1300, "removes": 12, "evictions": 0, "hits": 40, "misses": 2, "bytesSent": 123_456, "bytesReceived": 99},
	}}
	switch kind {
	case "master":
		f.stats.Slaves = []admin.CacheSlave{
			{Name: "b", ID: "9c", Address: "127.0.0.1:41812", Acked: 1234, InStep: true, LastContactMs: 12},
			{Name: "c", ID: "9d", Address: "192.0.2.117:4711", Acked: 230, Behind: 1004, LastContactMs: 15_000},
			{Name: "d", ID: "9e", Address: "192.0.2.118:4711", Snapshot: true, Behind: 1234, LastContactMs: 3},
		}
	case "slave":
		f.stats.Role, f.stats.Copy = "slave", &admin.CacheCopy{Of: "m", Connected: true, Behind: 12, LastContactMs: 40}
	case "cut":
		f.stats.Role, f.stats.Copy = "slave", &admin.CacheCopy{Of: "m", Behind: 12, LastContactMs: 61_000}
	case "alone":
		f.stats.Role, f.stats.Copy = "slave", &admin.CacheCopy{}
	case "steps":
	default:
		return nil, fmt.Errorf("%q is no kind of cache", kind)
	}
	for _, e := range []*fakeEntry{
		{key: "m-1", inFlight: true, ageMs: 12_000, value: message(mirror.Message{ID: "m-1", Workflow: "orders", Step: "validate", State: mirror.InFlight, Attempts: 1})},
		{key: "m-2", ageMs: 301, value: message(mirror.Message{ID: "m-2", Workflow: "orders", Step: "publish", State: mirror.Failed, Attempts: 3,
			Started: 1_795_000_000_000, Updated: 1_795_000_000_250, Error: "no stock\x1b[2J", Payload: []byte("order 12\nof today")})},
		{key: "m-3", ageMs: 7_200_000, value: message(mirror.Message{ID: "m-3", Workflow: "invoices", Step: "send", State: mirror.Done, Payload: []byte{0xff, 0}})},
		{key: "a key/with odd\nbytes\xff", ageMs: 1000, value: []byte("\x1b[31mred\x00")},
		{key: "an-ordinary-key-that-is-much-longer-than-most-others-are", ageMs: 999_000_000, value: []byte(strings.Repeat("x", 1500))},
		{key: "pinned", inFlight: true, ageMs: 5, value: []byte("text")},
	} {
		f.entries[e.key] = e
	}
	f.orphans = []*fakeEntry{{key: "m-2", ageMs: 60_000, value: []byte("left behind"), orphan: &admin.Orphan{Epoch: 2, Seq: 1190, Master: "9c00000000000000000000000000000a", Name: "b"}}}
	f.changes = []admin.CacheChange{
		admin.DescribeChange("FAILOVER_CACHE", 1235, admin.OpPut, "m-1", f.entries["m-1"].value, true),
		admin.DescribeChange("FAILOVER_CACHE", 1236, admin.OpRemove, "odd\x1b\xff", nil, false),
		admin.DescribeChange("FAILOVER_CACHE", 1237, admin.OpOrphan, "m-2", []byte("left behind"), false),
	}
	if kind == "steps" { // of messages that a predecessor left
		publish := func(p profiler.Phase, attempt uint32) mirror.Step {
			return mirror.Step{Name: "publish", Kind: profiler.Producer, Phase: p, Order: 3, Attempt: attempt}
		}
		validate := mirror.Step{Name: "validate\x1b", Kind: profiler.Service, Phase: profiler.Started, Order: 2, Attempt: 1}
		f.entries = map[string]*fakeEntry{}
		for id, steps := range map[string][]mirror.Step{
			"o-1": {validate}, "o-2": {publish(profiler.Started, 1)}, "o-3": {publish(profiler.Completed, 1)},
			"o-4": {publish(profiler.Failed, 1), publish(profiler.Completed, 2), {Name: "audit", Kind: profiler.Producer, Phase: profiler.Started, Order: 4, Attempt: 2}},
			"o-5": nil,
		} {
			f.entries[id] = &fakeEntry{key: id, inFlight: true, ageMs: 5, value: message(mirror.Message{
				ID: id, Workflow: "orders", Step: "x", State: mirror.InFlight, Attempts: 2, Started: 1_795_000_000_000, Steps: steps})}
		}
	}
	return f, nil
}

func (f *fakeCache) Stats() admin.CacheStats { return f.stats }

func (f *fakeCache) List(cache string, q admin.CacheQuery) (list []admin.CacheEntry, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.orphans
	if !q.Orphans {
		all = nil
		for _, e := range f.entries {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *fakeEntry) int { return cmp.Compare(a.key, b.key) })
	for _, e := range all {
		if d := e.describe(); e.key > q.After && q.Fits(&d) && len(list) < q.Limit && cache == "FAILOVER_CACHE" {
			list = append(list, d)
		}
	}
	return list, nil
}

func (e *fakeEntry) describe() admin.CacheEntry {
	d := admin.DescribeEntry(e.key, e.value, e.inFlight)
	d.AgeMs, d.Seq, d.Orphan = e.ageMs, 1200, e.orphan
	return d
}

func (f *fakeCache) Get(cache, key string, orphan bool) (admin.CacheEntry, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.entries[key]
	if orphan {
		e = nil
		for _, o := range f.orphans {
			if o.key == key {
				e = o
			}
		}
	}
	if e == nil {
		return admin.CacheEntry{}, nil, &admin.Error{Kind: admin.KindUnknown, Detail: fmt.Sprintf("no entry %q in %s", key, cache)}
	}
	return e.describe(), e.value, nil
}

func (f *fakeCache) Watch(_ context.Context, _ string, each func([]admin.CacheChange) bool) error {
	each(f.changes)
	return nil // the instance stops
}

func (f *fakeCache) writable() error {
	if f.stats.Copy != nil {
		return &admin.Error{Kind: admin.KindNotMaster, Detail: "master is m on 192.0.2.7:2710: run it there"}
	}
	return nil
}

func (f *fakeCache) Put(_ context.Context, _, key string, value []byte, inFlight bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries[key] = &fakeEntry{key: key, value: value, inFlight: inFlight}
	return f.writable()
}

func (f *fakeCache) Remove(_ context.Context, cache, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entries[key] == nil {
		return &admin.Error{Kind: admin.KindUnknown, Detail: fmt.Sprintf("no entry %q in %s", key, cache)}
	}
	delete(f.entries, key)
	return f.writable()
}

func (f *fakeCache) DropOrphans(context.Context, string, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orphans = nil
	return f.writable()
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"m-1": "m-1", "a b": "a b", "é": "é", "": `""`, " a": `" a"`, "a\n": `"a\n"`, "\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`, `"q"`: `"\"q\""`, "\u202e": `"\u202e"`,
	} {
		if got := keyText(in); got != want {
			t.Errorf("keyText(%q) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"m-1": "m-1", "a b": "'a b'", "it's": `'it'\''s'`, "": "$''", "$x": "'$x'", "a\n'\xff": `$'a\x0a\x27\xff'`, "é": "'é'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"": "", "a": "a\n", "a\n\tb\n": "a\n\tb\n", "\x1b[2J": `\x1b[2J` + "\n", "\xff\x00": `\xff\x00` + "\n", "a\r\n": `a\r` + "\n", "é\ufffd": "é\ufffd\n", `a\b"`: `a\b"` + "\n",
	} {
		if got := valueText([]byte(in)); got != want {
			t.Errorf("valueText(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0 ms", 9_999: "9999 ms", 10_000: "10 s", 599_999: "599 s", 600_000: "10 min", 36_000_000: "10 h", 360_000_000: "4 d"} {
		if got := ageText(in); got != want {
			t.Errorf("ageText(%d) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB"} {
		if got := sizeText(in); got != want {
			t.Errorf("sizeText(%d) = %s, want %s", in, got, want)
		}
	}
}
