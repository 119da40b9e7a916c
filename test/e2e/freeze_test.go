//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestFrozenNode stops the node of the master and not its command. The command
// is dead before the next master's starts; the node, once awake, says nothing
// as a master any more.
func TestFrozenNode(t *testing.T) {
	t.Parallel()
	// Not the fastest: its silences have to be the frozen one's, not those of a
	// new master that got no processor.
	c := lab.New(t, "failover.delay=200", "failover.retries=8")
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name, c.Worker("-tree")...)
	}
	m := c.Settled(soon)
	c.WaitSpans(3) // the command and its two descendants
	w := c.Wire()
	lab.Wait(t, "a heartbeat of the master", soon, func() bool { return len(w.Heard()) > 0 })
	id := m.MustStatus().Instance.ID

	m.Signal(syscall.SIGSTOP)
	next := c.Settled(soon, c.Others(m)...)
	c.WaitSpans(6)
	for _, s := range c.Spans()[:3] {
		if lab.Alive(s.PID) {
			t.Errorf("process %d of the frozen master's command still lives", s.PID)
		}
	}
	// It is kept frozen for longer than all leases.
	epoch := next.MustStatus().Instance.Epoch
	lab.Never(t, "a second promotion", 2*time.Second, func() bool { return c.Promotions() > 2 })
	woken := time.Now()
	m.Signal(syscall.SIGCONT)
	s := m.WaitState(admin.StateSlave, soon)
	if s.Master == nil || s.Master.Name != next.Name {
		m.WaitStatus("follows "+next.Name, soon, func(s admin.Status) bool { return s.Master != nil && s.Master.Name == next.Name })
	}
	from := 0
	lab.Wait(t, "heartbeats of the woken node", soon, func() bool {
		from = 0
		for _, h := range w.Heard() {
			if h.At.After(woken) && h.Packet.Instance.String() == id {
				from++
			}
		}
		return from >= 3
	})
	for _, h := range w.Heard() {
		if h.At.After(woken) && h.Packet.Instance.String() == id && h.Packet.State.Reigns() {
			t.Errorf("%v after its thaw the old master sent a heartbeat in state %v", h.At.Sub(woken), h.Packet.State)
		}
	}
	if now := c.Settled(soon); now != next {
		t.Errorf("%s is master, want %s", now.Name, next.Name)
	}
	if e := next.MustStatus().Instance.Epoch; e != epoch {
		t.Errorf("the epoch of the new reign went from %d to %d", epoch, e)
	}
	c.NoOverlap()
}

// TestKilledNodeLeavesNothing kills the node of the master: no descendant of
// its command is left after a second, whatever it did to live on.
func TestKilledNodeLeavesNothing(t *testing.T) {
	t.Parallel()
	for range count(2, 20) {
		c := lab.New(t, lab.Fast...)
		a := c.Start("a", c.Worker("-tree", "-deaf")...)
		c.Settled(soon)
		c.WaitSpans(3)
		if n := c.Commands(); n < 3 {
			t.Fatalf("%d processes run for the cluster, want the command and its two", n)
		}
		a.Signal(syscall.SIGKILL)
		lab.Wait(t, "no descendant is left", time.Second, func() bool { return c.Commands() == 0 })
		for _, s := range c.Spans() {
			if lab.Alive(s.PID) {
				t.Errorf("process %d of the command still lives", s.PID)
			}
		}
	}
}
