package workload

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Whoever dies or freezes, no member of the tree outlives its time: not the
// one in its own session, not the daemon, not those that ignore SIGTERM.

func TestNodeKilled(t *testing.T) {
	cmd, keeper, tree := node(t, "once")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, append(tree, keeper))
}

func TestNodeFrozen(t *testing.T) {
	cmd, keeper, tree := node(t, "feed")
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	gone(t, append(tree, keeper))
}

func TestKeeperKilled(t *testing.T) {
	p, tree := tree(t)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if r := finish(t, p); r.Cause != CauseKeeperLost || r.Code != 137 || !r.Failed() {
		t.Errorf("result = %+v, want a lost keeper and code 137", r)
	}
	for _, fd := range tree { // Done promises it: no waiting here
		if !ended(fd, 0) {
			t.Error("a process outlived Done")
		}
	}
}

func TestKeeperFrozen(t *testing.T) {
	p, tree := tree(t)
	if err := p.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The pipe fills up; Feed says so and does not block.
	for fed := 0; p.Feed(5, hour()); fed++ {
		if fed > 100_000 {
			t.Fatal("a keeper that does not read took 100,000 frames")
		}
	}
	p.Kill()
	if r := finish(t, p); r.Cause != CauseKilled {
		t.Errorf("result = %+v, want killed", r)
	}
	for _, fd := range tree {
		if !ended(fd, 0) {
			t.Error("a process outlived Done")
		}
	}
}

// A sweep of one run leaves other runs alone, the older and the younger one.
func TestKeeperKilledBesideOthers(t *testing.T) {
	older, olderTree := tree(t)
	p, _ := tree(t)
	younger, youngerTree := tree(t)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	finish(t, p)
	for _, fd := range append(olderTree, youngerTree...) {
		if ended(fd, 0) {
			t.Error("the sweep killed a process of another run")
		}
	}
	for _, other := range []*Process{older, younger} {
		other.Kill()
		if r := finish(t, other); r.Cause != CauseKilled {
			t.Errorf("another run: %+v, want killed", r)
		}
	}
}

func TestKillEndsTheTree(t *testing.T) {
	p, tree := tree(t)
	p.Kill()
	if r := finish(t, p); r.Cause != CauseKilled || r.Signal != int(unix.SIGKILL) || r.Failed() {
		t.Errorf("result = %+v, want killed by signal 9", r)
	}
	for _, fd := range tree {
		if !ended(fd, 0) {
			t.Error("a process outlived Done")
		}
	}
}

func TestStopKillsWhatIgnoresTERM(t *testing.T) {
	p, tree := tree(t)
	p.Stop(50 * time.Millisecond)
	if r := finish(t, p); r.Cause != CauseStopped || r.Signal != int(unix.SIGKILL) {
		t.Errorf("result = %+v, want stopped by signal 9", r)
	}
	for _, fd := range tree {
		if !ended(fd, 0) {
			t.Error("a process outlived Done")
		}
	}
}

func TestNotFedInTime(t *testing.T) {
	p, tree := tree(t)
	// A newer epoch replaces the hour that the older one allowed.
	if until := boottime.Now() + 50*time.Millisecond; !p.Feed(6, until) {
		t.Fatal("the keeper took no frame")
	}
	if r := finish(t, p); r.Cause != CauseExpired {
		t.Errorf("result = %+v, want not fed in time", r)
	}
	for _, fd := range tree {
		if !ended(fd, 0) {
			t.Error("a process outlived Done")
		}
	}
}

// When COMMAND's own process ends, so does what it left.
func TestExitEndsTheTree(t *testing.T) {
	r, w := pipe(t)
	p := begin(t, Config{
		Command: shell(`(trap '' TERM; sleep 60) & sleep 60 & exit 7`),
		Stdout:  w,
	}, hour())
	if res := finish(t, p); res.Cause != CauseExited || res.Code != 7 {
		t.Errorf("result = %+v, want code 7", res)
	}
	// Whoever lived on would hold the pipe open.
	_ = w.Close()
	if err := r.SetReadDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if _, err := r.Read(buf); err != nil {
			if err != io.EOF {
				t.Errorf("somebody still holds the output: %v", err)
			}
			return
		}
	}
}
