//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestCommandThatEnds has the master's command end by itself: that is a
// goodbye, `run` exits with its code, and a slave takes over at once.
func TestCommandThatEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  string
		args []string
		code int
	}{
		{"exit 0", "on-failure", []string{"-exit", "0"}, 0},
		{"exit 3, no restart", "no", []string{"-exit", "3"}, 3},
		{"exit 0, no restart", "no", []string{"-exit", "0"}, 0},
		{"SIGKILL, no restart", "no", []string{"-signal", "9"}, 137},
		{"SIGTERM, no restart", "no", []string{"-signal", "15"}, 143},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// A long lease: whoever takes over without a goodbye does not do so at once.
			c := lab.New(t, "failover.delay=300", "failover.retries=10", "failover.workload.restart="+tt.set)
			gate := filepath.Join(c.Dir, "gate")
			a := c.Start("a", c.Worker(append(tt.args, "-gate", gate)...)...)
			c.Settled(soon)
			b := c.Start("b", c.Worker()...)
			c.Settled(soon)
			c.Hears(b, a)
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if code := a.Exit(soon); code != tt.code {
				t.Errorf("run exits %d, want %d", code, tt.code)
			}
			b.WaitState(admin.StateMaster, soon)
			spans := c.WaitSpans(2)
			if gap := spans[1].From - spans[0].To; gap > 2*time.Second {
				t.Errorf("%v without a command, though the lease of 3 s need not be waited for", gap)
			}
			c.NoOverlap()
		})
	}
}

// TestFailingCommand fails again and again: it is restarted here until the
// limit, then the instance resigns, and is an ordinary slave after the window.
func TestFailingCommand(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{
		"failover.workload.restart.delay=50", "failover.workload.restart.limit=2", "failover.workload.restart.window=3",
	}, lab.Fast...)...)
	a := c.Start("a", c.Worker("-exit", "7", "-after", "20ms")...)
	b := c.Start("b", c.Worker()...)
	// Let a be the first master, whoever won.
	if m := c.Settled(soon); m == b {
		c.Hears(a, b)
		c.Do("switchover", "--instance", "b", "--to", "a")
	}
	lab.Wait(t, "a resigns and b takes over", soon, func() bool {
		s, err := b.Status()
		return err == nil && s.Instance.State == admin.StateMaster && a.Count("The command fails too often") == 1
	})
	runs := 0
	for _, s := range c.WaitSpans(4) {
		if s.Name == "a" {
			runs++
		}
	}
	if runs != 3 {
		t.Errorf("the failing command ran %d times, want 3: the first and two restarts", runs)
	}
	resigned := a.WaitLog("The command fails too often", 1, soon).Time
	if a.Ended() {
		t.Fatal("the instance left; it should be a slave")
	}
	refused(t, c.CLI("switchover", "--instance", "b", "--to", "a"), "a may not become master")
	// After the window it may be chosen again.
	lab.Wait(t, "a may become master again", soon, func() bool {
		return c.CLI("switchover", "--instance", "b", "--to", "a").Code == 0
	})
	if d := time.Since(resigned); d < 3*time.Second {
		t.Errorf("a became master again %v after it resigned, before the window of 3 s was over", d)
	}
	c.NoOverlap()
}

// TestRestartKeepsTheRole has a command that fails once: it is started again
// under the same reign.
func TestRestartKeepsTheRole(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.workload.restart.delay=50", "failover.workload.restart.window=60"}, lab.Fast...)...)
	once := filepath.Join(c.Dir, "once")
	good := strings.Join(c.Worker(), " ")
	a := c.Start("a", "sh", "-c", fmt.Sprintf(`if [ -e %s ]; then exec %s; fi; : > %s; exit 9`, once, good, once))
	c.Settled(soon)
	c.WaitSpans(1)
	s := a.WaitStatus("runs again", soon, func(s admin.Status) bool { return s.Workload.State == "running" && s.Workload.Restarts == 1 })
	if line := a.WaitLog(promoted, 1, soon).Raw; !strings.Contains(line, fmt.Sprintf(`"epoch":%d,`, s.Instance.Epoch)) || c.Promotions() != 1 {
		t.Errorf("epoch %d, %d promotions; want that of %s, and 1", s.Instance.Epoch, c.Promotions(), line)
	}
}

