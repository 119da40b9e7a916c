//go:build linux

package e2e

import (
	"flag"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

var busyFor = flag.Duration("busy", 0, "how long TestBusy keeps the machine busy; 0 = not at all")

// TestBusy keeps every core busy with more than it can do. Nothing is wrong
// with the master, so at a lease of 500 ms nobody may take over. It is for a
// machine that does nothing else: what shares it may well be too much.
func TestBusy(t *testing.T) {
	if *busyFor == 0 {
		t.Skip("needs -busy=10m, and the machine for itself")
	}
	c := lab.New(t, "failover.delay=100", "failover.retries=5")
	for _, name := range []string{"a", "b", "c"} {
		c.Start(name, c.Worker()...)
	}
	m := c.Settled(soon)
	c.WaitSpans(1)
	for range 2 * runtime.NumCPU() {
		loop := exec.Command("sh", "-c", "while :; do :; done")
		loop.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := loop.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = loop.Process.Kill()
			_ = loop.Wait()
		})
	}
	before := c.Promotions() // two at the start, if it was busy then already
	select {
	case <-time.After(*busyFor): // what is looked at is the passing of time itself
	case <-t.Context().Done():
	}
	late, most := 0, time.Duration(0)
	for _, i := range c.Others(nil) {
		for _, l := range i.Log() {
			_, rest, ok := strings.Cut(l.Raw, `"detail":"late by `)
			if !ok {
				continue
			}
			text, _, _ := strings.Cut(rest, `"`)
			by, err := time.ParseDuration(text)
			if err != nil {
				t.Fatalf("%s: %v", l.Raw, err)
			}
			late, most = late+1, max(most, by)
		}
	}
	t.Logf("%v with %d loops on %d cores: %d promotions; a process was late %d times, by %v at most",
		*busyFor, 2*runtime.NumCPU(), runtime.NumCPU(), c.Promotions()-before, late, most)
	if n := c.Promotions() - before; n > 0 {
		t.Errorf("%d take-overs without a fault", n)
	}
	if n := len(c.Spans()); n != 1 {
		t.Errorf("%d commands ran, want the first alone", n)
	}
	if now := c.Settled(soon); now != m {
		t.Errorf("%s is master, want %s still", now.Name, m.Name)
	}
}
