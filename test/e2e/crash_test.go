//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const promoted = "Promoted to Master node"

// noObituary is the environment of instances whose keepers say nothing when
// their node is dead.
const noObituary = "INTERLOK_HA_TEST_NO_OBITUARY=1"

// crashLab is a cluster of three whose masters are killed.
type crashLab struct {
	*lab.Cluster
	t       *testing.T
	env     []string
	command func() []string
	n       int
	addr    map[*lab.Instance]string // of its cache
	started []time.Duration          // after each crash, the next command
}

func newCrashLab(t *testing.T, command bool, env []string, set ...string) *crashLab {
	t.Helper()
	c := &crashLab{Cluster: lab.New(t, set...), t: t, env: env, addr: map[*lab.Instance]string{}}
	c.command = func() []string { return nil }
	if command {
		c.command = func() []string { return c.Worker() }
	}
	// A keeper stays for as long as somebody may ask for its word. That is no
	// process that outlived its node: let the nodes end in order, and wait.
	t.Cleanup(func() {
		for _, i := range c.Others(nil) {
			i.Signal(syscall.SIGCONT)
			i.Signal(syscall.SIGTERM)
		}
		for _, i := range c.Others(nil) {
			i.Exit(soon)
		}
		lab.Wait(t, "the last keeper ends", soon, func() bool { return len(c.Descendants()) == 0 })
	})
	return c
}

// start starts one more instance. Each has a name of its own: one that comes
// back is another test.
func (c *crashLab) start() *lab.Instance {
	c.t.Helper()
	c.n++
	addr := "127.0.0.1:" + freePort(c.t)
	i := c.Run(lab.Run{Name: fmt.Sprintf("n%d", c.n), Command: c.command(), Env: c.env, Set: []string{"failover.cache.bind=" + addr}})
	c.addr[i] = addr
	return i
}

// three starts three instances and returns their master.
func (c *crashLab) three() *lab.Instance {
	c.t.Helper()
	for range 3 {
		c.start()
	}
	return c.ready()
}

// ready waits until one master has two slaves that follow it, hear each other,
// and hold a stream to it.
func (c *crashLab) ready() *lab.Instance {
	c.t.Helper()
	m := c.Settled(20 * time.Second)
	others := c.Others(m)
	for _, s := range others {
		c.Hears(s, m)
		c.Hears(m, s)
	}
	c.Hears(others[0], others[1])
	c.Hears(others[1], others[0])
	c.streams(m)
	return m
}

// crash kills the master's node and returns when, and which other took over
// and when, on the clock of the journal. Without a command the log tells, to a
// millisecond; its end is taken.
func (c *crashLab) crash(m *lab.Instance, kill func()) (took time.Duration, next *lab.Instance) {
	c.t.Helper()
	others := c.Others(m)
	spans := len(c.Spans())
	had := map[*lab.Instance]int{}
	for _, o := range others {
		had[o] = o.Count(promoted)
	}
	at, killed := time.Now(), boottime.Now()
	kill()
	lab.Wait(c.t, "another reigns", 20*time.Second, func() bool {
		for _, o := range others {
			if o.Count(promoted) > had[o] {
				next = o
			}
		}
		return next != nil
	})
	took = next.WaitLog(promoted, had[next]+1, soon).Time.Add(time.Millisecond).Sub(at)
	if len(c.command()) > 0 {
		c.started = append(c.started, c.WaitSpans(spans + 1)[spans].From-killed)
	}
	return took, next
}

// named waits until one of the others says who is dead, by name.
func (c *crashLab) named(m *lab.Instance, others []*lab.Instance) {
	c.t.Helper()
	const dead = "The master is dead, says its keeper"
	lab.Wait(c.t, "the name of the dead in a log", soon, func() bool {
		for _, o := range others {
			for n := range o.Count(dead) {
				if strings.Contains(o.WaitLog(dead, n+1, soon).Raw, fmt.Sprintf(`"peer":%q`, m.Name)) {
					return true
				}
			}
		}
		return false
	})
}

// pids of an instance's node and of its keeper.
func keeperOf(t *testing.T, i *lab.Instance) int {
	t.Helper()
	children := func() (pids []int) {
		files, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			_, rest, ok := strings.Cut(string(b), ") ")
			if w := strings.Fields(rest); ok && len(w) > 1 && w[1] == strconv.Itoa(i.PID) {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
				pids = append(pids, pid)
			}
		}
		return pids
	}
	var pids []int
	lab.Wait(t, "one keeper of "+i.Name, soon, func() bool {
		pids = children()
		return len(pids) == 1
	})
	return pids[0]
}

