//go:build linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// saved waits until both slots of an instance's state are on disk.
func saved(t *testing.T, c *lab.Cluster, name string) []string {
	t.Helper()
	var slots []string
	lab.Wait(t, "a saved state of "+name, soon, func() bool {
		slots, _ = filepath.Glob(filepath.Join(c.StateDir(name), "state.*"))
		return len(slots) > 0
	})
	return slots
}

func spoil(t *testing.T, slots []string) {
	t.Helper()
	for _, f := range slots {
		if err := os.WriteFile(f, bytes.Repeat([]byte("x"), 69), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEpochSurvives restarts a lone master: its next reign has a greater token.
func TestEpochSurvives(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	for n := range 3 {
		a := c.Start("a", c.Worker()...)
		c.Settled(soon)
		c.WaitSpans(n + 1)
		a.KillHard()
	}
	c.NoOverlap() // which checks that tokens grow
}

// TestSpoiledState has both slots unreadable. Without a quorum the instance
// warns and goes on.
func TestSpoiledState(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	a := c.Start("a", c.Worker()...)
	c.Settled(soon)
	slots := saved(t, c, "a")
	a.KillHard()
	spoil(t, slots)
	again := c.Start("a", c.Worker()...)
	again.WaitLog("The saved state cannot be read", 1, soon)
	c.Settled(soon, again)
}

// TestSpoiledVoter has both slots unreadable, with a quorum: it grants nothing
// until a majority of the others told it their epochs.
func TestSpoiledVoter(t *testing.T) {
	t.Parallel()
	c := lab.New(t, append([]string{"failover.quorum=2"}, lab.Fast...)...)
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name)
	}
	m := c.Settled(2 * soon)
	others := c.Others(m)
	slots := saved(t, c, others[0].Name)
	for _, i := range append(others, m) {
		i.KillHard()
	}
	spoil(t, slots)
	// The spoiled one and one other: no majority of the others, so no master.
	c.Start(others[0].Name).WaitLog("The saved state cannot be read", 1, soon)
	c.Start(others[1].Name)
	promotions := c.Promotions()
	lab.Never(t, "a voter that lost its memory makes a majority", 4*time.Second, func() bool { return c.Promotions() > promotions })
	c.Start(m.Name)
	c.Settled(2 * soon)
}

// TestFullDisk has a state directory that takes nothing more. Without a quorum
// the instance claims in memory and warns; with one it does not claim.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !lab.IsRoot() {
		t.Skip("mounting a small file system needs root")
	}
	for _, tt := range []struct {
		name  string
		flags uintptr
	}{{"full", 0}, {"read-only", syscall.MS_RDONLY}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := lab.New(t, lab.Fast...)
			for _, name := range []string{"a", "q"} {
				dir := c.StateDir(name)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
					t.Skipf("mount a tmpfs: %v", err)
				}
				t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
				// The lock is there already, as after an earlier start.
				if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("1\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if tt.flags == 0 {
					fill(t, filepath.Join(dir, "filler"))
				} else if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|tt.flags, "size=64k"); err != nil {
					t.Skipf("remount: %v", err)
				}
			}
			a := c.Start("a", c.Worker()...)
			q := c.Run(lab.Run{Name: "q", Set: []string{"failover.quorum=1", "failover.cluster=" + c.Name + "q"}})
			c.Settled(soon, a)
			a.WaitLog("State not saved", 1, soon)
			lab.Never(t, "it claims with a quorum and no memory", 2*time.Second, func() bool {
				return q.Count("Promoted to Master node") > 0 || q.Ended() || a.Ended()
			})
			if s := a.MustStatus(); s.Instance.State != admin.StateMaster {
				t.Errorf("without a quorum it is %s, want master", s.Instance.State)
			}
		})
	}
}

// fill writes until there is no room.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 1 << 20 {
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return
		}
	}
	t.Fatal("the file system does not fill")
}