// TestUnhealthyMaster fails its health check: it resigns, and does not claim
// while the check fails.
func TestUnhealthyMaster(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.health.interval=50", "failover.health.timeout=2000", "failover.health.failures=2"}, lab.Fast...)...)
	sick := map[string]string{}
	start := func(name string) *lab.Instance {
		sick[name] = filepath.Join(c.Dir, "sick-"+name)
		return c.Run(lab.Run{Name: name, Command: c.Worker(), Set: []string{"failover.health.command=test ! -e " + sick[name]}})
	}
	start("a")
	start("b")
	m := c.Settled(soon)
	other := c.Others(m)[0]
	c.WaitSpans(1)
	if err := os.WriteFile(sick[m.Name], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other.WaitState(admin.StateMaster, soon)
	c.WaitSpans(2)
	m.WaitState(admin.StateSlave, soon)
	refused(t, c.CLI("switchover", "--instance", other.Name, "--to", m.Name), m.Name+" may not become master: its health check fails")
	c.NoOverlap()
	if err := os.Remove(sick[m.Name]); err != nil {
		t.Fatal(err)
	}
	lab.Wait(t, "the healthy one may become master again", soon, func() bool {
		return c.CLI("switchover", "--instance", other.Name, "--to", m.Name).Code == 0
	})
	c.WaitSpans(3)
	c.NoOverlap()
}

// TestSignals stops a master with SIGTERM: the command ends first, then the
// role is handed over, then the process exits. A second signal stops at once.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			c := lab.New(t, "failover.delay=300", "failover.retries=10")
			a := c.Start("a", c.Worker("-linger", "700ms")...)
			c.Settled(soon)
			b := c.Start("b", c.Worker()...)
			c.Settled(soon)
			c.WaitSpans(1)
			c.Hears(b, a)
			a.Signal(sig)
			spans := c.WaitSpans(2)
			if code := a.Exit(soon); code != 0 {
				t.Errorf("run exits %d, want 0", code)
			}
			b.WaitState(admin.StateMaster, soon)
			if !spans[0].Ended || spans[1].Name != "b" {
				t.Errorf("the command ended itself: %v; then that of %s started", spans[0].Ended, spans[1].Name)
			}
			ended := a.WaitLog("Command ended", 1, soon).Time
			if up := b.WaitLog("Promoted to Master node", 1, soon).Time; up.Before(ended) {
				t.Errorf("b was promoted %v before the command of a had ended", ended.Sub(up))
			}
			c.NoOverlap()
		})
	}
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		c := lab.New(t, lab.Fast...)
		a := c.Start("a", c.Worker("-tree", "-deaf")...)
		c.Settled(soon)
		c.WaitSpans(3)
		a.Signal(syscall.SIGTERM)
		a.WaitLog("Stopping; a second signal stops at once", 1, soon)
		lab.Never(t, "the deaf command's node ends before the stop timeout", 500*time.Millisecond, a.Ended)
		a.Signal(syscall.SIGTERM)
		// The stop timeout is 10 s: only the second signal ends it this soon.
		a.Exit(3 * time.Second)
		if left := c.Descendants(); len(left) > 0 {
			t.Errorf("%d processes outlived the node", len(left))
		}
	})
}

// TestDeafCommand ignores SIGTERM: it is killed when the stop timeout is over,
// and only then does the next master start.
func TestDeafCommand(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.workload.stop.timeout=400"}, lab.Fast...)...)
	c.Start("a", c.Worker("-tree", "-deaf")...)
	c.Start("b", c.Worker("-tree", "-deaf")...)
	m := c.Settled(soon)
	other := c.Others(m)[0]
	c.WaitSpans(3)
	c.Hears(other, m)
	c.Do("switchover", "--instance", m.Name)
	c.WaitSpans(6)
	if now := c.Settled(soon); now != other {
		t.Errorf("%s is master, want %s", now.Name, other.Name)
	}
	c.NoOverlap()
}

// TestEnvironment is what a command is told.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	out := filepath.Join(c.Dir, "env")
	a := c.Start("a", "sh", "-c", `env > "$0.tmp"; cat "$INTERLOK_HA_TOKEN_FILE" > "$0.token"; mv "$0.tmp" "$0"; exec sleep 1000`, out)
	c.Settled(soon)
	lab.Wait(t, "the command wrote its environment", soon, func() bool { _, err := os.Stat(out); return err == nil })
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[k] = v
		}
	}
	id := a.MustStatus().Instance.ID
	epoch := fmt.Sprintf("%020d", 1)
	for k, want := range map[string]string{
		"INTERLOK_HA_TOKEN": epoch + "-" + id, "INTERLOK_HA_EPOCH": epoch, "INTERLOK_HA_CLUSTER": c.Name,
		"INTERLOK_HA_INSTANCE": "a", "INTERLOK_HA_ID": id, "INTERLOK_HA_SOCKET": c.Socket("a"),
	} {
		if env[k] != want {
			t.Errorf("%s = %q, want %q", k, env[k], want)
		}
	}
	token, err := os.ReadFile(out + ".token")
	if err != nil || strings.TrimSpace(string(token)) != env["INTERLOK_HA_TOKEN"] {
		t.Errorf("token file: %q %v", token, err)
	}
}
