//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

// keepalived speaks VRRPv3. Its notify FIFO tells a process beside it when to
// act: that one is there already and need not be started, and hears the changes
// in their order, which notify scripts do not.
type keepalived struct {
	advert time.Duration
	misses int
}

func (keepalived) missing() string {
	if _, err := exec.LookPath("keepalived"); err != nil {
		return "keepalived (Debian: keepalived)"
	}
	return ""
}

func (keepalived) version() string {
	out, _ := exec.Command("keepalived", "--version").CombinedOutput()
	first, _, _ := strings.Cut(string(out), "\n")
	v, _, _ := strings.Cut(strings.TrimPrefix(first, "Keepalived v"), " ")
	return v
}

// priorities are near to the greatest, which makes the skew short.
var priorities = [nodes + 1]int{0, 250, 240, 230}

func (p keepalived) start(c *cluster) error {
	for i := 1; i <= nodes; i++ {
		fifo := filepath.Join(c.dir, fmt.Sprintf("fifo-%d", i))
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			return fmt.Errorf("make %s: %w", fifo, err)
		}
		if err := c.role(i, roleFifo, fifo); err != nil {
			return err
		}
		state := "BACKUP"
		if i == 1 {
			state = "MASTER" // it need not wait
		}
		conf := fmt.Sprintf(`global_defs {
	vrrp_version 3
	vrrp_notify_fifo %s
}
vrrp_instance bench {
	state %s
	interface eth0
	virtual_router_id 51
	priority %d
	advert_int %g
	down_timer_adverts %d
	virtual_ipaddress {
		%s.100/24
	}
}
`, fifo, state, priorities[i], p.advert.Seconds(), p.misses, subnet)
		file := filepath.Join(c.dir, fmt.Sprintf("keepalived-%d.conf", i))
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return err
		}
		pids := filepath.Join(c.dir, fmt.Sprintf("keepalived-%d", i))
		if err := c.start(i, "keepalived", "keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp",
			"--use-file", file, "--pid", pids+".pid", "--vrrp_pid", pids+"-vrrp.pid"); err != nil {
			return err
		}
	}
	return nil
}

func (keepalived) ready(*cluster) bool { return true }

// holders are keepalived and the child that speaks VRRP. The child would be
// started again if it died alone.
func (keepalived) holders(c *cluster, node int) []int {
	list := []int{c.pid[node]["keepalived"]}
	for _, pid := range pids(c.net.space[node]) {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.HasPrefix(string(comm), "keepalived") && pid != list[0] {
			list = append(list, pid)
		}
	}
	return list
}

// fifo acts while keepalived's last word was MASTER. It outlives keepalived, as
// what a notify script starts does.
func fifo(dir string, node int, path string) error {
	s, err := stamp.Open(journalOf(dir, node))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // for writing too: so it never ends
	if err != nil {
		return err
	}
	defer f.Close()
	acting := make(chan bool)
	go func() {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// INSTANCE "bench" MASTER 250
			words := strings.Fields(lines.Text())
			if len(words) < 3 || words[0] != "INSTANCE" {
				continue
			}
			switch words[2] {
			case "MASTER":
				acting <- true
			case "BACKUP", "FAULT", "STOP":
				acting <- false
			} // another word, of a master that heard a lesser one, changes nothing
		}
	}()
	s.Follow(acting)
	return nil
}
