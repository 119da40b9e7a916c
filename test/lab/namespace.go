//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
)

// namespaces marks the network namespaces of tests. The pid of the test, a dash
// and a count follow, so that those of a killed test can be told from those of
// one that runs beside this.
const namespaces = "ilha-"

var networks atomic.Int32

// Namespaces is how the names of a network's namespaces begin: no other network
// has the same.
func Namespaces() string {
	return fmt.Sprintf("%s%d-%d", namespaces, os.Getpid(), networks.Add(1))
}

// SweepNamespaces removes the network namespaces of tests that are dead, and our
// own. It is for before and after the tests, see [Main].
func SweepNamespaces() {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return // no root or no ip: nothing was ever made
	}
	for line := range strings.Lines(string(out)) {
		name := strings.Fields(line + " ")[0]
		rest, ok := strings.CutPrefix(name, namespaces)
		if !ok {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(rest, "%d-", &pid); err == nil && (pid == os.Getpid() || !Alive(pid)) {
			_ = exec.Command("ip", "netns", "del", name).Run()
		}
	}
}
