package shop

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticks is a clock that goes on by a millisecond with each look.
func ticks() func() time.Duration {
	var t time.Duration
	return func() time.Duration {
		t += time.Millisecond
		return t
	}
}

// Tokens as an instance makes them: 20 digits of the epoch, then the instance.
const (
	token1  = "00000000000000000001-ff000000000000000000000000000000"
	token1b = "00000000000000000001-ff000000000000000000000000000001"
	token9  = "00000000000000000009-10000000000000000000000000000000"
	token10 = "00000000000000000010-00000000000000000000000000000000"
)

func TestSinkVerdicts(t *testing.T) {
	s := NewSink(ticks())
	for i, w := range []struct {
		id    string
		token string
		want  Verdict
	}{
		{"2", token1, Taken},
		{"1", token1, Taken},
		{"2", token1, Repeat},
		{"3", token1b, Taken}, // the same epoch, a greater instance
		{"4", token1, Stale},
		{"1", token1, Stale}, // stale before repeat: an old master learns that it is one
		{"4", token9, Taken},
		{"5", token10, Taken}, // 10 is more than 9, as text too
		{"6", token9, Stale},
		{"4", token10, Repeat},
		{"8", token10, Taken},
	} {
		if got := s.Write(Write{ID: w.id, Token: w.token}); got != w.want {
			t.Errorf("write %d of %s: got %q, want %q", i, w.id, got, w.want)
		}
	}
	if got := s.UpTo(); got != 5 {
		t.Errorf("taken up to %d, want 5", got)
	}
	books := s.Books()
	if len(books) != 11 || books[2].Verdict != Repeat || books[10].At != 11*time.Millisecond {
		t.Errorf("books: %+v", books)
	}
	if got := s.Tried(10); len(got) != 1 || got[0].ID != "8" {
		t.Errorf("the last write: %+v", got)
	}
}

// A token counts from the moment it was shown, before anything is written with it.
func TestSinkSees(t *testing.T) {
	s := NewSink(ticks())
	if err := s.See(token9); err != nil {
		t.Fatal(err)
	}
	if err := s.See(token1); !errors.Is(err, ErrStale) {
		t.Errorf("an older token: got %v, want %v", err, ErrStale)
	}
	if got := s.Write(Write{ID: "1", Token: token1}); got != Stale {
		t.Errorf("write under the older token: got %q, want %q", got, Stale)
	}
	if got := s.Write(Write{ID: "1", Token: token9}); got != Taken {
		t.Errorf("write under the seen token: got %q, want %q", got, Taken)
	}
}

func TestSinkAround(t *testing.T) {
	s := NewSink(ticks())
	s.Write(Write{ID: "1", Token: token1}) // at 1 ms
	s.Write(Write{ID: "2", Token: token1})
	if _, _, ok := s.Around(token9); ok {
		t.Error("a first write where there is none")
	}
	s.Write(Write{ID: "3", Token: token10}) // of the same master, whose token grew
	s.Write(Write{ID: "4", Token: token1})  // stale
	if last, first, ok := s.Around(token9); last != 2*time.Millisecond || first != 3*time.Millisecond || !ok {
		t.Errorf("got %v, %v, %v; want 2ms, 3ms, true", last, first, ok)
	}
}

// take is the number of the next order, 0 for none.
func take(t *testing.T, s *Source, token string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if made, handed := s.Count(); len(s.again) == 0 && handed == made {
		cancel()
	}
	o, ok, err := s.Take(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return 0
	}
	return o.Number
}

// Each order goes to one taker; what was not acknowledged goes to the next
// master, once, and in order.
func TestSourceAcrossMasters(t *testing.T) {
	s := NewSource()
	for range 5 {
		s.Make()
	}
	if n, err := s.Attach(token1); n != 0 || err != nil {
		t.Fatalf("attach: %d, %v", n, err)
	}
	for want := 1; want <= 4; want++ {
		if got := take(t, s, token1); got != want {
			t.Fatalf("took %d, want %d", got, want)
		}
	}
	if err := s.Ack(token1, 2); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Open(), []int{1, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("open: %v, want %v", got, want)
	}
	if n, err := s.Attach(token9); n != 3 || err != nil {
		t.Fatalf("attach: %d, %v; want 3", n, err)
	}
	for name, err := range map[string]error{
		"take":   func() error { _, _, err := s.Take(t.Context(), token1); return err }(),
		"ack":    s.Ack(token1, 1),
		"attach": func() error { _, err := s.Attach(token1); return err }(),
	} {
		if !errors.Is(err, ErrStale) {
			t.Errorf("%s under the old token: %v, want %v", name, err, ErrStale)
		}
	}
	if err := s.Ack(token9, 3); err != nil { // done by the old master, as the new one knows
		t.Fatal(err)
	}
	var got []int
	for n := take(t, s, token9); n > 0; n = take(t, s, token9) {
		got = append(got, n)
	}
	if want := []int{1, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("the new master took %v, want %v", got, want)
	}
}

