//go:build linux

package main

import (
	"slices"
	"syscall"
	"time"
)

// fault is what happens to the node that acts.
type fault struct {
	name string
	what string
	// prompt says that some need no silence to learn of it: milliseconds count,
	// and fewer trials run at once.
	prompt bool
	// hold is for how long the fault lasts after the take-over.
	hold time.Duration
	do   func(c *cluster, p peer, node int) error
	// undo brings the old master back after that; nil for one that is gone.
	undo func(c *cluster, p peer, node int) error
}

// tell sends a signal to processes that may have ended.
func tell(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
}

var faults = []fault{
	{
		name: "crash", prompt: true, what: "`kill -9` of the process that holds the role", hold: time.Second,
		do: func(c *cluster, p peer, node int) error {
			// The last first: a child must not hear of its parent's death.
			pids := p.holders(c, node)
			slices.Reverse(pids)
			tell(pids, syscall.SIGKILL)
			return nil
		},
	},
	{
		name: "clean stop", prompt: true, what: "SIGTERM to it", hold: time.Second,
		do: func(c *cluster, p peer, node int) error {
			tell(p.holders(c, node)[:1], syscall.SIGTERM)
			return nil
		},
	},
	{
		name: "freeze", what: "SIGSTOP of it; SIGCONT 2 s after the take-over", hold: 2 * time.Second,
		do: func(c *cluster, p peer, node int) error {
			tell(p.holders(c, node), syscall.SIGSTOP)
			return nil
		},
		undo: func(c *cluster, p peer, node int) error {
			tell(p.holders(c, node), syscall.SIGCONT)
			return nil
		},
	},
	{
		name: "partition", what: "nothing gets through to or from its node; healed 2 s after the take-over", hold: 2 * time.Second,
		do:   func(c *cluster, _ peer, node int) error { return c.net.cut(node) },
		undo: func(c *cluster, _ peer, node int) error { return c.net.heal(node) },
	},
	{
		name: "host death", what: "its node is cut off, then everything on it killed", hold: time.Second,
		do: func(c *cluster, _ peer, node int) error {
			err := c.net.cut(node)
			kill(c.net.space[node])
			return err
		},
	},
}