// freePort is one whose TCP and UDP ports are free, from a range that the system
// gives to nobody by itself.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(8_000))
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp4", addr)
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = u.Close()
		_, port, _ := net.SplitHostPort(addr)
		return port
	}
	t.Fatal("no free port")
	return ""
}

// once fails the test if there was not one promotion for the start and each crash.
func (c *crashLab) once(crashes int) {
	c.t.Helper()
	if n := c.Promotions(); n != crashes+1 {
		c.t.Errorf("%d promotions after %d crashes, want one each and one at the start", n, crashes)
	}
}

// crashes is small for `go test ./...`, which has to be quick.
var crashes = flag.Int("crashes", 1, "how often TestCrash kills a master without and with a command; 50 with -full")

// TestCrash kills the master's node with SIGKILL, at default delay and retries,
// again and again: the keeper says that it is dead, and another reigns at once.
// In full it does not run beside other tests, because it measures.
func TestCrash(t *testing.T) { crashAgain(t, false, 20*time.Millisecond) }

// TestCrashCommand does the same with a command. It is no subtest: those start
// when all other tests have, and this one is long.
func TestCrashCommand(t *testing.T) { crashAgain(t, true, 30*time.Millisecond) }

func crashAgain(t *testing.T, command bool, usual time.Duration) {
	t.Helper()
	if !lab.Full() {
		t.Parallel()
	}
	c := newCrashLab(t, command, nil)
	m := c.three()
	var all []time.Duration
	for n := range count(*crashes, 50) {
		took, _ := c.crash(m, m.KillHard)
		c.named(m, c.Others(m))
		all = append(all, took)
		// The lease at defaults is 5 s: no timer is that fast.
		if took > 2500*time.Millisecond {
			t.Errorf("crash %d: another reigned after %v: that was a timer", n+1, took)
		}
		c.start()
		m = c.ready()
		c.once(n + 1)
	}
	c.NoOverlap()
	slices.Sort(all)
	median, most := all[len(all)/2], all[len(all)-1]
	t.Logf("%d crashes: another reigned after %v (median), %v (least), %v (most)", len(all), median, all[0], most)
	if slices.Sort(c.started); len(c.started) > 0 {
		t.Logf("its command ran after %v (median), %v (most)", c.started[len(c.started)/2], c.started[len(c.started)-1])
	}
	if lab.Full() && (median > usual || most > 250*time.Millisecond) {
		t.Errorf("median %v, most %v; want %v and 250ms at most", median, most, usual)
	}
}

// slow are settings whose lease of 2 s is long enough to tell a timer from the
// crash path, and to hold slaves up for a moment.
var slow = []string{"failover.delay=200", "failover.retries=10", "failover.workload.stop.timeout=500"}

// byTimer is the least time from a crash to the next reign by timers alone: the
// last heartbeat was sent up to one delay before the crash.
const byTimer = 9 * 200 * time.Millisecond

// TestCrashPathOff has keepers that say nothing, and a command: a refused
// connection does not prove that its tree is dead, so the timers decide.
func TestCrashPathOff(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, true, []string{noObituary}, slow...)
	m := c.three()
	if took, _ := c.crash(m, m.KillHard); took < byTimer {
		t.Errorf("another reigned after %v, without a word of the keeper; want %v at least", took, byTimer)
	}
	c.Settled(soon)
	c.once(1)
	c.NoOverlap()
}

// TestRefusal kills a node without a command, and its keeper: nobody is left to
// say that it is dead. On one host the refused connection is enough, when no
// peer has a stream to it, its UDP port refuses too, and it ran nothing.
func TestRefusal(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, false, nil, slow...)
	m := c.three()
	if took, _ := c.crash(m, func() { killBoth(t, m) }); took > byTimer/2 {
		t.Errorf("another reigned after %v: that was a timer", took)
	}
	c.Settled(soon)
	c.once(1)
}

// held stops the slaves while f runs, so that they see nothing of what lies
// between its beginning and its end.
func (c *crashLab) held(m *lab.Instance, f func()) {
	c.t.Helper()
	others := c.Others(m)
	for _, o := range others {
		o.Signal(syscall.SIGSTOP)
	}
	f()
	for _, o := range others {
		o.Signal(syscall.SIGCONT)
	}
}

