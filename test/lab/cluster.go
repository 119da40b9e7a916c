//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Fast is short settings for tests in which the length of the lease does not
// matter: a lease of 800 ms, which a busy machine still keeps.
var Fast = []string{"failover.delay=100", "failover.retries=8"}

var clusters atomic.Int32

// Cluster is a set of instances on the loopback interface, with a multicast
// group, a port, state directories and sockets of its own.
type Cluster struct {
	t       testing.TB
	Name    string
	Dir     string
	Group   netip.Addr
	Port    uint16
	set     []string
	pings   bool // of the 3.3 design, by multicast
	tcp     bool // likewise, by TCP
	ports   []int
	keys    []heartbeat.Key // of failover.key in set, so that the test can listen
	journal string

	instances []*Instance
}

// New makes a cluster whose instances all have the settings given.
func New(t testing.TB, set ...string) *Cluster {
	t.Helper()
	// Not t.TempDir: socket paths must be short.
	dir, err := os.MkdirTemp("", "ilha")
	if err != nil {
		t.Fatal(err)
	}
	n, pid := clusters.Add(1), os.Getpid()
	c := &Cluster{
		t: t, Dir: dir, set: set, journal: filepath.Join(dir, "journal"),
		Name:  fmt.Sprintf("t%d-%d", pid, n),
		Group: netip.AddrFrom4([4]byte{239, byte(192 + pid>>8&3), byte(pid), byte(n)}),
		Port:  uint16(20000 + (pid*64+int(n))%12000),
	}
	for _, kv := range set {
		if v, ok := strings.CutPrefix(kv, "failover.key="); ok {
			b, err := base64.StdEncoding.DecodeString(v)
			if err != nil || len(b) != len(heartbeat.Key{}) {
				t.Fatalf("key %q: %v", v, err)
			}
			c.keys = append(c.keys, heartbeat.Key(b))
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

// NewPings is New for the 3.3 design; with tcp its pings go by TCP, and each
// instance has the port that Cluster.PingPort tells.
func NewPings(t testing.TB, tcp bool, set ...string) *Cluster {
	t.Helper()
	c := New(t, set...)
	c.pings, c.tcp = !tcp, tcp
	return c
}

// PingPort is where the n-th instance that is started takes pings, from 0. It
// was free when it was asked for first, and is none that the kernel gives away.
func (c *Cluster) PingPort(n int) int {
	c.t.Helper()
	const first, most = 4000, 28000
	for at := (int(c.Port)*8 + len(c.ports)) % most; len(c.ports) <= n; at = (at + 1) % most {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+at)); err == nil {
			_ = l.Close()
			c.ports = append(c.ports, first+at)
		}
	}
	return c.ports[n]
}

// Beside makes a cluster on the group and port of another.
func (c *Cluster) Beside(t testing.TB, set ...string) *Cluster {
	other := New(t, set...)
	other.Group, other.Port = c.Group, c.Port
	return other
}

// Commands is how many live processes run for the instances, keepers apart.
func (c *Cluster) Commands() int {
	left, _ := c.remains()
	return len(left)
}

// remains are the command lines of what the instances left behind. The keepers
// of those that were killed live on for a while.
func (c *Cluster) remains() (left, keepers map[int]string) {
	left, keepers = map[int]string{}, map[int]string{}
	for _, pid := range c.Descendants() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		line := string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		switch {
		case line == "": // it has ended
		case strings.HasPrefix(line, "interlok-ha keeper "):
			keepers[pid] = line
		default:
			left[pid] = line
		}
	}
	return left, keepers
}

