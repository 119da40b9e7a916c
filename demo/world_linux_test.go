package demo

import (
	"context"
	"net/rpc"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// stand is a world with its socket, and no clock: messages come by source.make.
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
		w.run(ctx, time.Hour)
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

func dial(t *testing.T, w *world) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// One master's processor dies with messages in hand, the next one is told of
// them, and from its first word on the old one gets and writes nothing.
func TestWorldAcrossMasters(t *testing.T) {
	w := stand(t)
	for range 4 {
		w.source.make()
	}
	old, oldProcess := dial(t, w), sleeper(t)
	var undone []int
	if err := old.Call("World.Begin", Beginning{Token: token1, Instance: "a", PID: oldProcess.Process.Pid}, &undone); err != nil || len(undone) > 0 {
		t.Fatalf("begin: %v, undone %v", err, undone)
	}
	var n int
	for want := 1; want <= 3; want++ {
		if err := old.Call("World.Take", token1, &n); err != nil || n != want {
			t.Fatalf("take: got %d, %v; want %d", n, err, want)
		}
	}
	var v Verdict
	if err := old.Call("World.Write", Record{2, token1}, &v); err != nil || v != Taken {
		t.Fatalf("write: got %q, %v", v, err)
	}

	next, nextProcess := dial(t, w), sleeper(t)
	if err := next.Call("World.Begin", Beginning{Token: token9, Instance: "b", PID: nextProcess.Process.Pid}, &undone); err != nil || !slices.Equal(undone, []int{1, 3}) {
		t.Fatalf("begin: %v, undone %v, want 1 and 3", err, undone)
	}
	if err := old.Call("World.Write", Record{1, token1}, &v); err != nil || v != Stale {
		t.Errorf("old write: got %q, %v; want %q", v, err, Stale)
	}
	if err := old.Call("World.Take", token1, &n); err == nil || !strings.Contains(err.Error(), errStale.Error()) {
		t.Errorf("old take: got %d, %v; want %v", n, err, errStale)
	}
	again := dial(t, w)
	if err := again.Call("World.Begin", Beginning{Token: token1, Instance: "a", PID: oldProcess.Process.Pid}, &undone); err == nil {
		t.Error("an order processor began under an old token")
	}
	if err := next.Call("World.Take", token9, &n); err != nil || n != 4 {
		t.Errorf("take: got %d, %v; want 4", n, err)
	}
}

// The world sees an order processor die, and hangs up on it.
func TestWorldSeesDeath(t *testing.T) {
	w := stand(t)
	c, process := dial(t, w), sleeper(t)
	var undone []int
	if err := c.Call("World.Begin", Beginning{Token: token1, PID: process.Process.Pid}, &undone); err != nil {
		t.Fatal(err)
	}
	taking := c.Go("World.Take", token1, new(int), nil) // nothing is there to take
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
	<-taking.Done
	w.source.make()
	if _, handed := w.source.count(); handed != 0 {
		t.Error("a dead process was handed a message")
	}
}

func TestWorldRefusesNoProcess(t *testing.T) {
	w := stand(t)
	process := sleeper(t)
	_ = process.Process.Kill()
	_ = process.Wait()
	var undone []int
	err := dial(t, w).Call("World.Begin", Beginning{Token: token9, PID: process.Process.Pid}, &undone)
	if err == nil || !strings.Contains(err.Error(), "open process") {
		t.Errorf("got %v", err)
	}
	if v := w.sink.write(Record{1, token1}); v != Taken {
		t.Errorf("its token counts: %q", v)
	}
}
