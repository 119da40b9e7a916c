//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	ha "github.com/interlok-ha/interlok-ha/node"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

// interlok is interlok-ha, built from this tree: with a command that stamps, so
// that its times include the start of that command; or, as a library, with a
// function that does.
type interlok struct {
	delay   time.Duration
	retries int
	library bool
}

func (interlok) missing() string { return "" }
func (interlok) version() string { return "this commit" }

func (p interlok) start(c *cluster) error {
	for i := 1; i <= nodes; i++ {
		set := []string{
			"failover.name=" + name(i),
			"failover.cluster=" + clusterName,
			"failover.interface=eth0",
			"failover.state.dir=" + filepath.Join(c.dir, "state", name(i)),
			fmt.Sprintf("failover.delay=%d", p.delay.Milliseconds()),
			fmt.Sprintf("failover.retries=%d", p.retries),
		}
		var err error
		if p.library {
			err = c.role(i, roleLibrary, set...)
		} else {
			args := []string{c.ours, "run", "--log-format", "json"}
			for _, kv := range set {
				args = append(args, "--set", kv)
			}
			err = c.start(i, "interlok-ha", append(args, "--", c.actor, journalOf(c.dir, i))...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const clusterName = "bench"

func name(node int) string { return fmt.Sprintf("n%d", node) }

// ready asks the instances: a master that has both slaves in step, and slaves
// that hear everybody.
func (p interlok) ready(c *cluster) bool {
	masters := 0
	for i := 1; i <= nodes; i++ {
		s, err := status(c, i)
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

// status asks one instance.
func status(c *cluster, node int) (admin.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return admin.NewClient(filepath.Join(c.dir, "run", "interlok-ha", clusterName, name(node)+".sock")).Status(ctx)
}

// beat is when another instance heard it last.
func (interlok) beat(c *cluster, node int) (at time.Duration, ok bool) {
	s, err := status(c, node%nodes+1)
	if err != nil {
		return 0, false
	}
	for _, p := range s.Peers {
		if p.Name == name(node) {
			return boottime.Now() - time.Duration(p.LastContactMs)*time.Millisecond, true
		}
	}
	return 0, false
}

func (p interlok) holders(c *cluster, node int) []int {
	if p.library {
		return []int{c.pid[node][roleLibrary]}
	}
	return []int{c.pid[node]["interlok-ha"]}
}

// library takes part in this process, and stamps while it is master.
func library(dir string, node int, set []string) error {
	s, err := stamp.Open(journalOf(dir, node))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg := ha.Config{Set: set, Environ: os.Environ(), Keeper: true, Log: zerolog.New(os.Stderr).With().Timestamp().Logger()}
	return ha.Run(ctx, cfg, func(ctx context.Context, _ *ha.Master) error {
		acting := make(chan bool, 1)
		acting <- true
		context.AfterFunc(ctx, func() { close(acting) })
		s.Follow(acting)
		return nil
	})
}

// makeRun makes the folder of the instances' sockets.
func makeRun(dir string) error { return os.MkdirAll(filepath.Join(dir, "run"), 0o700) }