// end stops everything and tells what happened if the test failed.
func (c *Cluster) end() {
	for _, i := range c.instances {
		i.kill()
	}
	deadline := time.Now().Add(3 * time.Second)
	left, keepers := c.remains()
	for len(left) > 0 && time.Now().Before(deadline) {
		time.Sleep(poll)
		left, keepers = c.remains()
	}
	for pid, line := range left {
		c.t.Errorf("process %d outlived its node: %q", pid, line)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for pid := range keepers { // they wait for slaves to tell, and there are none
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if c.t.Failed() {
		for _, i := range c.instances {
			c.t.Logf("log of %s (pid %d):\n%s", i.Name, i.PID, i.tail(150))
		}
		for _, s := range c.Spans() {
			c.t.Logf("command of %s, pid %d, token %s: %v to %v, ended itself: %v", s.Name, s.PID, s.Token, s.From, s.To, s.Ended)
		}
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		c.t.Error(err)
	}
}

// Run is what one instance is started with.
type Run struct {
	Name    string
	Set     []string // key=value, besides those of the cluster
	Command []string
	// Program is what is started in place of the program under test with its
	// verb run; it gets the same flags.
	Program []string
	Prefix  []string // words before the program, such as ip netns exec X
	Env     []string
	Console bool // the log is for people, not JSON
	Trace   bool // and has everything
	// Stderr is where the log goes instead of to the test.
	Stderr *os.File
	// Interface is lo if empty.
	Interface string
}

// Start starts an instance with the cluster's settings.
func (c *Cluster) Start(name string, command ...string) *Instance {
	c.t.Helper()
	return c.Run(Run{Name: name, Command: command})
}

// Run starts an instance.
func (c *Cluster) Run(r Run) *Instance {
	c.t.Helper()
	if r.Interface == "" {
		r.Interface = "lo"
	}
	format := "json"
	if r.Console {
		format = "console"
	}
	program := r.Program
	if len(program) == 0 {
		program = []string{binary, "run"}
	}
	args := slices.Concat(r.Prefix, program, []string{"--log-format", format, "--name", r.Name, "--cluster", c.Name})
	if r.Trace {
		args = append(args, "--log-level", "trace")
	}
	own := append(c.network(), "failover.interface="+r.Interface, "failover.state.dir="+c.StateDir(r.Name))
	for _, kv := range slices.Concat(own, c.set, r.Set) {
		args = append(args, "--set", kv)
	}
	if len(r.Command) > 0 {
		args = append(append(args, "--"), r.Command...)
	}
	i, err := start(c, r, args)
	if err != nil {
		c.t.Fatal(err)
	}
	c.instances = append(c.instances, i)
	return i
}

// network is the settings that say where the instances meet.
func (c *Cluster) network() []string {
	if !c.pings && !c.tcp {
		return []string{"failover.group=" + c.Group.String(), fmt.Sprintf("failover.port=%d", c.Port)}
	}
	set := []string{"failover.cache.group=" + c.Group.String(), fmt.Sprintf("failover.cache.port=%d", c.Port-12000)}
	if c.pings {
		return append(set, "failover.multicast.group="+c.Group.String(), fmt.Sprintf("failover.multicast.port=%d", c.Port))
	}
	return append(set, "failover.socket.mode=tcp", "failover.tcp.host=127.0.0.1",
		fmt.Sprintf("failover.tcp.port=%d", c.PingPort(len(c.instances))))
}

// StateDir is the state directory of an instance.
func (c *Cluster) StateDir(name string) string { return filepath.Join(c.Dir, "state", name) }

// Socket is where an instance's API listens.
func (c *Cluster) Socket(name string) string {
	return filepath.Join(c.Dir, "run", "interlok-ha", c.Name, name+".sock")
}

func (c *Cluster) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "INTERLOK_HA_") || strings.HasPrefix(kv, "XDG_")
	})
	return append(env, "XDG_RUNTIME_DIR="+filepath.Join(c.Dir, "run"))
}

// Answer is what one call of the program gave.
type Answer struct {
	Stdout, Stderr string
	Code           int
}

// CLI calls the program as a user would.
func (c *Cluster) CLI(args ...string) Answer {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = c.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("%v: %v", args, err)
	}
	return Answer{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Do calls the program and fails the test unless it exits with 0.
func (c *Cluster) Do(args ...string) string {
	c.t.Helper()
	a := c.CLI(args...)
	if a.Code != 0 {
		c.t.Fatalf("interlok-ha %s: exit %d\n%s%s", strings.Join(args, " "), a.Code, a.Stdout, a.Stderr)
	}
	return a.Stdout
}

// Settled waits until exactly one of the instances is master and the others
// follow it; it returns that one. None given means all that live.
func (c *Cluster) Settled(within time.Duration, of ...*Instance) *Instance {
	c.t.Helper()
	if len(of) == 0 {
		for _, i := range c.instances {
			if !i.Ended() {
				of = append(of, i)
			}
		}
	}
	var master *Instance
	var last []string
	deadline := time.Now().Add(within)
	for {
		master, last = nil, last[:0]
		masters, agree := 0, true
		for _, i := range of {
			s, err := i.Status()
			if err != nil {
				agree = false
				last = append(last, i.Name+": "+err.Error())
				continue
			}
			follows := "nobody"
			if s.Master != nil {
				follows = s.Master.Name
			}
			last = append(last, fmt.Sprintf("%s: %s, follows %s", i.Name, s.Instance.State, follows))
			if s.Instance.State == admin.StateMaster {
				masters++
				master = i
			}
		}
		for _, l := range last {
			agree = agree && master != nil && (strings.HasSuffix(l, "follows "+master.Name))
		}
		if masters == 1 && agree {
			return master
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %v for one master that all follow; last: %s", within, strings.Join(last, "; "))
		}
		time.Sleep(poll)
	}
}

// Promotions is how often any instance became master.
func (c *Cluster) Promotions() int {
	n := 0
	for _, i := range c.instances {
		n += i.Count("Promoted to Master node")
	}
	return n
}

// Others is all living instances but one.
func (c *Cluster) Others(not *Instance) []*Instance {
	var list []*Instance
	for _, i := range c.instances {
		if i != not && !i.Ended() {
			list = append(list, i)
		}
	}
	return list
}

// IsRoot reports whether the tests run as root.
func IsRoot() bool { return unix.Geteuid() == 0 }
