package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// answerTimeout is how long a Client waits where the caller set no deadline
// and the instance has nothing to wait for itself.
const answerTimeout = 5 * time.Second

// maxAnswer is the most a Client reads of one answer or event.
const maxAnswer = 16 << 20

// Client speaks to one instance. It holds no connection between calls, so there
// is nothing to close. What has no deadline of its own takes as long as the
// instance needs; one that shows no sign of life for 5 s is an [Error] of
// KindNotReached. Safe for concurrent use.
type Client struct {
	path     string
	http     *http.Client
	patience time.Duration // for a sign of life of an instance that is at work on an order
}

// NewClient makes a client of the socket under path. Nothing is dialled yet.
func NewClient(path string) *Client {
	return &Client{path: path, patience: answerTimeout, http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "unix", path)
			},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Path is the socket's.
func (c *Client) Path() string { return c.path }

// name is that of the socket, which is the instance's.
func (c *Client) name() string { return strings.TrimSuffix(filepath.Base(c.path), socketSuffix) }

// Status asks what the instance knows.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Switchover hands mastership to the instance named to, or to the best one if
// to is empty; it returns the name of the new master once its heartbeat was
// heard. A timeout of 0 means the instance's own.
func (c *Client) Switchover(ctx context.Context, to string, timeout time.Duration) (master string, err error) {
	var answer switchoverAnswer
	body := switchoverBody{To: to}
	if timeout > 0 {
		// Never 0, which would mean the instance's own.
		body.TimeoutMs = max(1, timeout.Milliseconds())
	}
	err = c.call(ctx, http.MethodPost, "/v1/switchover", body, &answer)
	return answer.Master, err
}

// Drain has the instance give its role up and stay out until Resume.
func (c *Client) Drain(ctx context.Context, force bool) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodPost, "/v1/drain", forceBody{force}, &s)
	return s, err
}

// Resume ends Drain.
func (c *Client) Resume(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodPost, "/v1/resume", struct{}{}, &s)
	return s, err
}

// Promote has the instance claim mastership, with force also without votes.
func (c *Client) Promote(ctx context.Context, force bool) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodPost, "/v1/promote", promoteBody{Force: force}, &s)
	return s, err
}

// Maintenance forbids claims in the whole cluster for d; 0 allows them again.
func (c *Client) Maintenance(ctx context.Context, d time.Duration) (Status, error) {
	var s Status
	body := maintenanceBody{On: d > 0}
	if body.On {
		body.For = d.String()
	}
	err := c.call(ctx, http.MethodPost, "/v1/maintenance", body, &s)
	return s, err
}

// Events streams what happens, the present state first. The sequence ends
// without an error when ctx does; with one when the instance stops or cuts the
// reader off. Breaking out of the loop hangs up.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return stream[Event](ctx, c, "/v1/events", "events")
}

// call sends one request and reads its answer.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	// An order takes as long as the instance needs; a question does not.
	if _, ok := ctx.Deadline(); !ok && method == http.MethodGet {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.lost(err)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// do sends one request; an answer that is no success becomes its error.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	if body == nil {
		return c.send(ctx, method, path, nil, nil)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return c.send(ctx, method, path, bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}})
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://instance"+path, body)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := c.alive(req)
	if err != nil {
		return nil, c.lost(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var p Problem
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Detail == "" {
		return nil, &Error{Kind: KindInternal, Detail: fmt.Sprintf("the instance answered %s to %s", resp.Status, path), Err: err}
	}
	e := &Error{Kind: p.Kind, Detail: p.Detail, Mend: p.Mend}
	if p.Taken != nil {
		e.Taken = *p.Taken
	}
	return nil, e
}

// errSilent says that an instance gave no sign of life while it had an order.
var errSilent = errors.New("no sign of life")

// alive sends a request that may take as long as the instance needs, if it
// lives: for one that stands still a caller would wait for ever.
func (c *Client) alive(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watching, answered := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for watching.Err() == nil {
			select {
			case <-watching.Done():
			case <-time.After(c.patience / 5):
				if !c.lives(watching) {
					cancel(errSilent)
				}
			}
		}
	})
	resp, err := c.http.Do(req.WithContext(ctx))
	answered()
	watch.Wait()
	if err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = answer{resp.Body, func() { cancel(nil) }}
	return resp, nil
}

// lives reports whether the instance answers anything at all.
func (c *Client) lives(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://instance/healthz", nil)
	if err != nil {
		return true // never: the address is a constant
	}
	resp, err := c.http.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return !errors.Is(err, context.DeadlineExceeded) // whoever hung up is told of by the order's own connection
}

// answer is a body that frees what its request held.
type answer struct {
	io.ReadCloser
	free func()
}

func (a answer) Close() error {
	defer a.free()
	return a.ReadCloser.Close()
}

// lost tells a caller who hung up from an instance that did.
func (c *Client) lost(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("given up: %w", err)
	case errors.Is(err, errSilent):
		return &Error{Kind: KindNotReached, Detail: fmt.Sprintf("%s gives no sign of life: no answer in %v on %s", c.name(), c.patience, c.path),
			Mend: "is its process stopped (kill -CONT lets it go on), or the machine overloaded? It may still carry the order out then", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: KindNotReached, Detail: fmt.Sprintf("no answer in time from %s on %s", c.name(), c.path),
			Mend: "is its process stopped (kill -CONT lets it go on), or the machine overloaded?", Err: err}
	}
	return &Error{Kind: KindNotReached, Detail: fmt.Sprintf("no instance answers on %s: %v", c.path, cause(err)), Err: err}
}