// Who waits when the right to take is lost gets nothing.
func TestSourceRefusesWhoWaits(t *testing.T) {
	s := NewSource()
	result := make(chan error)
	go func() {
		_, _, err := s.Take(t.Context(), token1)
		result <- err
	}()
	if _, err := s.Attach(token9); err != nil {
		t.Fatal(err)
	}
	s.Make()
	if err := <-result; !errors.Is(err, ErrStale) {
		t.Errorf("got %v, want %v", err, ErrStale)
	}
	if _, handed := s.Count(); handed != 0 {
		t.Errorf("%d handed out, want 0", handed)
	}
	s.Close()
	s.Make() // too late
	if made, _ := s.Count(); made != 1 {
		t.Errorf("%d made, want 1", made)
	}
}

// stand serves a source and a sink, and dials them.
func stand(t *testing.T, s Services) *Client {
	t.Helper()
	addr := filepath.Join(t.TempDir(), "s")
	l, err := Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, l, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := Dial(addr, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestClient(t *testing.T) {
	var attached, left []string
	source, sink := NewSource(), NewSink(ticks())
	c := stand(t, Services{
		Source: source, Sink: sink, Latency: time.Millisecond,
		Attached: func(a Attachment) error {
			if a.PID == 0 {
				return errors.New("no such process")
			}
			attached = append(attached, a.Instance)
			return nil
		},
		Left: func(a Attachment) { left = append(left, a.Instance) },
	})
	if err := c.Attach(Attachment{Token: token1, Instance: "z"}); err == nil || errors.Is(err, ErrStale) {
		t.Errorf("one that is refused: %v", err)
	}
	a := Attachment{Token: token9, Instance: "a", PID: 1}
	if err := c.Attach(a); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.Take(t.Context(), token9); ok || err != nil {
		t.Errorf("take of nothing: %v, %v", ok, err)
	}
	source.Make()
	o, ok, err := c.Take(t.Context(), token9)
	if err != nil || !ok || o != newOrder(1) {
		t.Fatalf("take: %+v, %v, %v", o, ok, err)
	}
	if v, err := c.Write(t.Context(), Write{ID: "1", Token: token9}); v != Taken || err != nil {
		t.Errorf("write: %v, %v", v, err)
	}
	if v, err := c.Write(t.Context(), Write{ID: "1", Token: token9}); v != Repeat || err != nil {
		t.Errorf("write again: %v, %v", v, err)
	}
	if err := c.Ack(token9, 1); err != nil || len(source.Open()) > 0 {
		t.Errorf("ack: %v, open %v", err, source.Open())
	}
	for name, err := range map[string]error{
		"attach": c.Attach(Attachment{Token: token1, Instance: "b", PID: 1}),
		"take":   func() error { _, _, err := c.Take(t.Context(), token1); return err }(),
		"ack":    c.Ack(token1, 1),
		"write":  func() error { _, err := c.Write(t.Context(), Write{ID: "2", Token: token1}); return err }(),
	} {
		if !errors.Is(err, ErrStale) {
			t.Errorf("%s under an old token: %v, want %v", name, err, ErrStale)
		}
	}
	if err := c.Leave(a); err != nil || !slices.Equal(attached, []string{"a"}) || !slices.Equal(left, attached) {
		t.Errorf("leave: %v; attached %v, left %v", err, attached, left)
	}
}

// A write whose time is over is not sent.
func TestClientWritesInTime(t *testing.T) {
	sink := NewSink(ticks())
	c := stand(t, Services{Sink: sink, Source: NewSource()})
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := c.Write(late, Write{ID: "1", Token: token1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Write(cancelled, Write{ID: "1", Token: token1}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(sink.Books()); n > 0 {
		t.Errorf("%d writes came", n)
	}
}
