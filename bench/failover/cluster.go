//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// poll is how often the journals are read. Times are taken from their lines, so
// it blurs nothing.
const poll = 10 * time.Millisecond

// cluster is three nodes of one contender, for one trial.
type cluster struct {
	net   *network
	dir   string
	self  string // this program
	ours  string // interlok-ha
	actor string // what it starts in order to act
	env   []string
	log   journal
	// faulty is why it will never be ready.
	faulty error
	procs
}

// procs are the processes that were started, and whether they ended.
type procs struct {
	pid  [nodes + 1]map[string]int
	wait []func() error
}

// start starts a command on a node; role is what it is called there.
func (c *cluster) start(node int, role string, args ...string) error {
	out, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("%s-%d.log", role, node)), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.net.space[node].do(cmd.Start); err != nil {
		return fmt.Errorf("start %s on node %d: %w", role, node, err)
	}
	if c.pid[node] == nil {
		c.pid[node] = map[string]int{}
	}
	c.pid[node][role] = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	c.wait = append(c.wait, func() error { return <-ended })
	return nil
}

// role starts this program in a role of its own on a node.
func (c *cluster) role(node int, role string, args ...string) error {
	return c.start(node, role, append([]string{c.self, roleVerb, role, c.dir, fmt.Sprint(node)}, args...)...)
}

// close ends all of it.
func (c *cluster) close() {
	if c.net != nil {
		c.net.close()
	}
	for _, w := range c.wait {
		_ = w()
	}
}

// until polls the journals until ok says so.
func (c *cluster) until(ctx context.Context, what string, within time.Duration, ok func() bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := boottime.Now() + within; ; {
		if err := c.log.read(); err != nil {
			return err
		}
		if ok() {
			return nil
		}
		if c.faulty != nil {
			return c.faulty
		}
		if boottime.Now() > end {
			return fmt.Errorf("waited %v for: %s: %w", within, what, errLate)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errLate = errors.New("too late")

// alone is the one node that acted lately, if it was one.
func (c *cluster) alone(lately time.Duration) (int, bool) {
	actors := c.log.actors(boottime.Now() - lately)
	if len(actors) != 1 {
		return 0, false
	}
	return actors[0], true
}

// several reports whether more than one node acts now.
func (c *cluster) several() bool { return len(c.log.actors(boottime.Now()-lately)) > 1 }

// environ is the environment of what is started, without what would steer it.
func environ(dir string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "INTERLOK_HA_") && !strings.HasPrefix(kv, "XDG_") && !strings.HasPrefix(kv, "ETCD") {
			env = append(env, kv)
		}
	}
	return append(env, "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"))
}
