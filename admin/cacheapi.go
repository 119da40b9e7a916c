package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/mirror"
)

// Limits of the cache's part of the API.
const (
	// maxValueBody is a little more than the cache takes, which says so itself.
	maxValueBody = 1<<20 + 4<<10

	defaultPage  = 100
	maxPage      = 10_000  // entries of one page
	maxPageBytes = 1 << 20 // of the names in it; more go on the next page

	putTimeout = 5 * time.Second // to find room, and to be held by the slaves
	cachePath  = "/v1/cache/"
)

// cacheRoute finds the handlers of one cache or one entry. The key is the rest
// of the path, percent-encoded: slashes in it may be written as they are.
func (a *api) cacheRoute(u *url.URL) (route, bool) {
	rest, ok := strings.CutPrefix(u.EscapedPath(), cachePath)
	if !ok {
		return nil, false
	}
	name, key, hasKey := strings.Cut(rest, "/")
	name, err := url.PathUnescape(name)
	if err != nil || name == "" {
		return nil, false
	}
	if !hasKey {
		h := func(w http.ResponseWriter, r *http.Request) error { return a.cache(w, r, name) }
		return route{http.MethodGet: h, http.MethodHead: h}, true
	}
	if key, err = url.PathUnescape(key); err != nil {
		return nil, false
	}
	on := func(h func(w http.ResponseWriter, r *http.Request, name, key string) error) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			switch {
			case a.caches == nil:
				return noCache()
			case key == "":
				return usage("the key is empty", "write it behind the cache's name: "+cachePath+url.PathEscape(name)+"/KEY")
			}
			return h(w, r, name, key)
		}
	}
	return route{http.MethodGet: on(a.cacheGet), http.MethodHead: on(a.cacheGet), http.MethodPut: on(a.cachePut), http.MethodDelete: on(a.cacheDelete)}, true
}

func (a *api) cacheStats(w http.ResponseWriter, r *http.Request) error {
	if a.caches == nil {
		return noCache()
	}
	if _, err := readQuery(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, "application/json", a.caches.Stats().complete())
}

// cache answers with a page, or streams what changes.
func (a *api) cache(w http.ResponseWriter, r *http.Request, name string) error {
	if a.caches == nil {
		return noCache()
	}
	q, err := readQuery(r, "after", "afterEncoding", "limit", "state", "workflow", "orphans", "watch")
	if err != nil {
		return err
	}
	if q.flag("watch") {
		if len(q.Values) > 1 {
			return usage("watch takes no other parameter", "the stream has all changes of the cache")
		}
		return a.watch(w, r, name)
	}
	return a.page(w, name, q, CacheQuery{State: q.state("state"), Workflow: q.Get("workflow"), Orphans: q.flag("orphans")})
}

func (a *api) inFlight(w http.ResponseWriter, r *http.Request) error {
	if a.caches == nil {
		return noCache()
	}
	q, err := readQuery(r, "cache", "after", "afterEncoding", "limit", "workflow")
	if err != nil {
		return err
	}
	return a.page(w, q.Get("cache"), q, CacheQuery{State: mirror.InFlight.String(), Workflow: q.Get("workflow")})
}

func (a *api) page(w http.ResponseWriter, name string, q query, chosen CacheQuery) error {
	limit := q.limit("limit")
	chosen.Limit = limit + 1 // the one too many says that there is more
	chosen.After = q.key("after", "afterEncoding")
	if q.err != nil {
		return q.err
	}
	stats := a.caches.Stats()
	c, err := stats.Named(name)
	if err != nil {
		return err
	}
	entries, err := a.caches.List(c.Name, chosen)
	if err != nil {
		return err
	}
	p := CachePage{Cache: c.Name, Total: c.Entries, InFlight: c.InFlight, Orphans: c.Orphans, Seq: stats.Seq, Copy: stats.Copy}
	n := pageEnd(entries, limit)
	p.Entries = append([]CacheEntry{}, entries[:n]...)
	if n > 0 && (n < len(entries) || n > limit) {
		p.Next, p.NextEncoding = entries[n-1].Key, entries[n-1].KeyEncoding
	}
	return writeJSON(w, http.StatusOK, "application/json", p)
}

// pageEnd is how many entries a page holds. The orphans of one key stay
// together: the next page begins with another key.
func pageEnd(entries []CacheEntry, limit int) int {
	bytes := 0
	for i, e := range entries {
		bytes += len(e.Key) + len(e.Workflow) + len(e.Step)
		for _, s := range e.Open {
			bytes += 2 * len(s.Step) // a producer's is in Doubt too
		}
		for _, name := range e.Published {
			bytes += len(name)
		}
		another := i > 0 && e.Key != entries[i-1].Key
		if another && (i >= limit || bytes > maxPageBytes) {
			return i
		}
	}
	return len(entries)
}

func (a *api) cacheGet(w http.ResponseWriter, r *http.Request, name, key string) error {
	q, err := readQuery(r, "orphan")
	if err != nil {
		return err
	}
	orphan := q.flag("orphan")
	if q.err != nil {
		return q.err
	}
	e, value, err := a.caches.Get(name, key, orphan)
	if err != nil {
		return err
	}
	if strings.Contains(r.Header.Get("Accept"), "application/octet-stream") {
		writeBytes(w, http.StatusOK, "application/octet-stream", value)
		return nil
	}
	item := describeItem(name, e, value)
	item.Copy = a.caches.Stats().Copy
	return writeJSON(w, http.StatusOK, "application/json", item)
}

