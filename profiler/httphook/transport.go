package httphook

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Transport makes base a step, mostly a Producer. It may be used by many
// goroutines if base may. A nil base is http.DefaultTransport; with a nil step
// Transport is base. The error is that of base, or that of the fence when the
// request was not sent.
func Transport(step *profiler.Step, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	if step == nil {
		return base
	}
	return &transport{step, base}
}

type transport struct {
	step *profiler.Step
	base http.RoundTripper
}

func (t *transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	sent, id := false, ""
	if profiler.ID(r.Context()) == "" { // outside of any workflow
		id = ID(r)
	}
	refused := t.step.Do(r.Context(), id, func(ctx context.Context) error {
		sent = true
		resp, err = t.send(ctx, r) //nolint:bodyclose // the body is for the caller of RoundTrip
		if err == nil && resp.StatusCode >= 400 {
			return fmt.Errorf("status %s", resp.Status)
		}
		return err
	})
	if !sent {
		if r.Body != nil { // a RoundTripper closes it, come what may
			r.Body.Close()
		}
		return nil, fmt.Errorf("send request: %w", refused)
	}
	return resp, err
}

// send sends a copy of the request: a RoundTripper must not change it.
func (t *transport) send(ctx context.Context, r *http.Request) (*http.Response, error) {
	// The step's context ends with the step, and the body is read later. So
	// the request gets one of its own, which follows the step's until then.
	own := r.Context()
	free := func() {}
	if t.step.Fenced() {
		var cancel context.CancelCauseFunc
		own, cancel = context.WithCancelCause(own)
		free = func() { cancel(nil) }
		stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
		defer stop()
	}
	r2 := r.Clone(own)
	if r2.Header == nil {
		r2.Header = http.Header{}
	}
	if id := profiler.ID(ctx); id != "" && r2.Header.Get(Header) == "" {
		r2.Header.Set(Header, id)
	}
	resp, err := t.base.RoundTrip(r2)
	if err != nil {
		free()
		return nil, err
	}
	if t.step.Fenced() {
		resp.Body = owned(resp.Body, free)
	}
	return resp, nil
}

// owned makes a body that frees its request's context when it is closed. That
// of a switched protocol can be written to as well.
func owned(b io.ReadCloser, free func()) io.ReadCloser {
	if w, ok := b.(io.Writer); ok {
		return struct {
			body
			io.Writer
		}{body{b, free}, w}
	}
	return body{b, free}
}

type body struct {
	io.ReadCloser
	free func()
}

func (b body) Close() error {
	defer b.free()
	return b.ReadCloser.Close()
}
