//go:build linux

package hook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/profiler"
	"go.uber.org/goleak"
)

// A reporter lives as long as its program.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/interlok-ha/interlok-ha/weave/hook.(*reporter).run"))
}

// server answers each request with what answer says; it writes down the bodies.
type server struct {
	mu     sync.Mutex // guards the rest
	bodies []string
	answer func(n int, w http.ResponseWriter)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(b))
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/steps" || s.answer == nil {
		http.Error(w, `{"detail":"no"}`, http.StatusTeapot)
		return
	}
	s.answer(len(s.bodies), w)
}

func (s *server) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies)
}

func ok(_ int, w http.ResponseWriter) {
	fmt.Fprint(w, `{"taken":9,"late":0,"fence":{"token":"t","forMs":2300}}`)
}

// use makes the package report to a server.
func use(t *testing.T, answer func(int, http.ResponseWriter)) *server {
	t.Helper()
	s := &server{answer: answer}
	dir, err := os.MkdirTemp("", "hk")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }() // ends with ErrServerClosed
	r := newReporter(l.Addr().String())
	set(t, r)
	t.Cleanup(func() {
		srv.Close()
		<-done
		os.RemoveAll(dir)
	})
	return s
}

func set(t *testing.T, r *reporter) {
	t.Helper()
	old := theReporter
	theReporter = func() *reporter { return r }
	t.Cleanup(func() { theReporter = old })
}

func id(text string) func() string { return func() string { return text } }

func TestOff(t *testing.T) {
	set(t, nil)
	ctx := t.Context()
	got, sp := New(Producer, "p", true).Begin(ctx, func() string { t.Error("asked for the id"); return "" })
	if got != ctx || sp != nil || sp.Refused() != nil {
		t.Errorf("%v, %v", got, sp)
	}
	sp.End(nil)
	Flush()
}

func TestWire(t *testing.T) {
	s := use(t, ok)
	ctx, flow := New(Workflow, "flow", false).Begin(t.Context(), id("m-\"1\"\n\xff"+strings.Repeat("x", 2000)))
	flow.End(nil) // the id is too long, and no UTF-8: it gets one of its own
	ctx, flow = New(Workflow, "f\\", false).Begin(ctx, id("m\t1"))
	_, sv := New(Service, "s", false).Begin(ctx, nil)
	bad := errors.New("a \"b\" \x01\xffé")
	sv.End(&bad)
	_, other := New(Service, "o", false).Begin(ctx, id("m2"))
	other.End(nil)
	flow.End(nil)
	_, lonely := New(Service, "l", false).Begin(t.Context(), nil) // of no message
	lonely.End(nil)
	Flush()
	var got string
	for _, b := range s.seen() {
		got += strings.Trim(b, "[]") + ","
	}
	head, rest, _ := strings.Cut(got, `,{"id":"m\u00091"`)
	if !strings.HasPrefix(head, `{"id":"unnamed-`) || strings.Count(head, `"step":"flow"`) != 2 {
		t.Errorf("unnamed: %s", head)
	}
	want := `,"kind":"workflow","step":"f\\","phase":"started"},` +
		`{"id":"m\u00091","kind":"service","step":"s","phase":"started"},` +
		`{"id":"m\u00091","kind":"service","step":"s","phase":"failed","error":"a \"b\" \u0001` + "\uFFFDé" + `"},` +
		`{"id":"m2","kind":"service","step":"o","phase":"started"},` +
		`{"id":"m2","kind":"service","step":"o","phase":"completed"},` +
		`{"id":"m\u00091","kind":"workflow","step":"f\\","phase":"completed"},`
	if rest != want {
		t.Errorf("sent\n%s\nwant\n%s", rest, want)
	}
}

func TestFence(t *testing.T) {
	s := use(t, ok)
	ctx, sp := New(Producer, "p", true).Begin(t.Context(), id("m"))
	if err := sp.Refused(); err != nil {
		t.Fatal(err)
	}
	if _, has := ctx.Deadline(); !has {
		t.Error("the context has no deadline")
	}
	if got := s.seen(); len(got) != 1 || got[0] != `[{"id":"m","kind":"producer","step":"p","phase":"started","fence":true}]` {
		t.Errorf("sent %q", got)
	}
	sp.End(nil)
	if ctx.Err() == nil {
		t.Error("the context outlives the step")
	}
	_, sp = New(Producer, "p", true).Begin(t.Context(), nil)
	if err := sp.Refused(); err == nil || !strings.Contains(err.Error(), "no id") {
		t.Errorf("without an id: %v", err)
	}
	sp.End(nil)
	if New(Service, "s", true).fenced {
		t.Error("a service is fenced")
	}
}

