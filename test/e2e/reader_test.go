//go:build linux

package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// logPipe is a pipe for an instance's log.
func logPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() })
	return reader, writer
}

// stuff writes into a pipe until it has no room.
func stuff(t *testing.T, pipe *os.File) {
	t.Helper()
	fd := int(pipe.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []int{4096, 1} {
		for {
			_, err := syscall.Write(fd, make([]byte, chunk))
			if err == syscall.EAGAIN {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// warn has all instances write a warning: it sends a packet of a version that
// they do not know, and waits until they have seen it.
func warn(t *testing.T, c *lab.Cluster, seen ...*lab.Instance) {
	t.Helper()
	w := c.Wire()
	lab.Wait(t, "a packet to change", soon, func() bool { return len(w.Heard()) > 0 })
	packet := w.Last()
	packet[4]++ // the version follows the four letters
	if err := w.Conn.Multicast(packet); err != nil {
		t.Fatal(err)
	}
	for _, i := range seen {
		i.WaitStatus("the packet was dropped", soon, func(s admin.Status) bool { return s.Packets.Dropped["version"] > 0 })
	}
}

// TestLogStandsStill has a slave whose log nobody reads: it hears its master all
// the same, takes over when that one dies, works on, and ends when it is told to.
func TestLogStandsStill(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	c := lab.New(t, "failover.delay=200", "failover.retries=5")
	a := c.Start("a", c.Worker()...)
	c.Settled(soon)
	_, log := logPipe(t)
	b := c.Run(lab.Run{Name: "b", Command: c.Worker(), Stderr: log})
	c.Settled(soon)
	c.WaitSpans(1)
	c.Hears(b, a)
	stuff(t, log)
	warn(t, c, a, b)
	lab.Never(t, "b does not hear a", 2*lease, func() bool {
		s, err := b.Status()
		return err == nil && (s.Instance.State != admin.StateSlave || s.Master == nil || s.Master.LastContactMs > (3*lease/2).Milliseconds())
	})
	b.WaitStatus("it hears a", soon, func(s admin.Status) bool { return s.Instance.State == admin.StateSlave && s.Master != nil })
	a.KillHard()
	b.WaitState(admin.StateMaster, soon)
	c.WaitSpans(2)
	epoch := b.MustStatus().Instance.Epoch
	time.Sleep(2 * lease) // it had to renew its permission to work
	if s := b.MustStatus(); s.Instance.State != admin.StateMaster || s.Instance.Epoch != epoch || s.Workload.State != "running" {
		t.Errorf("b is %s of epoch %d, not %d; its command is %s", s.Instance.State, s.Instance.Epoch, epoch, s.Workload.State)
	}
	if spans := c.Spans(); len(spans) != 2 {
		t.Errorf("%d commands have run, want 2", len(spans))
	}
	b.Signal(syscall.SIGTERM)
	if code := b.Exit(soon); code != 0 {
		t.Errorf("run exits %d, want 0", code)
	}
	c.NoOverlap()
}

// TestLogReaderGone has the reader of a master's log end: the master stays, and
// its command and its health check die of such a thing as all programs do.
func TestLogReaderGone(t *testing.T) {
	t.Parallel()
	reader, log := logPipe(t)
	c := lab.New(t, append([]string{"failover.health.interval=50", "failover.health.timeout=5000"}, lab.Fast...)...)
	command, health := filepath.Join(c.Dir, "command"), filepath.Join(c.Dir, "health")
	const tell = `grep SigIgn /proc/self/status > "$0.tmp" && mv "$0.tmp" "$0"`
	a := c.Run(lab.Run{
		Name: "a", Stderr: log, Command: []string{"sh", "-c", tell + "; exec sleep 1000", command},
		Set: []string{"failover.health.command=sh -c '" + strings.ReplaceAll(tell, "$0", health) + "'"},
	})
	c.Settled(soon)
	for _, file := range []string{command, health} {
		lab.Wait(t, file, soon, func() bool { _, err := os.Stat(file); return err == nil })
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ignored, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(b), "SigIgn:")), 16, 64)
		if err != nil || ignored&(1<<(syscall.SIGPIPE-1)) != 0 {
			t.Errorf("%s ignores SIGPIPE: %q, %v", filepath.Base(file), b, err)
		}
	}
	pid := a.MustStatus().Workload.PID
	_, _ = reader.Close(), log.Close()
	warn(t, c, a)
	// Told of by whoever has tried to write it, and lives.
	api := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket(a.Name))
	}}}
	lab.Wait(t, "a line is counted as dropped", soon, func() bool {
		resp, err := api.Get("http://localhost/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return err == nil && regexp.MustCompile(`(?m)^interlok_ha_log_dropped_total [1-9]`).Match(b)
	})
	if s := a.MustStatus(); s.Instance.State != admin.StateMaster || s.Workload.PID != pid {
		t.Errorf("a is %s, its command %d, not %d", s.Instance.State, s.Workload.PID, pid)
	}
	a.Signal(syscall.SIGTERM)
	if code := a.Exit(soon); code != 0 {
		t.Errorf("run exits %d, want 0", code)
	}
}
