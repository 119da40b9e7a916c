package httphook

import (
	"fmt"
	"net/http"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Header is the header that carries a message's id.
const Header = "Message-Id"

// ID is the id of a request: what its header Message-Id says, or "".
func ID(r *http.Request) string { return r.Header.Get(Header) }

// Handler makes next a step, mostly a Workflow. It may be used by many
// goroutines. The id of a request is what id says; nil means ID. What happens
// with an empty id is told by the profiler. The handler finds the message in
// its request's context. With a nil step Handler is next.
func Handler(step *profiler.Step, id func(*http.Request) string, next http.Handler) http.Handler {
	if step == nil {
		return next
	}
	if id == nil {
		id = ID
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		ctx, span := step.Begin(r.Context(), id(r))
		defer span.End(&err)
		rec := &recorder{ResponseWriter: w}
		next.ServeHTTP(rec.dressed(), r.WithContext(ctx))
		err = rec.fault()
	})
}

// recorder notes how a response began, and whether it could be written.
type recorder struct {
	http.ResponseWriter
	status int
	err    error
}

func (rec *recorder) WriteHeader(status int) {
	// What is below 200 announces; the answer is still to come.
	if rec.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(b []byte) (int, error) {
	n, err := rec.ResponseWriter.Write(b)
	return n, rec.wrote(err)
}

// FlushError is what http.ResponseController asks for first.
func (rec *recorder) FlushError() error {
	return rec.wrote(http.NewResponseController(rec.ResponseWriter).Flush())
}

// Unwrap is how http.ResponseController finds the rest.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

func (rec *recorder) wrote(err error) error {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	if rec.err == nil {
		rec.err = err
	}
	return err
}

func (rec *recorder) fault() error {
	switch {
	case rec.status >= 500:
		return fmt.Errorf("status %d %s", rec.status, http.StatusText(rec.status))
	case rec.err != nil:
		return fmt.Errorf("write response: %w", rec.err)
	}
	return nil
}