// written is the answer to what changed an entry.
type written struct {
	Cache       string `json:"cache"`
	Key         string `json:"key"`
	KeyEncoding string `json:"keyEncoding,omitempty"`
}

func (a *api) cachePut(w http.ResponseWriter, r *http.Request, name, key string) error {
	q, err := readQuery(r, "inFlight", "timeoutMs")
	if err != nil {
		return err
	}
	inFlight, timeout := q.flag("inFlight"), q.milliseconds("timeoutMs", putTimeout)
	if q.err != nil {
		return q.err
	}
	value, err := readAll(w, r, maxValueBody)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	if err := a.caches.Put(ctx, name, key, value, inFlight); err != nil {
		return err
	}
	return a.wrote(w, name, key)
}

func (a *api) cacheDelete(w http.ResponseWriter, r *http.Request, name, key string) error {
	q, err := readQuery(r, "orphan", "timeoutMs")
	if err != nil {
		return err
	}
	orphan, timeout := q.flag("orphan"), q.milliseconds("timeoutMs", putTimeout)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	remove := a.caches.Remove
	if orphan {
		remove = a.caches.DropOrphans
	}
	if err := remove(ctx, name, key); err != nil {
		return err
	}
	return a.wrote(w, name, key)
}

func (a *api) wrote(w http.ResponseWriter, name, key string) error {
	answer := written{Cache: name}
	answer.Key, answer.KeyEncoding = encodeKey(key)
	return writeJSON(w, http.StatusOK, "application/json", answer)
}

// watch streams changes until the reader hangs up, lags, or the server stops.
func (a *api) watch(w http.ResponseWriter, r *http.Request, name string) error {
	c, err := a.caches.Stats().Named(name)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return nil
	}
	out := newLines(w, r)
	// The header tells the reader that it listens, before anything changes.
	if !out.flush() {
		return nil
	}
	write := func(c CacheChange) bool {
		c.Time = Time{time.Now()}
		b, err := json.Marshal(c)
		return err == nil && out.write(c.Op, b)
	}
	gone := false
	err = a.caches.Watch(r.Context(), c.Name, func(changes []CacheChange) bool {
		for _, c := range changes {
			if gone = gone || !write(c); gone {
				break
			}
		}
		return !gone && out.flush()
	})
	if !gone && r.Context().Err() == nil {
		cut := CacheChange{Cache: c.Name, Op: OpCut, Detail: "the instance stops"}
		if err != nil {
			cut.Detail = err.Error()
		}
		write(cut)
		out.flush()
	}
	return nil
}

// query are the parameters behind the path. The first that makes no sense is err.
type query struct {
	url.Values
	err error
}

// readQuery refuses parameters that are not known: a misspelt filter would
// otherwise let everything pass.
func readQuery(r *http.Request, known ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, usage(fmt.Sprintf("read the query: %v", err), "")
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			mend := "this path takes none"
			if len(known) > 0 {
				mend = "known are: " + strings.Join(known, ", ")
			}
			return query{}, usage(fmt.Sprintf("the parameter %q is not known here", name), mend)
		}
		if len(given) > 1 {
			return query{}, usage(fmt.Sprintf("the parameter %q is given twice", name), "")
		}
	}
	return query{Values: values}, nil
}

func (q *query) bad(name, expected string) {
	if q.err == nil {
		q.err = usage(fmt.Sprintf("%s=%q makes no sense", name, q.Get(name)), "write "+expected)
	}
}

func (q *query) flag(name string) bool {
	if !q.Has(name) {
		return false
	}
	v, err := strconv.ParseBool(q.Get(name))
	if err != nil {
		q.bad(name, name+"=1, or leave it out")
	}
	return v
}

func (q *query) limit(name string) int {
	if !q.Has(name) {
		return defaultPage
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 1 || n > maxPage {
		q.bad(name, fmt.Sprintf("a number from 1 to %d", maxPage))
	}
	return n
}

func (q *query) state(name string) string {
	text := q.Get(name)
	if _, ok := mirror.ParseState(text); !ok && q.Has(name) {
		q.bad(name, "in-flight, done or failed")
	}
	return text
}

func (q *query) key(name, encoding string) string {
	key, err := decodeKey(q.Get(name), q.Get(encoding))
	if err != nil && q.err == nil {
		q.err = err
	}
	return key
}

func (q *query) milliseconds(name string, otherwise time.Duration) time.Duration {
	if !q.Has(name) {
		return otherwise
	}
	ms, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || ms < 1 {
		q.bad(name, "milliseconds above zero")
	}
	return time.Duration(min(ms, 24*60*60*1000)) * time.Millisecond
}

// readAll reads a body of at most so many bytes.
func readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		w.Header().Set("Connection", "close") // what else comes is not read
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, &Error{Kind: KindSlow, Detail: "the body did not come in time"}
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &Error{Kind: KindTooLarge, Detail: fmt.Sprintf("the body has more than %d bytes", most)}
		}
		return nil, usage(fmt.Sprintf("read the body: %v", err), "")
	}
	return b, nil
}

// complete fills what must not be null in the JSON.
func (s CacheStats) complete() CacheStats {
	if s.Caches == nil {
		s.Caches = []NamedCache{}
	}
	if s.Slaves == nil {
		s.Slaves = []CacheSlave{}
	}
	if s.Counters == nil {
		s.Counters = map[string]uint64{}
	}
	return s
}
