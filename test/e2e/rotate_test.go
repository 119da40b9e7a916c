//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestRotation changes the key of a living cluster in three sweeps of SIGHUP.
// Nobody restarts, the master reigns on, its command runs on, and no heartbeat
// is refused. One that has only the old key is refused afterwards.
func TestRotation(t *testing.T) {
	t.Parallel()
	const (
		oldKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		newKey = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	)
	c := lab.New(t, lab.Fast...)
	file := func(name string) string { return filepath.Join(c.Dir, "key-"+name) }
	write := func(name, text string) {
		t.Helper()
		tmp := file(name) + ".new"
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, file(name)); err != nil {
			t.Fatal(err)
		}
	}
	start := func(name string, set ...string) *lab.Instance {
		t.Helper()
		return c.Run(lab.Run{Name: name, Command: c.Worker(), Set: append(set, "failover.key.file="+file(name))})
	}
	var all []*lab.Instance
	for _, name := range []string{"a", "b", "c"} {
		write(name, oldKey)
		all = append(all, start(name))
	}
	m := c.Settled(soon)
	c.WaitSpans(1)
	if n := c.Promotions(); n != 1 {
		t.Fatalf("%d promotions at the start", n)
	}
	began := m.MustStatus()
	for _, i := range all { // so that each is heard after each step
		i.WaitStatus("two peers", soon, func(s admin.Status) bool { return len(s.Peers) == 2 })
	}

	// hears waits for three more heartbeats of each.
	hears := func() {
		t.Helper()
		from := map[*lab.Instance]uint64{}
		for _, i := range all {
			from[i] = i.MustStatus().Packets.Received
		}
		for _, i := range all {
			i.WaitStatus("packets of both peers", soon, func(s admin.Status) bool { return s.Packets.Received >= from[i]+6 })
		}
	}
	for n, keys := range []string{oldKey + "\n" + newKey, newKey + "\n" + oldKey, newKey} {
		for _, i := range all {
			write(i.Name, keys)
			i.Signal(syscall.SIGHUP)
			i.WaitLog("Reloaded the keys", n+1, soon)
			hears()
		}
	}
	for _, i := range all {
		s := i.MustStatus()
		for _, cause := range []string{"key", "forged", "unsigned"} {
			if n := s.Packets.Dropped[cause]; n != 0 {
				t.Errorf("%s refused %d packets as %s", i.Name, n, cause)
			}
		}
		if len(s.Peers) != 2 {
			t.Errorf("%s has %d peers", i.Name, len(s.Peers))
		}
	}

	// A faulty file changes nothing, and the log says what to do.
	write("a", "rubbish")
	all[0].Signal(syscall.SIGHUP)
	if l := all[0].WaitLog("Not reloaded", 1, soon); l.Level != "error" {
		t.Errorf("level %s: %s", l.Level, l.Raw)
	}
	hears()

	// Who has the old key only is a stranger now.
	write("d", oldKey)
	d := start("d", "failover.candidate=false")
	for _, i := range all {
		i.WaitStatus("the stranger is refused", soon, func(s admin.Status) bool { return s.Packets.Dropped["key"] > 2 })
		if s := i.MustStatus(); len(s.Peers) != 2 {
			t.Errorf("%s has %d peers after the stranger came", i.Name, len(s.Peers))
		}
	}
	// With the new one it is let in, without a restart.
	write("d", newKey)
	d.Signal(syscall.SIGHUP)
	all[0].WaitStatus("the stranger is a peer", soon, func(s admin.Status) bool { return len(s.Peers) == 3 })
	// Its cache too: nobody may go by the old key alone there.
	m.WaitStatus("its cache is in step", soon, func(s admin.Status) bool { return slices.Contains(s.Cache.InSync, "d") })

	lab.Never(t, "another promotion", 2*time.Second, func() bool { return c.Promotions() != 1 })
	now := m.MustStatus()
	if now.Instance.State != admin.StateMaster || now.Instance.Epoch != began.Instance.Epoch || now.Instance.ID != began.Instance.ID {
		t.Errorf("%s is %s, epoch %d; it was master, epoch %d", m.Name, now.Instance.State, now.Instance.Epoch, began.Instance.Epoch)
	}
	if spans := c.Spans(); len(spans) != 1 || spans[0].Ended {
		t.Errorf("the command did not live through it: %+v", spans)
	}
}
