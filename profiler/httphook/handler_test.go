package httphook

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// serve starts a server that does not complain of panics.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, s *httptest.Server, id string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		r.Header.Set(Header, id)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestHandler(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		code       int // 0: no response
		h          http.HandlerFunc
	}{
		{"nothing written", "completed", 200, func(http.ResponseWriter, *http.Request) {}},
		{"written", "completed", 200, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a") }},
		{"the caller's fault", "completed", 404, http.NotFound},
		{"our fault", "failed: status 503 Service Unavailable", 503, func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}},
		{"announced before", "failed: status 500 Internal Server Error", 500, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusInternalServerError)
		}},
		{"too late", "completed", 200, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(http.StatusInternalServerError)
		}},
		{"longer than said", "failed: write response: " + http.ErrContentLength.Error(), 200, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1")
			io.WriteString(w, "ab")
			io.WriteString(w, "c")
		}},
		{"panic", "panicked", 0, func(http.ResponseWriter, *http.Request) { panic("out of cheese") }},
		{"abort", "panicked", 0, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e ear
			p := listen(t, &e)
			s := serve(t, Handler(p.Workflow("orders"), nil, tt.h))
			code, _, err := get(t, s, "m1")
			if code != tt.code || (err != nil) != (code == 0) && tt.name != "longer than said" {
				t.Errorf("status %d, %v; want %d", code, err, tt.code)
			}
			s.Close() // the handler has returned
			equal(t, heard(t, p, &e), "m1 orders "+tt.want)
		})
	}
}

// TestHandlerContext shows that steps inside belong to the request's message.
func TestHandlerContext(t *testing.T) {
	var e ear
	p := listen(t, &e)
	inner := p.Service("validate")
	s := serve(t, Handler(p.Workflow("orders"), func(r *http.Request) string { return r.URL.Path }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, span := inner.Begin(r.Context(), "")
		var err error
		span.End(&err)
		io.WriteString(w, profiler.ID(r.Context()))
	})))
	if code, body, err := get(t, s, "other"); code != 200 || body != "/" || err != nil {
		t.Errorf("%d %q %v", code, body, err)
	}
	s.Close()
	equal(t, heard(t, p, &e), "/ validate completed", "/ orders completed")
}

// TestHandlerWriter shows that a handler can do what it could without us.
func TestHandlerWriter(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(strings.Repeat("x", 10000)), 0o600); err != nil {
		t.Fatal(err)
	}
	type can struct{ flush, hijack, push, readFrom bool }
	var plain, hooked can
	asks := func(c *can) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, c.flush = w.(http.Flusher)
			_, c.hijack = w.(http.Hijacker)
			_, c.push = w.(http.Pusher)
			_, c.readFrom = w.(io.ReaderFrom)
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
				t.Error(err)
			}
			http.ServeFile(w, r, name)
		}
	}
	p := listen(t, &ear{})
	for _, http2 := range []bool{false, true} {
		for _, h := range []http.Handler{asks(&plain), Handler(p.Workflow("w"), nil, asks(&hooked))} {
			s := httptest.NewUnstartedServer(h)
			s.EnableHTTP2 = http2
			s.StartTLS()
			code, body, err := get(t, s, "m")
			s.Close()
			if code != 200 || len(body) != 10000 || err != nil {
				t.Errorf("%d, %d bytes, %v", code, len(body), err)
			}
		}
		if plain != hooked || !plain.flush || plain.push != http2 {
			t.Errorf("HTTP/2 %v: the server's writer can %+v, ours %+v", http2, plain, hooked)
		}
	}
	bare := struct{ http.ResponseWriter }{httptest.NewRecorder()}
	rec := &recorder{ResponseWriter: bare}
	if _, ok := rec.dressed().(http.Flusher); ok {
		t.Error("flushes what cannot be flushed")
	}
	if err := rec.FlushError(); !errors.Is(err, http.ErrNotSupported) {
		t.Errorf("flush: %v", err)
	}
	if _, ok := (&recorder{ResponseWriter: httptest.NewRecorder()}).dressed().(flusher); !ok {
		t.Error("does not flush what can be flushed")
	}
}

func TestDisabled(t *testing.T) {
	var p *profiler.Profiler
	mux := http.NewServeMux()
	if h := Handler(p.Workflow("w"), nil, mux); h != http.Handler(mux) {
		t.Error("a disabled handler is not the handler")
	}
	if tr := Transport(p.Producer("w"), nil); tr != http.DefaultTransport {
		t.Error("a disabled transport is not the transport")
	}
}
