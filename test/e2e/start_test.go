//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestColdStart starts ten processes in one instant, again and again: each time
// one of them becomes master, and no other ever was.
func TestColdStart(t *testing.T) {
	t.Parallel()
	for round := range count(3, 30) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			c := lab.New(t, lab.Fast...)
			for n := range 10 {
				c.Start(fmt.Sprintf("n%d", n))
			}
			c.Settled(2 * soon)
			if n := c.Promotions(); n != 1 {
				t.Errorf("%d promotions, want 1", n)
			}
		})
	}
}

// TestRollingStop stops the slaves of five one after the other: the master
// stays the one it was.
func TestRollingStop(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		c.Start(name, c.Worker()...)
	}
	m := c.Settled(soon)
	c.WaitSpans(1)
	for _, i := range c.Others(m) {
		i.Signal(15)
		if code := i.Exit(soon); code != 0 {
			t.Errorf("%s exits %d, want 0", i.Name, code)
		}
		if now := c.Settled(soon); now != m {
			t.Fatalf("%s is master after %s stopped, want %s still", now.Name, i.Name, m.Name)
		}
	}
	// Alone, it reigns on for longer than any lease.
	lab.Never(t, "the last instance gives mastership up", 2*time.Second, func() bool {
		return m.Ended() || m.Count("Demoted to slave node") > 0
	})
	if n, spans := c.Promotions(), c.Spans(); n != 1 || len(spans) != 1 {
		t.Errorf("%d promotions and %d commands, want 1 and 1", n, len(spans))
	}
}

// TestSameName starts a name twice on one host.
func TestSameName(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	a := c.Start("a", c.Worker()...)
	if m := c.Settled(soon); m != a {
		t.Fatal("no master")
	}
	c.WaitSpans(1)
	second := c.Start("a", c.Worker()...)
	if code := second.Exit(soon); code != 1 {
		t.Errorf("the second exits %d, want 1", code)
	}
	want := fmt.Sprintf("a already runs here (pid %d); choose another with --name", a.PID)
	lab.Wait(t, "the second says: "+want, soon, func() bool { return second.Count(want) > 0 })
	if now := c.Settled(soon, a); now != a || len(c.Spans()) != 1 {
		t.Error("the first was disturbed")
	}

	// The lock dies with its holder: a restart after a crash is no second start.
	a.KillHard()
	again := c.Start("a", c.Worker()...)
	c.Settled(soon, again)
	c.WaitSpans(2)
	c.NoOverlap()
	if s := strings.Join(names(c.Others(nil)), " "); s != "a" {
		t.Errorf("alive: %s, want a", s)
	}
}

// TestLockOutlivesItsHolder kills a node whose keeper cannot act yet: as long as
// its command lives, the name is taken.
func TestLockOutlivesItsHolder(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	a := c.Start("a", c.Worker()...)
	c.Settled(soon)
	c.WaitSpans(1)
	keeper := parent(t, c.Spans()[0].PID)
	if err := syscall.Kill(keeper, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	a.KillHard()
	early := c.Start("a", c.Worker()...)
	if code := early.Exit(soon); code != 1 || early.Count("a already runs here") == 0 {
		t.Errorf("exit %d, want 1 and a word about the one that runs", code)
	}
	if err := syscall.Kill(keeper, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	again := c.Start("a", c.Worker()...)
	c.Settled(soon, again)
	c.WaitSpans(2)
	c.NoOverlap()
}

// TestSurvivorOfSeveral kills all but one of three at one instant. The host
// refuses connections to the dead, so that the survivor knows that it is not
// cut off, and takes over.
func TestSurvivorOfSeveral(t *testing.T) {
	t.Parallel()
	for _, survivor := range []string{"master", "slave"} {
		t.Run(survivor, func(t *testing.T) {
			c := lab.New(t, lab.Fast...)
			for _, name := range []string{"a", "b", "c"} {
				c.Start(name, c.Worker()...)
			}
			m := c.Settled(soon)
			c.WaitSpans(1)
			stays, dies := m, c.Others(m)
			if survivor == "slave" {
				stays, dies = dies[0], append(dies[1:], m)
			}
			for _, i := range dies {
				i.Signal(9)
			}
			for _, i := range dies {
				i.Exit(soon)
			}
			c.Settled(soon, stays)
			if survivor == "slave" {
				c.WaitSpans(2)
			}
			lab.Never(t, "the survivor gives mastership up", 2*time.Second, func() bool {
				return stays.Count("Demoted to slave node") > 0
			})
			c.NoOverlap()
		})
	}
}
