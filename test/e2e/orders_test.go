//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestDrain takes an instance out, across a restart, until resume.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	for _, name := range []string{"a", "b"} {
		c.Start(name, c.Worker()...)
	}
	m := c.Settled(soon)
	other := c.Others(m)[0]
	c.WaitSpans(1)
	c.Hears(other, m)

	c.Do("drain", "--instance", m.Name)
	m.WaitState(admin.StateDrained, soon)
	for e, err := range admin.NewClient(c.Socket(m.Name)).Events(t.Context()) {
		if err != nil || e.Type != admin.EventState || e.State != admin.StateDrained {
			t.Errorf("events begin with %+v, %v", e, err)
		}
		break
	}
	if now := c.Settled(soon); now != other {
		t.Fatalf("%s is master, want %s", now.Name, other.Name)
	}
	refused(t, c.CLI("switchover", "--instance", other.Name, "--to", m.Name), m.Name+" may not become master: it is drained")
	refused(t, c.CLI("drain", "--instance", other.Name), "no other instance may become master")
	if s := other.MustStatus(); s.Instance.State != admin.StateMaster {
		t.Errorf("a refused drain left %s as %s", other.Name, s.Instance.State)
	}

	// A restart does not end it, and neither does the master's death.
	m.Signal(syscall.SIGTERM)
	m.Exit(soon)
	again := c.Start(m.Name, c.Worker()...)
	again.WaitState(admin.StateDrained, soon)
	other.KillHard()
	lab.Never(t, "a drained instance claims", 2*time.Second, func() bool { return again.Count("Promoted to Master node") > 0 })

	c.Do("resume", "--instance", again.Name)
	c.Settled(soon, again)

	// The last one goes only by force.
	refused(t, c.CLI("drain", "--instance", again.Name), "no other instance may become master")
	c.Do("drain", "--instance", again.Name, "--force")
	again.WaitState(admin.StateDrained, soon)
	lab.Wait(t, "no command runs", soon, func() bool { return len(c.Descendants()) == 0 })
	c.NoOverlap()
}

// TestMaintenance lets nobody claim, and leaves the master where it is.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name)
	}
	m := c.Settled(soon)
	others := c.Others(m)
	c.Do("maintenance", "on", "--for", "30m", "--instance", others[0].Name)
	for _, i := range others {
		s := i.WaitState(admin.StateMaintenance, soon)
		if u := s.Instance.MaintenanceUntil; u == nil || time.Until(u.Time) < 29*time.Minute || time.Until(u.Time) > 30*time.Minute {
			t.Errorf("%s: maintenance until %v, want in 30 minutes", i.Name, u)
		}
	}
	if s := m.WaitStatus("knows of the maintenance", soon, func(s admin.Status) bool { return s.Instance.MaintenanceUntil != nil }); s.Instance.State != admin.StateMaster {
		t.Errorf("the master is %s", s.Instance.State)
	}
	m.KillHard()
	lab.Never(t, "somebody claims during maintenance", 2500*time.Millisecond, func() bool { return c.Promotions() > 1 })
	c.Do("maintenance", "off", "--instance", others[1].Name)
	c.Settled(soon)

	// It ends by itself.
	c.Do("maintenance", "on", "--for", "1s", "--instance", others[1].Name)
	for _, i := range others {
		i.WaitStatus("maintenance is over", soon, func(s admin.Status) bool { return s.Instance.MaintenanceUntil == nil })
	}
}

// TestQuorum loses the majority: nobody claims, until a person says so.
func TestQuorum(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.quorum=2"}, lab.Fast...)...)
	a := c.Start("a", c.Worker()...)
	lab.Never(t, "a single instance claims with a quorum of 2", 2*time.Second, func() bool { return c.Promotions() > 0 })
	b := c.Start("b", c.Worker()...)
	m := c.Settled(2 * soon)
	other := a
	if m == a {
		other = b
	}
	c.WaitSpans(1)
	m.KillHard() // and with it, through its keeper, the command: the host is gone
	lab.Never(t, "the minority claims", 2500*time.Millisecond, func() bool { return other.Count("Promoted to Master node") > 0 })
	if a := c.CLI("promote", "--force", "--instance", other.Name); a.Code != 2 {
		t.Errorf("promote --force without --yes exits %d, want 2", a.Code)
	}
	c.Do("promote", "--force", "--yes", "--instance", other.Name)
	c.Settled(soon, other)
	c.WaitSpans(2)
	lab.Never(t, "the forced master gives up", 2*time.Second, func() bool { return other.Count("Demoted to slave node") > 0 })
	c.NoOverlap()
}

