//go:build unix

package admin

import (
	"context"
	"errors"
	"iter"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClientOrders(t *testing.T) {
	node := newFakeNode()
	path, _ := serve(t, node, nil)
	c, ctx := NewClient(path), t.Context()

	got, err := c.Status(ctx)
	if want := node.status.complete(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("status: %+v, %v, want %+v", got, err, want)
	}
	if master, err := c.Switchover(ctx, "", time.Minute); err != nil || master != "b" {
		t.Errorf("switchover: %q, %v", master, err)
	}
	if master, err := c.Switchover(ctx, "c", 0); err != nil || master != "c" {
		t.Errorf("switchover to c: %q, %v", master, err)
	}
	for _, call := range []func() (Status, error){
		func() (Status, error) { return c.Drain(ctx, false) },
		func() (Status, error) { return c.Drain(ctx, true) },
		func() (Status, error) { return c.Resume(ctx) },
		func() (Status, error) { return c.Promote(ctx, false) },
		func() (Status, error) { return c.Promote(ctx, true) },
		func() (Status, error) { return c.Maintenance(ctx, 90*time.Second) },
		func() (Status, error) { return c.Maintenance(ctx, 0) },
	} {
		if s, err := call(); err != nil || s.Instance.Name != "a" {
			t.Errorf("order: %+v, %v", s, err)
		}
	}
	want := []string{"switchover ", "switchover c", "drain", "drain force", "resume", "promote", "promote force", "maintenance 1m30s", "maintenance 0s"}
	if got := node.ordered(); !slices.Equal(got, want) {
		t.Errorf("the node was told %q, want %q", got, want)
	}
}

func TestClientErrors(t *testing.T) {
	node := newFakeNode()
	node.fail = &Error{Kind: KindNotMaster, Detail: "master is b", Mend: "run it there"}
	path, _ := serve(t, node, nil)
	_, err := NewClient(path).Drain(t.Context(), false)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != KindNotMaster || e.Detail != "master is b" || e.Mend != "run it there" {
		t.Errorf("got %#v", err)
	}
	if _, err := NewClient(filepath.Join(shortDir(t), "none")).Status(t.Context()); KindOf(err) != KindNotReached {
		t.Errorf("a socket that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewClient(path).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up: %v", err)
	}
	for range NewClient(path).Events(ctx) {
		t.Error("events for a caller who gave up")
	}
}

// An instance that accepts and never answers is not reached either.
func TestClientGivesUp(t *testing.T) {
	path := filepath.Join(shortDir(t), "a.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := NewClient(path).Status(ctx); KindOf(err) != KindNotReached || !strings.Contains(err.Error(), "in time") {
		t.Errorf("got %v", err)
	}
}

// Nor does an order wait for an instance that stands still.
func TestClientGivesUpOrder(t *testing.T) {
	path := filepath.Join(shortDir(t), "a.sock")
	l, err := net.Listen("unix", path) // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, ctx := NewClient(path), t.Context()
	c.patience = 100 * time.Millisecond
	for name, order := range map[string]func() error{
		"drain":      func() error { _, err := c.Drain(ctx, false); return err },
		"switchover": func() error { _, err := c.Switchover(ctx, "b", time.Hour); return err },
		"put":        func() error { return c.CachePut(ctx, "x", "k", nil, false, time.Hour) },
		"events": func() error {
			next, stop := pull(c.Events(ctx))
			defer stop()
			_, err := next()
			return err
		},
	} {
		err := order()
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindNotReached || !strings.HasPrefix(e.Detail, "a gives no sign of life") || !strings.Contains(e.Mend, "kill -CONT") {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

// An order takes its time while the instance lives.
func TestClientWaits(t *testing.T) {
	node := newFakeNode()
	node.hang = true
	path, _ := serve(t, node, nil)
	c := NewClient(path)
	c.patience = time.Second
	if _, err := c.Switchover(t.Context(), "", 3*c.patience/2); KindOf(err) != KindTimeout {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	alive := func(cluster, name string) {
		path := socketPath(dir, cluster, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	find := func(cluster, name string) string {
		f, err := Find(dir, cluster, name)
		if err != nil {
			return string(KindOf(err)) + ": " + err.Error()
		}
		if f.Path != socketPath(dir, f.Cluster, f.Name) {
			t.Errorf("found %+v", f)
		}
		return f.Cluster + "/" + f.Name
	}
	check := func(cluster, name, want string) {
		t.Helper()
		if got := find(cluster, name); !strings.HasPrefix(got, want) {
			t.Errorf("Find(%q, %q) = %q, want %q", cluster, name, got, want)
		}
	}

	check("", "", "not-reached: no instance runs here (looked in "+dir)
	check("x", "y", "not-reached: no instance named y of cluster x")
	alive("default", "a")

	// Nobody answers these two; the old one is removed, the new one may be about to listen.
	stale, young := socketPath(dir, "default", "stale"), socketPath(dir, "default", "young")
	staleSocket(t, stale)
	staleSocket(t, young)
	past := time.Now().Add(-time.Minute)
	if err := os.Chtimes(stale, past, past); err != nil {
		t.Fatal(err)
	}
	// Neither a file nor a folder of that name counts, and neither is touched.
	file := socketPath(dir, "default", "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("", "", "default/a")
	for path, want := range map[string]bool{stale: false, young: true, file: true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: there = %v, want %v", path, err == nil, want)
		}
	}

	alive("default", "b")
	check("", "", "several: 2 instances answer here: a, b")
	check("", "b", "default/b")
	alive("other", "b")
	check("", "", "several: 3 instances answer here: default/a, default/b, other/b")
	check("", "b", "several: 2 instances answer here: default/b, other/b")
	check("other", "", "other/b")
	check("default", "b", "default/b")
	check("default", "c", "not-reached")
}

func TestTimeJSON(t *testing.T) {
	at := Time{time.Date(2026, 11, 21, 11, 12, 19, 123_999_000, time.FixedZone("", 3600))}
	b, err := at.MarshalJSON()
	if want := `"2026-11-21T10:12:19.123Z"`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
	var back Time
	if err := back.UnmarshalJSON(b); err != nil || back.String() != "2026-11-21T10:12:19.123Z" {
		t.Errorf("back: %v, %v", back, err)
	}
	if err := back.UnmarshalJSON([]byte(`"yesterday"`)); err == nil {
		t.Error("yesterday is no time")
	}
}

// pull is iter.Pull2 with the end of the sequence as an error.
func pull(seq iter.Seq2[Event, error]) (next func() (Event, error), stop func()) {
	n, stop := iter.Pull2(seq)
	return func() (Event, error) {
		e, err, ok := n()
		if !ok {
			return e, errors.New("the sequence ended")
		}
		return e, err
	}, stop
}
