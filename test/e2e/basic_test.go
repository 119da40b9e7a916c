//go:build linux

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestDefaultSettings is a day in the life of a cluster: nothing is configured
// but the interface and the names.
func TestDefaultSettings(t *testing.T) {
	t.Parallel()
	c := lab.New(t)
	byName := map[string]*lab.Instance{}
	for _, name := range []string{"a", "b", "c"} {
		byName[name] = c.Start(name, c.Worker()...)
	}
	first := c.Settled(15 * time.Second)
	if n := c.Promotions(); n != 1 {
		t.Errorf("%d promotions at the start, want 1", n)
	}
	c.WaitSpans(1)

	killed := time.Now()
	first.KillHard()
	second := c.Settled(15 * time.Second)
	up := second.WaitLog("Promoted to Master node", 1, soon)
	if took := up.Time.Sub(killed); took > 2*time.Second {
		t.Errorf("%s took over %v after the kill: its keeper did not tell the others", second.Name, took)
	} else {
		t.Logf("kill -9: %s took over after %v", second.Name, took)
	}

	back := c.Start(first.Name, c.Worker()...)
	fourth := c.Start("d", c.Worker()...)
	for _, i := range []*lab.Instance{back, fourth} {
		i.WaitStatus("is a slave that knows its master", 15*time.Second, func(s admin.Status) bool {
			return s.Instance.State == admin.StateSlave && s.Master != nil && s.Master.Name == second.Name
		})
	}
	if now := c.Settled(soon); now != second {
		t.Errorf("%s is master after others joined, want %s still", now.Name, second.Name)
	}
	if spans := c.WaitSpans(2); len(spans) != 2 {
		t.Errorf("%d commands ran, want 2", len(spans))
	}

	checkSwitchover(t, c, second, fourth)
	c.NoOverlap()
}

// checkSwitchover hands over by the command line and checks how long it took,
// by the timestamps of the two nodes and the two commands.
func checkSwitchover(t *testing.T, c *lab.Cluster, from, to *lab.Instance) {
	t.Helper()
	c.Settled(soon)
	c.Hears(to, from)
	before := len(c.Spans())
	promoted := to.Count("Promoted to Master node")
	called := time.Now()
	out := c.Do("switchover", "--instance", from.Name, "--to", to.Name)
	answered := time.Since(called)
	if want := to.Name + " is master\n"; out != want {
		t.Errorf("switchover said %q, want %q", out, want)
	}
	spans := c.WaitSpans(before + 1)
	asked := from.WaitLog("Handing over", 1, soon)
	up := to.WaitLog("Promoted to Master node", promoted+1, soon)
	old, now := spans[before-1], spans[before]
	t.Logf("switchover: answered after %v, %v from order to reign, %v without a command", answered, up.Time.Sub(asked.Time), now.From-old.To)
	most := 800 * time.Millisecond // what silence would take
	if lab.Full() {                // with the machine to itself
		most = 250 * time.Millisecond
	}
	if d := up.Time.Sub(asked.Time); d > most {
		t.Errorf("%s reigns %v after the order, want %v at most", to.Name, d, most)
	}
	if now.Name != to.Name || !old.Ended {
		t.Errorf("the command of %s ended itself: %v; then that of %s started, want %s", old.Name, old.Ended, now.Name, to.Name)
	}
	if m := c.Settled(soon); m != to {
		t.Errorf("%s is master, want %s", m.Name, to.Name)
	}
	if s := from.WaitState(admin.StateSlave, soon); s.Instance.Role != admin.RoleSlave {
		t.Errorf("the old master has the role %s", s.Instance.Role)
	}
}

func TestSwitchover(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name, c.Worker()...)
	}
	m := c.Settled(soon)
	c.WaitSpans(1)
	slave := c.Others(m)[0]

	t.Run("to an unknown one", func(t *testing.T) {
		refused(t, c.CLI("switchover", "--instance", m.Name, "--to", "nobody"), "nobody")
	})
	t.Run("asked of a slave without a key", func(t *testing.T) {
		a := c.CLI("switchover", "--instance", slave.Name)
		refused(t, a, "master is "+m.Name+" on 127.0.0.1:")
		if !strings.Contains(a.Stderr, ": run it there") {
			t.Errorf("stderr %q", a.Stderr)
		}
	})
	if len(c.Spans()) != 1 {
		t.Errorf("a refused order stopped the command: %+v", c.Spans())
	}
	checkSwitchover(t, c, m, slave)
	c.NoOverlap()
}

// TestSwitchoverAskedOfASlave works with a key.
func TestSwitchoverAskedOfASlave(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.key=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}, lab.Fast...)...)
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name, c.Worker()...)
	}
	m := c.Settled(soon)
	c.WaitSpans(1)
	others := c.Others(m)
	c.Hears(others[1], m)
	c.Do("switchover", "--instance", others[0].Name, "--to", others[1].Name)
	if now := c.Settled(soon); now != others[1] {
		t.Errorf("%s is master, want %s", now.Name, others[1].Name)
	}
	c.WaitSpans(2)
	c.NoOverlap()
}

func refused(t *testing.T, a lab.Answer, text string) {
	t.Helper()
	if a.Code != 1 || !strings.Contains(a.Stderr, text) {
		t.Errorf("exit %d, stderr %q; want exit 1 and %q", a.Code, a.Stderr, text)
	}
}
