package chaos

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	subnet = "10.231.8" // inside the namespaces only
	nodes  = 3
)

// network is a namespace for each node, 1 to 3, and one for the switch that
// joins them; and a mount namespace in which each node's state directory is a
// small file system of its own.
type network struct {
	t      *testing.T
	base   string
	holder int // process that keeps the mounts
	sw     *control
	addrs  [nodes + 1]int  // last byte of each node's address
	dead   [nodes + 1]bool // its card is down
}

// newNetwork makes all that, or skips the test.
func newNetwork(t *testing.T, seed uint64, state func(i int) string) *network {
	t.Helper()
	w := &network{t: t, base: lab.Namespaces()}
	if out, err := exec.Command("ip", "netns", "add", w.hub()).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(w.remove)
	ports := []string{"-seed", fmt.Sprint(seed)}
	for i := 1; i <= nodes; i++ {
		w.run("ip", "netns", "add", w.space(i))
		w.in(w.hub(), "ip", "link", "add", w.port(i), "type", "veth", "peer", "name", "eth0",
			"address", fmt.Sprintf("02:00:00:00:00:%02x", i), "netns", w.space(i))
		w.in(w.hub(), "ip", "link", "set", w.port(i), "up")
		w.in(w.space(i), self(t), plainVerb, "eth0")
		w.in(w.space(i), "ip", "link", "set", "lo", "up")
		w.in(w.space(i), "ip", "link", "set", "eth0", "up")
		w.address(i, i)
		ports = append(ports, w.port(i))
	}
	cmd := w.command(append([]string{"ip", "netns", "exec", w.hub(), self(t), switchVerb}, ports...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.start(cmd)
	w.sw = &control{in, bufio.NewReader(out)}
	if err := w.sw.expect("ready"); err != nil {
		t.Fatal(err)
	}
	w.hold(state)
	return w
}

// hold starts the process whose mount namespace has the state directories.
func (w *network) hold(state func(i int) string) {
	w.t.Helper()
	script := "set -e\n"
	for i := 1; i <= nodes; i++ {
		if err := os.MkdirAll(state(i), 0o700); err != nil {
			w.t.Fatal(err)
		}
		script += fmt.Sprintf("mount -t tmpfs -o size=256k,mode=0700 tmpfs %s\n", state(i))
	}
	cmd := w.command("unshare", "--mount", "--propagation", "private", "sh", "-c", script+"echo ready\nexec sleep infinity")
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	w.start(cmd)
	if err := (&control{out: bufio.NewReader(out)}).expect("ready"); err != nil {
		w.t.Skipf("no mounts here: %v", err)
	}
	w.holder = cmd.Process.Pid
}

// inside is the words that start a program as node i.
func (w *network) inside(i int) []string {
	return []string{"nsenter", "-t", fmt.Sprint(w.holder), "-m", "ip", "netns", "exec", w.space(i)}
}

func (w *network) hub() string        { return w.base + "-sw" }
func (w *network) space(i int) string { return fmt.Sprintf("%s-%d", w.base, i) }
func (w *network) port(i int) string  { return fmt.Sprintf("v%d", i) }

// address gives a node an address in place of the one it had.
func (w *network) address(i, last int) {
	w.t.Helper()
	if w.addrs[i] != 0 {
		w.in(w.space(i), "ip", "addr", "flush", "dev", "eth0")
	}
	w.addrs[i] = last
	w.in(w.space(i), "ip", "addr", "add", fmt.Sprintf("%s.%d/24", subnet, last), "dev", "eth0")
	w.routes(i)
}

func (w *network) routes(i int) {
	w.t.Helper()
	w.in(w.space(i), "ip", "route", "replace", "224.0.0.0/4", "dev", "eth0")
}

// down and up take the node's own card down, and bring it back with its route.
func (w *network) down(i int) {
	w.t.Helper()
	w.in(w.space(i), "ip", "link", "set", "eth0", "down")
	w.dead[i] = true
}

func (w *network) up(i int) {
	w.t.Helper()
	w.in(w.space(i), "ip", "link", "set", "eth0", "up")
	w.dead[i] = false
	w.routes(i)
}

func (w *network) remove() {
	for i := 1; i <= nodes; i++ {
		_ = exec.Command("ip", "netns", "del", w.space(i)).Run()
	}
	_ = exec.Command("ip", "netns", "del", w.hub()).Run()
}

// command dies with the test.
func (w *network) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts what lives as long as the network.
func (w *network) start(cmd *exec.Cmd) {
	w.t.Helper()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (w *network) run(args ...string) {
	w.t.Helper()
	if out, err := w.command(args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *network) in(space string, args ...string) {
	w.t.Helper()
	w.run(append([]string{"ip", "netns", "exec", space}, args...)...)
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
