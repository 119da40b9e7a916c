//go:build linux

package netns

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	subnet = "10.231.7" // inside the namespaces only
	soon   = 10 * time.Second
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !*wanted && len(flag.Args()) == 0 {
		os.Exit(m.Run()) // all is skipped: nothing needs the program
	}
	os.Exit(lab.Main(m, lab.SweepNamespaces))
}

var wanted = flag.Bool("netns", false, "make network namespaces")

// network is some namespaces, one for each node, joined by a bridge that has a
// namespace of its own.
type network struct {
	t    *testing.T
	base string
	n    int
}

// newNetwork makes namespaces 1 to n, or skips the test.
func newNetwork(t *testing.T, n int) *network {
	t.Helper()
	if !*wanted || !lab.IsRoot() {
		t.Skip("network namespaces need root, and make changes to this machine: as root, .ci/run netns")
	}
	for _, tool := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here (Debian: iproute2)", tool)
		}
	}
	w := &network{t: t, base: lab.Namespaces(), n: n}
	if out, err := exec.Command("ip", "netns", "add", w.hub()).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v %s", err, out)
	}
	t.Cleanup(w.remove)
	w.in(w.hub(), "ip", "link", "set", "lo", "up")
	// No snooping: a bridge without a querier prunes groups after a while. No
	// spanning tree and no delay: ports work at once.
	w.in(w.hub(), "ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
	w.in(w.hub(), "ip", "link", "set", "br0", "up")
	for i := 1; i <= n; i++ {
		w.run("ip", "netns", "add", w.space(i))
		w.in(w.hub(), "ip", "link", "add", w.port(i), "type", "veth", "peer", "name", "eth0", "netns", w.space(i))
		w.in(w.hub(), "ip", "link", "set", w.port(i), "master", "br0", "up")
		w.in(w.space(i), "ip", "link", "set", "lo", "up")
		w.in(w.space(i), "ip", "link", "set", "eth0", "up")
		w.in(w.space(i), "ip", "addr", "add", w.addr(i)+"/24", "dev", "eth0")
		w.in(w.space(i), "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
	}
	return w
}

func (w *network) hub() string        { return w.base + "-br" }
func (w *network) space(i int) string { return fmt.Sprintf("%s-%d", w.base, i) }
func (w *network) port(i int) string  { return fmt.Sprintf("v%d", i) }
func (w *network) addr(i int) string  { return fmt.Sprintf("%s.%d", subnet, i) }

func (w *network) remove() {
	for i := 1; i <= w.n; i++ {
		_ = exec.Command("ip", "netns", "del", w.space(i)).Run()
	}
	_ = exec.Command("ip", "netns", "del", w.hub()).Run()
}

func (w *network) run(args ...string) {
	w.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *network) in(space string, args ...string) {
	w.t.Helper()
	w.run(append([]string{"ip", "netns", "exec", space}, args...)...)
}

// bridge changes the bridge's port of a node. The node keeps its carrier and
// gets no error when it sends, as behind a broken switch.
func (w *network) bridge(i int, args ...string) {
	w.t.Helper()
	w.in(w.hub(), append([]string{"bridge", "link", "set", "dev", w.port(i)}, args...)...)
}

// cut lets nothing through to or from a node.
func (w *network) cut(i int) { w.t.Helper(); w.bridge(i, "state", "0") }

// cutIn lets nothing through to a node: it is heard, and hears nobody.
func (w *network) cutIn(i int) {
	w.t.Helper()
	w.bridge(i, "learning", "off", "flood", "off", "mcast_flood", "off", "bcast_flood", "off")
	w.forget(i)
}

// cutOut lets nothing through from a node: it hears all, and is heard by nobody.
func (w *network) cutOut(i int) {
	w.t.Helper()
	w.bridge(i, "learning", "off", "locked", "on")
	w.forget(i)
}

// forget takes the learned addresses of a port away.
func (w *network) forget(i int) {
	w.t.Helper()
	// Not `fdb flush`: kernels before 6.2 and older tools have none.
	out, err := exec.Command("ip", "netns", "exec", w.hub(), "bridge", "fdb", "show", "brport", w.port(i)).Output()
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) > 0 && !strings.Contains(line, "permanent") {
			// It may have aged out by itself meanwhile.
			_ = exec.Command("ip", "netns", "exec", w.hub(), "bridge", "fdb", "del", words[0], "dev", w.port(i), "master").Run()
		}
	}
}

// heal undoes every cut of a node.
func (w *network) heal(i int) {
	w.t.Helper()
	w.bridge(i, "learning", "on", "flood", "on", "mcast_flood", "on", "bcast_flood", "on", "locked", "off")
	w.bridge(i, "state", "3")
}

// down and up take the node's own card down, and bring it back with its route.
func (w *network) down(i int) { w.t.Helper(); w.in(w.space(i), "ip", "link", "set", "eth0", "down") }

func (w *network) up(i int) {
	w.t.Helper()
	w.in(w.space(i), "ip", "link", "set", "eth0", "up")
	w.in(w.space(i), "ip", "route", "replace", "224.0.0.0/4", "dev", "eth0")
}

// readdress gives the node's card another address in place of all it had.
func (w *network) readdress(i int, addr string) {
	w.t.Helper()
	w.in(w.space(i), "ip", "addr", "flush", "dev", "eth0")
	w.in(w.space(i), "ip", "addr", "add", addr+"/24", "dev", "eth0")
	w.in(w.space(i), "ip", "route", "replace", "224.0.0.0/4", "dev", "eth0")
}

// start starts an instance in the namespace of node i, named after it.
func (w *network) start(c *lab.Cluster, i int, set ...string) *lab.Instance {
	w.t.Helper()
	return c.Run(lab.Run{
		Name: fmt.Sprintf("n%d", i), Command: c.Worker(), Set: set, Interface: "eth0",
		Prefix: []string{"ip", "netns", "exec", w.space(i)},
	})
}

// number is the node that an instance runs on.
func number(i *lab.Instance) int { return int(i.Name[1] - '0') }
