//go:build unix

package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func serveCaches(t *testing.T, c Caches) *Client {
	t.Helper()
	path, _ := serve(t, newFakeNode(), func(s *Server) { s.cfg.Caches = c })
	return NewClient(path)
}

func TestClientCache(t *testing.T) {
	f := newFakeCaches()
	c, ctx := serveCaches(t, f), t.Context()
	s, err := c.CacheStats(ctx)
	if err != nil || len(s.Caches) != 2 || s.Seq != 1234 {
		t.Fatalf("stats: %+v, %v", s, err)
	}
	const key = "a/b \xff%2F"
	big := make([]byte, 1<<20)
	if err := c.CachePut(ctx, DefaultCache, key, big, true, time.Minute); err != nil {
		t.Fatal(err)
	}
	i, err := c.CacheGet(ctx, DefaultCache, key, false)
	if err != nil || !i.InFlight || i.Size != len(big) {
		t.Fatalf("get: %d bytes, %v", i.Size, err)
	}
	if raw, err := i.RawValue(); err != nil || string(raw) != string(big) {
		t.Errorf("the value came back with %d bytes, %v", len(raw), err)
	}
	p, err := c.CacheList(ctx, DefaultCache, CacheQuery{State: "in-flight", Limit: 5})
	if err != nil || len(p.Entries) != 1 || p.Total != 10 {
		t.Errorf("list: %+v, %v", p, err)
	}
	p, err = c.InFlight(ctx, "", CacheQuery{After: "\xfe"})
	if err != nil || p.Cache != DefaultCache || len(p.Entries) != 0 {
		t.Errorf("in flight: %+v, %v", p, err)
	}
	if err := c.CacheRemove(ctx, DefaultCache, key, false, 0); err != nil {
		t.Error(err)
	}
	if err := c.CacheRemove(ctx, DefaultCache, key, true, 0); err != nil {
		t.Error(err)
	}
	if _, err := c.CacheGet(ctx, DefaultCache, key, false); KindOf(err) != KindUnknown {
		t.Errorf("get of what was removed: %v", err)
	}
	if err := c.CachePut(ctx, DefaultCache, "k", make([]byte, maxValueBody+1), false, 0); KindOf(err) != KindTooLarge {
		t.Errorf("a put of too much: %v", err)
	}
	if err := c.CachePut(ctx, DefaultCache, "", nil, false, 0); KindOf(err) != KindUsage {
		t.Errorf("a put without key: %v", err)
	}
	f.change(func() { f.full = true })
	if err := c.CachePut(ctx, DefaultCache, "k", nil, true, time.Nanosecond); KindOf(err) != KindFull {
		t.Errorf("a put without room: %v", err)
	}
}

func TestClientWatch(t *testing.T) {
	f := newFakeCaches()
	f.changes = []CacheChange{
		DescribeChange(DefaultCache, 7, OpPut, "m-1", []byte("v"), true),
		DescribeChange(DefaultCache, 8, OpRemove, "\xff", nil, false),
	}
	c := serveCaches(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for e, err := range c.CacheWatch(ctx, DefaultCache) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			if e.Seq != 8 || e.Op != OpRemove || e.KeyEncoding != "base64" || e.Time.IsZero() {
				t.Errorf("got %+v", e)
			}
			cancel()
		}
	}
	if n != 2 {
		t.Errorf("%d changes, want 2", n)
	}

	// A reader that lags is told so.
	f.change(func() { f.lagged = errors.New("the reader was too slow; changes were lost") })
	var last CacheChange
	var ended error
	for e, err := range c.CacheWatch(t.Context(), DefaultCache) {
		if ended = err; err == nil {
			last = e
		}
	}
	if last.Op != OpCut || !strings.Contains(last.Detail, "too slow") || KindOf(ended) != KindNotReached {
		t.Errorf("the stream ended with %+v and %v", last, ended)
	}
	for _, err := range c.CacheWatch(t.Context(), "none") {
		if KindOf(err) != KindUnknown {
			t.Errorf("a cache that is not there: %v", err)
		}
	}
}

// A watcher of a cache in which nothing happens knows that it listens.
func TestWatchAnswersAtOnce(t *testing.T) {
	c := serveCaches(t, newFakeCaches())
	conn := dial(t, c.Path())
	fmt.Fprint(conn, "GET /v1/cache/FAILOVER_CACHE?watch=1 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %s, %v", resp.Status, resp.Header)
	}
}