// TestAnswers: what becomes of a fence and the two steps before it.
func TestAnswers(t *testing.T) {
	problem := func(status, taken int, kind string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"status":%d,"detail":"no, \"%s\"","kind":%q,"taken":%d}`, status, kind, kind, taken)
		}
	}
	busy := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "0")
		problem(429, 1, "busy")(w)
	}
	for _, tt := range []struct {
		name     string
		first    func(http.ResponseWriter)
		refused  bool
		requests []int // steps of each
	}{
		{"taken", func(w http.ResponseWriter) { ok(0, w) }, false, []int{3}},
		{"another cannot be", problem(409, 1, "refused"), false, []int{3, 1}},
		{"it cannot be", problem(409, 2, "refused"), true, []int{3}},
		{"no room for another", problem(503, 0, "full"), false, []int{3, 2}},
		{"no replica", problem(503, 2, "no-replica"), true, []int{3}},
		{"too slow", problem(504, 2, "timeout"), true, []int{3}},
		{"not master", problem(409, 1, "not-master"), true, []int{3}},
		{"busy", busy, false, []int{3, 2}},
		{"no time left", func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"taken":3,"late":0,"fence":{"token":"t","forMs":0}}`)
		}, true, []int{3}},
		{"no such path", func(w http.ResponseWriter) { http.NotFound(w, nil) }, true, []int{3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := use(t, func(n int, w http.ResponseWriter) {
				if n == 1 {
					tt.first(w)
				} else {
					ok(n, w)
				}
			})
			answer := make(chan verdict, 1)
			step := New(Producer, "p", true)
			theReporter().report([]event{{id: "1", step: step, phase: started}, {id: "2", step: step, phase: started},
				{id: "3", step: step, phase: started, fence: answer}})
			if v := <-answer; (v.err != nil) != tt.refused {
				t.Errorf("refused: %v", v.err)
			}
			var got []int
			for _, b := range s.seen() {
				got = append(got, strings.Count(b, `"id"`))
			}
			if !slices.Equal(got, tt.requests) {
				t.Errorf("requests of %v steps, want %v", got, tt.requests)
			}
		})
	}
}

// TestTakenTooLate: a step that the instance knows as started, and that does
// not run, is told to have failed.
func TestTakenTooLate(t *testing.T) {
	s := use(t, func(n int, w http.ResponseWriter) {
		fmt.Fprint(w, `{"taken":1,"late":0,"fence":{"token":"t","forMs":0}}`)
	})
	_, sp := New(Producer, "p", true).Begin(t.Context(), id("m"))
	if sp.Refused() == nil {
		t.Error("it may run")
	}
	sp.End(nil)
	Flush()
	if got := s.seen(); len(got) != 2 || !strings.Contains(got[1], `"phase":"failed","error":"interlok-ha: the mastership ends"`) {
		t.Errorf("sent %q", got)
	}
}

// TestGone: an instance that is gone stops nobody, but for a fence.
func TestGone(t *testing.T) {
	set(t, newReporter(filepath.Join(t.TempDir(), "nobody")))
	ctx, sp := New(Workflow, "w", false).Begin(t.Context(), id("m"))
	sp.End(nil)
	_, fenced := New(Producer, "p", true).Begin(ctx, nil)
	if err := fenced.Refused(); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("refused: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, fenced = New(Producer, "p", true).Begin(ended, nil)
	if fenced.Refused() == nil {
		t.Error("not refused")
	}
	Flush()
}

// TestHangup: a connection that the instance closed is made anew, and what was
// sent is sent again.
func TestHangup(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"taken\":  1"} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				b, _ := io.ReadAll(req.Body) // a torn body fails below
				got <- string(b)
			}
			_, _ = io.WriteString(c, answer) // as above
			c.Close()
		}
	}()
	set(t, newReporter(l.Addr().String()))
	_, _ = New(Service, "s", false).Begin(t.Context(), id("m"))
	Flush()
	if a, b := <-got, <-got; a != b || !strings.Contains(a, `"id":"m"`) {
		t.Errorf("sent %q, then %q", a, b)
	}
	<-done
}

// TestOverflow: what is too much is forgotten, and nobody waits.
func TestOverflow(t *testing.T) {
	r := &reporter{wake: make(chan struct{}, 1)} // nobody sends
	s := New(Service, "s", false)
	for range maxQueue + 5 {
		r.add(event{id: "m", step: s, phase: started})
	}
	r.add(event{id: "m", step: s, phase: started, fence: make(chan verdict, 1)})
	if len(r.queue) != maxQueue+1 || r.lost != 5 {
		t.Errorf("%d wait, %d are lost", len(r.queue), r.lost)
	}
	if n := len(r.take()); n != maxBatch {
		t.Errorf("a batch of %d", n)
	}
}

