//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

const (
	nodes  = 3
	subnet = "10.231.7" // inside the namespaces only
)

// addr is the address of a node, numbered from 1.
func addr(node int) string { return fmt.Sprintf("%s.%d", subnet, node) }

// network is three namespaces, each with a card that hangs on a bridge, and one
// more for the bridge.
type network struct {
	hub   *space
	space [nodes + 1]*space // from 1
}

func newNetwork() (*network, error) {
	w := &network{}
	var err error
	if w.hub, err = newSpace(); err != nil {
		return nil, err
	}
	// No snooping: a bridge without a querier prunes groups after a while. No
	// spanning tree and no delay: ports work at once.
	hub := "link set lo up\nlink add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up\n"
	for i := 1; i <= nodes; i++ {
		if w.space[i], err = newSpace(); err != nil {
			w.close()
			return nil, err
		}
		hub += fmt.Sprintf("link add v%d type veth peer name eth0 netns %s\nlink set v%d master br0 up\n", i, w.space[i].path, i)
	}
	if err := w.hub.run(hub, "ip", "-batch", "-"); err != nil {
		w.close()
		return nil, err
	}
	for i := 1; i <= nodes; i++ {
		node := "link set lo up\nlink set eth0 up\naddr add " + addr(i) + "/24 dev eth0\nroute add 224.0.0.0/4 dev eth0\n"
		if err := w.space[i].run(node, "ip", "-batch", "-"); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// close ends all that runs in the network, and the network.
func (w *network) close() {
	all := append(w.space[1:], w.hub)
	kill(all...)
	for _, s := range all {
		if s != nil {
			s.close()
		}
	}
}

// cut lets nothing through to or from a node. It keeps its carrier and gets no
// error when it sends, as behind a broken switch.
func (w *network) cut(node int) error { return w.port(node, "0") }

// heal undoes it.
func (w *network) heal(node int) error { return w.port(node, "3") }

func (w *network) port(node int, state string) error {
	return w.hub.run("", "bridge", "link", "set", "dev", fmt.Sprintf("v%d", node), "state", state)
}

// run waits for a command in the namespace.
func (s *space) run(stdin string, args ...string) error {
	return s.do(func() error {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	})
}
