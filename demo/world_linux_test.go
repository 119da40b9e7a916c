package demo

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

// stand is a world with its socket, and no clock: orders come by source.Make.
func stand(t *testing.T) *world {
	t.Helper()
	w, err := newWorld(newBoard(), filepath.Join(t.TempDir(), "w"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx, time.Hour, 0)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// sleeper is a process for an order processor to be.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = childAttr()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func dial(t *testing.T, w *world) *shop.Client {
	t.Helper()
	c, err := shop.Dial(w.path, w.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The world knows what the old master had in hand when the next one comes.
func TestWorldAcrossMasters(t *testing.T) {
	w := stand(t)
	for range 4 {
		w.source.Make()
	}
	old := dial(t, w)
	first := shop.Attachment{Token: token1, Instance: "a", PID: sleeper(t).Process.Pid}
	if err := old.Attach(first); err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 3; want++ {
		if o, ok, err := old.Take(t.Context(), token1); o.Number != want || !ok || err != nil {
			t.Fatalf("take: got %d, %v, %v; want %d", o.Number, ok, err, want)
		}
	}
	if v, err := old.Write(t.Context(), shop.Write{ID: "2", Token: token1}); v != shop.Taken || err != nil {
		t.Fatalf("write: got %q, %v", v, err)
	}
	if err := old.Ack(token1, 2); err != nil {
		t.Fatal(err)
	}
	next := dial(t, w)
	if err := next.Attach(shop.Attachment{Token: token9, Instance: "b", PID: sleeper(t).Process.Pid}); err != nil {
		t.Fatal(err)
	}
	if v, err := old.Write(t.Context(), shop.Write{ID: "1", Token: token1}); v != shop.Stale || !errors.Is(err, shop.ErrStale) {
		t.Errorf("old write: got %q, %v; want %q", v, err, shop.Stale)
	}
	w.change(func() {
		k := w.current()
		if k == nil || k.Instance != "b" || !slices.Equal(k.open, []int{1, 3}) {
			t.Errorf("current: got %+v, want b and the orders 1 and 3", k)
		}
		if w.works[0].ended > 0 {
			t.Error("the old one has ended")
		}
	})
	if err := old.Leave(first); err != nil {
		t.Fatal(err)
	}
	w.change(func() {
		if w.works[0].ended == 0 || w.works[1].ended > 0 {
			t.Errorf("after a left: %+v, %+v", w.works[0], w.works[1])
		}
	})
}

// The world sees an order processor die.
func TestWorldSeesDeath(t *testing.T) {
	w := stand(t)
	process := sleeper(t)
	if err := dial(t, w).Attach(shop.Attachment{Token: token1, PID: process.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	w.change(func() {
		if k := w.current(); k == nil || k.PID != process.Process.Pid {
			t.Errorf("current: got %+v", k)
		}
	})
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := w.await(t.Context(), time.Minute, "the death", func() bool { return w.current() == nil }); err != nil {
		t.Fatal(err)
	}
}

func TestWorldRefusesNoProcess(t *testing.T) {
	w := stand(t)
	process := sleeper(t)
	_ = process.Process.Kill()
	_ = process.Wait()
	err := dial(t, w).Attach(shop.Attachment{Token: token9, PID: process.Process.Pid})
	if err == nil || !strings.Contains(err.Error(), "open process") {
		t.Errorf("got %v", err)
	}
}
