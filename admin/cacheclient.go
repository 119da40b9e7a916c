package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// listTimeout is how long a Client waits for a page where the caller set no
// deadline: a large cache is walked from end to end for each.
const listTimeout = time.Minute

// CacheStats asks what the instance keeps.
func (c *Client) CacheStats(ctx context.Context) (CacheStats, error) {
	var s CacheStats
	err := c.call(ctx, http.MethodGet, "/v1/cache", nil, &s)
	return s, err
}

// CacheList asks for one page of a cache. A Limit of 0 means the instance's own.
func (c *Client) CacheList(ctx context.Context, cache string, q CacheQuery) (CachePage, error) {
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
	return c.page(ctx, entryPath(cache, "")+"?"+v.Encode())
}

// InFlight asks for one page of what is in flight. Of q counts After, Limit
// and Workflow; an empty cache means the default one.
func (c *Client) InFlight(ctx context.Context, cache string, q CacheQuery) (CachePage, error) {
	v := url.Values{}
	setKey(v, q)
	for name, text := range map[string]string{"cache": cache, "workflow": q.Workflow} {
		if text != "" {
			v.Set(name, text)
		}
	}
	return c.page(ctx, "/v1/in-flight?"+v.Encode())
}

func (c *Client) page(ctx context.Context, path string) (p CachePage, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, listTimeout)
		defer cancel()
	}
	err = c.call(ctx, http.MethodGet, path, nil, &p)
	return p, err
}

func setKey(v url.Values, q CacheQuery) {
	if q.After != "" {
		text, encoding := encodeKey(q.After)
		v.Set("after", text)
		if encoding != "" {
			v.Set("afterEncoding", encoding)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(min(q.Limit, maxPage)))
	}
}

// Pages goes through all pages that ask gives, from q on.
func Pages(q CacheQuery, ask func(CacheQuery) (CachePage, error)) iter.Seq2[CachePage, error] {
	return func(yield func(CachePage, error) bool) {
		for {
			p, err := ask(q)
			if !yield(p, err) || err != nil || p.Next == "" {
				return
			}
			if q.After, err = decodeKey(p.Next, p.NextEncoding); err != nil {
				yield(CachePage{}, fmt.Errorf("read the next key: %w", err))
				return
			}
		}
	}
}

// CacheGet asks for one entry with its value, or for the newest orphan of that key.
func (c *Client) CacheGet(ctx context.Context, cache, key string, orphan bool) (CacheItem, error) {
	var i CacheItem
	path := entryPath(cache, key)
	if orphan {
		path += "?orphan=1"
	}
	err := c.call(ctx, http.MethodGet, path, nil, &i)
	return i, err
}

// CachePut writes an entry; only the master does. A timeout of 0 means the
// instance's own: how long to wait for room and for the slaves.
func (c *Client) CachePut(ctx context.Context, cache, key string, value []byte, inFlight bool, timeout time.Duration) error {
	v := url.Values{}
	if inFlight {
		v.Set("inFlight", "1")
	}
	return c.change(ctx, http.MethodPut, cache, key, v, timeout, bytes.NewReader(value))
}

// CacheRemove removes an entry, or the orphans of that key; only the master does.
func (c *Client) CacheRemove(ctx context.Context, cache, key string, orphan bool, timeout time.Duration) error {
	v := url.Values{}
	if orphan {
		v.Set("orphan", "1")
	}
	return c.change(ctx, http.MethodDelete, cache, key, v, timeout, nil)
}

func (c *Client) change(ctx context.Context, method, cache, key string, v url.Values, timeout time.Duration, body io.Reader) error {
	if key == "" {
		return usage("the key is empty", "")
	}
	if timeout > 0 {
		v.Set("timeoutMs", strconv.FormatInt(max(1, timeout.Milliseconds()), 10))
	}
	path := entryPath(cache, key)
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	resp, err := c.send(ctx, method, path, body, http.Header{"Content-Type": {"application/octet-stream"}})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// CacheWatch streams what changes in a cache from now on. The sequence ends as
// that of Events does.
func (c *Client) CacheWatch(ctx context.Context, cache string) iter.Seq2[CacheChange, error] {
	return stream[CacheChange](ctx, c, entryPath(cache, "")+"?watch=1", "changes")
}

// stream reads one JSON object a line.
func stream[T any](ctx context.Context, c *Client, path, what string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		resp, err := c.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			if ctx.Err() == nil {
				yield(zero, err)
			}
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxAnswer)
		for lines.Scan() {
			var e T
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				yield(zero, fmt.Errorf("read the stream of %s: %w", what, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if ctx.Err() == nil {
			yield(zero, &Error{Kind: KindNotReached, Detail: "the stream of " + what + " ended: the instance is gone or has cut it off", Err: lines.Err()})
		}
	}
}

// entryPath is the path of an entry, or of the cache if the key is empty.
func entryPath(cache, key string) string {
	path := cachePath + url.PathEscape(cache)
	if key != "" {
		path += "/" + url.PathEscape(key)
	}
	return path
}