// TestUnwinding: a hook sees how its function ended and does not interfere.
func TestUnwinding(t *testing.T) {
	s := use(t, ok)
	step := New(Service, "s", false)
	run := func(name string, fn func()) (value any) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { value = recover() }()
			_, sp := step.Begin(t.Context(), id(name))
			defer sp.End(nil)
			fn()
		}()
		<-done
		return value
	}
	run("fine", func() {})
	run("recovers", func() {
		defer func() { recover() }()
		panic("x")
	})
	boom := errors.New("boom")
	if v := run("panics", func() { panic(boom) }); v != boom {
		t.Errorf("recovered %v", v)
	}
	run("exits", runtime.Goexit)
	if v := run("strange", func() {
		var e error = strange{}
		_, sp := step.Begin(t.Context(), func() string { panic("no id") })
		sp.End(&e)
		_, sp = step.Begin(t.Context(), id("strange"))
		sp.End(&e)
	}); v != nil {
		t.Errorf("recovered %v", v)
	}
	Flush()
	all := strings.Join(s.seen(), "")
	for _, want := range []string{
		`{"id":"fine","kind":"service","step":"s","phase":"completed"}`,
		`{"id":"recovers","kind":"service","step":"s","phase":"completed"}`,
		`{"id":"panics","kind":"service","step":"s","phase":"failed","error":"panic"}`,
		`{"id":"exits","kind":"service","step":"s","phase":"failed","error":"runtime.Goexit"}`,
		`{"id":"strange","kind":"service","step":"s","phase":"failed","error":"an error whose text panics"}`,
	} {
		if strings.Count(all, want) != 1 {
			t.Errorf("not told once: %s in\n%s", want, all)
		}
	}
}

type strange struct{}

func (strange) Error() string { panic("no text") }

// listener is a plugin, and a fencer that agrees with nobody called "no".
type listener struct {
	mu   sync.Mutex // guards seen
	seen []string
}

func (l *listener) Observe(batch []profiler.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		text := ""
		if e.Detail != nil {
			text = e.Detail.Err
		}
		l.seen = append(l.seen, strings.TrimSpace(fmt.Sprint(e.ID, " ", e.Step, " ", e.Phase, " ", text)))
	}
}

func (l *listener) Fence(ctx context.Context, id string, _ profiler.Event) (context.Context, error) {
	if id == "no" {
		return ctx, errors.New("not master")
	}
	return ctx, nil
}

// TestProfiler: under a context with a profiler, that one is told.
func TestProfiler(t *testing.T) {
	s := use(t, ok)
	l := new(listener)
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{l}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for _, name := range []string{"yes", "no"} {
		func() {
			ctx, flow := New(Workflow, "w", false).Begin(Context(t.Context(), p), id(name))
			defer flow.End(nil)
			_, sp := New(Producer, "p", true).Begin(ctx, nil)
			err := sp.Refused()
			defer sp.End(&err)
			if (err != nil) != (name == "no") {
				t.Errorf("%s: refused: %v", name, err)
			}
		}()
	}
	func() {
		defer func() {
			if v := recover(); v != "x" {
				t.Errorf("recovered %v", v)
			}
		}()
		_, sp := New(Service, "s", false).Begin(Context(t.Context(), p), id("last"))
		defer sp.End(nil)
		panic("x")
	}()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	Flush()
	if got := s.seen(); len(got) > 0 {
		t.Errorf("the socket was told %q", got)
	}
	all := strings.Join(l.seen, "\n")
	for _, want := range []string{"yes PRODUCER p completed", "yes WORKFLOW w completed", "no PRODUCER p failed not master", "no WORKFLOW w completed", "last SERVICE s failed panic"} {
		if !strings.Contains(all, want) {
			t.Errorf("not heard: %s, in\n%s", want, all)
		}
	}
}

type order struct{ UUID string }

type letter struct{ key time.Duration }

func (l *letter) ID() fmt.Stringer { return l.key }

// TestOrchestrion: what the inserted calls find out at run time.
func TestOrchestrion(t *testing.T) {
	s := use(t, ok)
	for _, message := range []any{order{"o-1"}, &order{"o-2"}, &letter{time.Minute}, (*order)(nil), nil, 7} {
		_, sp := Method(t.Context(), Service, &listener{}, message)
		sp.End(nil)
	}
	ctx, sp := Function(t.Context(), "Take", "take", "workflow")
	_, publish := Function(ctx, "Publish", "", "fence")
	if err := publish.Refused(); err != nil {
		t.Error(err)
	}
	publish.End(nil)
	sp.End(nil)
	Flush()
	all := strings.Join(s.seen(), "")
	for _, want := range []string{`"o-1","kind":"service","step":"hook.listener","phase":"completed"`, `"o-2",`, `"1m0s",`,
		`"kind":"workflow","step":"take"`, `"kind":"producer","step":"Publish","phase":"started","fence":true`} {
		if !strings.Contains(all, want) {
			t.Errorf("not told: %s, in\n%s", want, all)
		}
	}
	if n := strings.Count(all, `"hook.listener","phase":"started"`); n != 3 {
		t.Errorf("%d methods are told, want the 3 with an id", n)
	}
}