// killBoth kills a node and its keeper in one instant, as the OOM killer may.
func killBoth(t *testing.T, m *lab.Instance) {
	t.Helper()
	keeper := keeperOf(t, m)
	// Stopped first: a keeper with real-time priority may run between the two.
	stopped := syscall.Kill(keeper, syscall.SIGSTOP)
	m.Signal(syscall.SIGKILL)
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil || stopped != nil {
		t.Fatal(err, stopped)
	}
	m.Exit(soon)
	lab.Wait(t, "the keeper is dead", soon, func() bool { return !lab.Alive(keeper) })
}

// TestSilentPeer has somebody accept connections at the dead master's address
// who says nothing: that proves nothing, and the timers decide.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, false, nil, slow...)
	m := c.three()
	took, _ := c.crash(m, func() {
		c.held(m, func() {
			killBoth(t, m)
			var l net.Listener
			lab.Wait(t, "the dead one's port is free", time.Second, func() (ok bool) {
				var err error
				l, err = net.Listen("tcp4", c.addr[m]) // its threads do not end in one instant
				return err == nil
			})
			u, err := net.ListenPacket("udp4", c.addr[m])
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = l.Close(), u.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					t.Cleanup(func() { _ = conn.Close() })
				}
			}()
		})
	})
	if took < byTimer {
		t.Errorf("another reigned after %v, want %v at least", took, byTimer)
	}
	c.Settled(soon)
	c.once(1)
}

// TestCloneAtTheAddress has another instance of the cluster at the dead
// master's address: it is no proof either.
func TestCloneAtTheAddress(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, false, nil, slow...)
	m := c.three()
	took, _ := c.crash(m, func() {
		c.held(m, func() {
			killBoth(t, m)
			clone := c.Run(lab.Run{Name: "clone", Set: []string{"failover.cache.bind=" + c.addr[m], "failover.candidate=false"}})
			clone.WaitStatus("runs", soon, func(admin.Status) bool { return true })
		})
	})
	if took < byTimer {
		t.Errorf("another reigned after %v, want %v at least", took, byTimer)
	}
	c.Settled(soon)
	c.once(1)
}

// TestKeeperKilledToo kills node and keeper together. The direct command dies
// with the keeper, and what it started in a session of its own lives on: a
// refused connection does not mean that the command's tree is dead.
func TestKeeperKilledToo(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, true, nil, slow...)
	c.command = func() []string { return c.Worker("-tree") }
	m := c.three()
	spans := c.WaitSpans(3) // the command and two descendants
	t.Cleanup(func() {
		for _, s := range spans {
			_ = syscall.Kill(s.PID, syscall.SIGKILL)
		}
	})
	took, _ := c.crash(m, func() { killBoth(t, m) })
	left := 0
	for _, s := range spans {
		if lab.Alive(s.PID) {
			left++
		}
	}
	if left == 0 {
		t.Error("no descendant outlived the keeper: this shows nothing")
	}
	if took < byTimer {
		t.Errorf("another reigned after %v with %d descendants of the command alive, want %v at least", took, left, byTimer)
	}
	c.once(1)
}

// TestFrozenKeeper kills the node while its keeper is stopped and the command
// works on. Nobody takes over until the keeper wakes, ends the command and says
// so; then at once.
func TestFrozenKeeper(t *testing.T) {
	t.Parallel()
	c := newCrashLab(t, true, nil, slow...)
	c.command = func() []string { return c.Worker("-tree", "-deaf") }
	m := c.three()
	c.WaitSpans(3)
	keeper := keeperOf(t, m)
	var woken time.Duration
	_, next := c.crash(m, func() {
		if err := syscall.Kill(keeper, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		m.KillHard()
		lab.Never(t, "another reigns while the command works", byTimer/3, func() bool { return c.Promotions() > 1 })
		woken = boottime.Now()
		if err := syscall.Kill(keeper, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	})
	all := c.WaitSpans(6)
	i := slices.IndexFunc(all, func(s lab.Span) bool { return s.Name == next.Name })
	if i < 0 {
		t.Fatalf("no command of %s in the journal", next.Name)
	}
	if took := all[i].From - woken; took > byTimer/3 {
		t.Errorf("the next command started %v after the keeper woke: that was a timer", took)
	}
	c.NoOverlap()
	c.once(1)
}

// streams waits until the master's cache has all other living instances in
// step: only a slave with a stream learns of a crash at once.
func (c *crashLab) streams(m *lab.Instance) {
	c.t.Helper()
	others := len(c.Others(m))
	m.WaitStatus(fmt.Sprintf("%d slaves in step", others), soon, func(s admin.Status) bool {
		return s.Cache != nil && len(s.Cache.InSync) == others
	})
}
