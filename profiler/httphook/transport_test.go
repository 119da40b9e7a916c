package httphook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// sink answers as its path says, with the id that it got.
func sink(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/refuse":
		http.Error(w, "no", http.StatusConflict)
	case "/abort":
		panic(http.ErrAbortHandler)
	case "/slow":
		<-r.Context().Done()
	case "/again":
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case "/switch":
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		rw.WriteString(line)
		rw.Flush()
	default:
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush() // the headers first, then the body
		io.WriteString(w, r.Header.Get(Header)+strings.Repeat(".", 1<<16))
	}
}

func TestTransport(t *testing.T) {
	for _, tt := range []struct {
		path, header string
		want         []string
		code         int // 0: an error
	}{
		{"/", "", []string{"m1 publish completed"}, 200},
		{"/", "mine", []string{"m1 publish completed"}, 200},
		{"/refuse", "", []string{"m1 publish failed: status 409 Conflict"}, 409},
		{"/abort", "", []string{"m1 publish failed: EOF"}, 0},
		{"/again", "", []string{"m1 publish completed", "m1 publish completed"}, 200},
	} {
		for _, opts := range [][]profiler.StepOption{nil, {profiler.Fence()}} {
			t.Run(fmt.Sprint(tt.path, tt.header, len(opts)), func(t *testing.T) {
				var e ear
				p := listen(t, &e)
				s := serve(t, http.HandlerFunc(sink))
				base := &http.Transport{}
				defer base.CloseIdleConnections()
				c := http.Client{Transport: Transport(p.Producer("publish", opts...), base)}
				ctx, span := p.Workflow("w").Begin(t.Context(), "m1")
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+tt.path, strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				want := "m1"
				if tt.header != "" {
					r.Header.Set(Header, tt.header)
					want = tt.header
				}
				resp, err := c.Do(r)
				if (err == nil) != (tt.code != 0) {
					t.Fatal(err)
				}
				if err == nil {
					b, err := io.ReadAll(resp.Body) // after the step has ended
					resp.Body.Close()
					if err != nil || resp.StatusCode != tt.code {
						t.Errorf("%d, %v", resp.StatusCode, err)
					}
					if got := strings.TrimRight(string(b), "."); tt.code == 200 && got != want {
						t.Errorf("the sink got id %q, want %q", got, want)
					}
				}
				if tt.header == "" && r.Header.Get(Header) != "" {
					t.Error("the caller's request was changed")
				}
				span.End(nil)
				equal(t, heard(t, p, &e), append(tt.want, "m1 w completed")...)
				if e.fenced != len(opts)*len(tt.want) {
					t.Errorf("fenced %d times", e.fenced)
				}
			})
		}
	}
}

type closed struct {
	io.Reader
	n int
}

func (c *closed) Close() error { c.n++; return nil }

// TestFenceShut: what a fence refuses is not sent, and the body is closed.
func TestFenceShut(t *testing.T) {
	e := ear{shut: errShut}
	p := listen(t, &e)
	hits := 0
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	b := &closed{Reader: strings.NewReader("x")}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := p.Workflow("w").Begin(r.Context(), "m1")
	defer span.End(nil)
	_, err = Transport(p.Producer("publish", profiler.Fence()), nil).RoundTrip(r.WithContext(ctx))
	if !errors.Is(err, errShut) {
		t.Errorf("got %v", err)
	}
	s.Close()
	if hits != 0 || b.n != 1 {
		t.Errorf("%d requests, body closed %d times", hits, b.n)
	}
}

// TestFenceDeadline: a request does not wait longer than the guard is open.
func TestFenceDeadline(t *testing.T) {
	e := ear{until: 50 * time.Millisecond}
	p := listen(t, &e)
	s := serve(t, http.HandlerFunc(sink))
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	ctx, span := p.Workflow("w").Begin(t.Context(), "m1")
	defer span.End(nil)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Transport(p.Producer("publish", profiler.Fence()), base).RoundTrip(r)
	if !errors.Is(err, errGuard) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestSwitch: the body of a switched protocol can still be written to.
func TestSwitch(t *testing.T) {
	p := listen(t, &ear{})
	s := serve(t, http.HandlerFunc(sink))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/switch", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(Header, "m1")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	resp, err := Transport(p.Producer("publish", profiler.Fence()), nil).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.WriteString(resp.Body.(io.Writer), "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "hello\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}