// TestWitness has a candidate, and two that only vote.
func TestWitness(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.quorum=2"}, lab.Fast...)...)
	a := c.Start("a")
	w1 := c.Run(lab.Run{Name: "w1", Set: []string{"failover.candidate=false"}})
	w2 := c.Run(lab.Run{Name: "w2", Set: []string{"failover.candidate=false"}})
	if m := c.Settled(2 * soon); m != a {
		t.Fatalf("%s is master, want a", m.Name)
	}
	c.Hears(w1, a)
	refused(t, c.CLI("switchover", "--instance", "a", "--to", "w1"), "w1 may not become master: it is a witness")
	refused(t, c.CLI("promote", "--instance", "w1"), "witness")
	for _, p := range a.MustStatus().Peers {
		if p.Candidate == nil || *p.Candidate {
			t.Errorf("%s is shown as a candidate", p.Name)
		}
	}
	a.KillHard()
	lab.Never(t, "a witness becomes master", 2500*time.Millisecond, func() bool { return c.Promotions() > 1 })
	for _, w := range []*lab.Instance{w1, w2} {
		if s := w.MustStatus(); s.Instance.Role != admin.RoleSlave || s.Master != nil {
			t.Errorf("%s: role %s, master %+v", w.Name, s.Instance.Role, s.Master)
		}
	}
}

func TestIsMaster(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	if a := c.CLI("is-master"); a.Code != 3 || a.Stdout != "" {
		t.Errorf("nobody runs: exit %d, stdout %q; want 3 and none", a.Code, a.Stdout)
	}
	c.Start("a")
	c.Start("b")
	m := c.Settled(soon)
	slave := c.Others(m)[0]
	for _, tt := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"is-master", "--instance", m.Name}, 0, "master\n"},
		{[]string{"is-master", "--instance", slave.Name}, 1, "slave\n"},
		{[]string{"is-master", "--instance", "nobody"}, 3, ""},
		{[]string{"is-master"}, 3, ""}, // which of the two?
		{[]string{"is-master", "--socket", c.Socket(m.Name), "-q"}, 0, ""},
	} {
		if a := c.CLI(tt.args...); a.Code != tt.code || a.Stdout != tt.out {
			t.Errorf("%v: exit %d, stdout %q; want %d, %q", tt.args, a.Code, a.Stdout, tt.code, tt.out)
		}
	}
	slave.Signal(syscall.SIGSTOP)
	if a := c.CLI("is-master", "--instance", slave.Name); a.Code != 3 {
		t.Errorf("a frozen instance: exit %d, want 3", a.Code)
	}
	slave.Signal(syscall.SIGCONT)
}

// TestEvents reads the stream of a slave that becomes master.
func TestEvents(t *testing.T) {
	t.Parallel()
	c := lab.New(t, slow...)
	c.Start("a", c.Worker()...)
	c.Start("b", c.Worker()...)
	m := c.Settled(soon)
	slave := c.Others(m)[0]
	c.Hears(slave, m)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, lab.Binary(), "events", "-o", "json", "--socket", c.Socket(slave.Name))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	events := make(chan admin.Event, 100)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e admin.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("event %q: %v", lines.Text(), err)
			}
			events <- e
		}
	}()
	defer func() {
		cancel()
		for range events { // until the reader has ended
		}
		_ = cmd.Wait()
	}()

	var seen []string
	next := func() admin.Event {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended after %v", seen)
			}
			seen = append(seen, e.Type)
			return e
		case <-time.After(soon):
			t.Fatalf("no event; so far: %v", seen)
		}
		return admin.Event{}
	}
	first := next()
	if first.Type != admin.EventState || first.State != admin.StateSlave || first.Master != m.Name || first.Epoch != m.MustStatus().Instance.Epoch || first.Instance != slave.Name {
		t.Errorf("the first event is %+v, want the present state", first)
	}
	c.Do("switchover", "--instance", m.Name, "--to", slave.Name)
	for e := next(); e.Type != admin.EventPromoted; e = next() {
	}
	for e := next(); e.Type != admin.EventWorkloadStarted; e = next() {
	}
	c.Hears(m, slave)
	c.Do("switchover", "--instance", slave.Name, "--to", m.Name)
	e := next()
	for ; e.Type != admin.EventDemoted; e = next() {
	}
	if e.Role != admin.RoleSlave {
		t.Errorf("demoted with the role %s", e.Role)
	}
	for ; e.Type != admin.EventMaster || e.Master != m.Name; e = next() {
	}
	m.KillHard()
	for ; e.Type != admin.EventPromoted; e = next() {
	}
	if e.Role != admin.RoleMaster || e.State != admin.StateMaster || e.Master != slave.Name || e.Epoch < 3 {
		t.Errorf("promoted: %+v", e)
	}
	if n := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != admin.EventPromoted })); n != 2 {
		t.Errorf("%d promotions in the stream, want 2: %s", n, strings.Join(seen, " "))
	}
}

// All drained in one moment: each looks at the others before they have told
// it. One takes its drain back, so somebody works in the end.
func TestDrainAllAtOnce(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		c.Start(name, c.Worker()...)
	}
	m := c.Settled(soon)
	for _, o := range c.Others(m) {
		c.Hears(m, o)
		c.Hears(o, m)
	}
	var wg sync.WaitGroup
	var done atomic.Int32
	for _, name := range names {
		wg.Go(func() {
			a := c.CLI("drain", "--instance", name)
			if a.Code == 0 {
				done.Add(1)
			}
			t.Logf("%s: exit %d %s%s", name, a.Code, a.Stdout, a.Stderr)
		})
	}
	wg.Wait()
	if done.Load() == int32(len(names)) {
		t.Errorf("all %d drains were carried out without --force", len(names))
	}
	c.Settled(soon)
	c.NoOverlap()
}
