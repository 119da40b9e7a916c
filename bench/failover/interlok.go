//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
)

// interlok is interlok-ha, built from this tree, with a command that stamps:
// so its times include the start of that command.
type interlok struct {
	delay   time.Duration
	retries int
}

func (interlok) missing() string { return "" }
func (interlok) version() string { return "this commit" }

func (p interlok) start(c *cluster) error {
	for i := 1; i <= nodes; i++ {
		err := c.start(i, "interlok-ha", c.ours, "run", "--log-format", "json", "--name", name(i), "--cluster", "bench",
			"--set", "failover.interface=eth0",
			"--set", "failover.state.dir="+filepath.Join(c.dir, "state", name(i)),
			"--set", fmt.Sprintf("failover.delay=%d", p.delay.Milliseconds()),
			"--set", fmt.Sprintf("failover.retries=%d", p.retries),
			"--", c.self, roleVerb, roleAct, c.dir, fmt.Sprint(i))
		if err != nil {
			return err
		}
	}
	return nil
}

func name(node int) string { return fmt.Sprintf("n%d", node) }

// ready asks the instances: a master that has both slaves in step, and slaves
// that hear everybody.
func (p interlok) ready(c *cluster) bool {
	masters := 0
	for i := 1; i <= nodes; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s, err := admin.NewClient(filepath.Join(c.dir, "run", "interlok-ha", "bench", name(i)+".sock")).Status(ctx)
		cancel()
		if err != nil || len(s.Peers) != nodes-1 || s.Master == nil {
			return false
		}
		if s.Instance.State == admin.StateMaster {
			masters++
			if s.Cache == nil || len(s.Cache.InSync) != nodes-1 {
				return false
			}
		}
	}
	return masters == 1
}

func (interlok) holders(c *cluster, node int) []int { return []int{c.pid[node]["interlok-ha"]} }

// act is the command: it stamps until it is ended.
func act(dir string, node int) error {
	s, err := newStamper(dir, node)
	if err != nil {
		return err
	}
	on := make(chan bool, 1)
	on <- true
	s.follow(on)
	return nil
}

// makeRun makes the folder of the instances' sockets.
func makeRun(dir string) error { return os.MkdirAll(filepath.Join(dir, "run"), 0o700) }
