//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

// raftPeer is a program of ours around hashicorp/raft: it acts while LeaderCh
// says so. Its log is in memory, so no disk slows it down.
type raftPeer struct{ timeout time.Duration }

func (raftPeer) missing() string { return "" }
func (raftPeer) version() string { return module("github.com/hashicorp/raft") }

// module is the version of a library in this program.
func module(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == path {
				return d.Version
			}
		}
	}
	return "?"
}

func (p raftPeer) start(c *cluster) error {
	for i := 1; i <= nodes; i++ {
		if err := c.role(i, roleRaft, p.timeout.String()); err != nil {
			return err
		}
	}
	return nil
}

func (raftPeer) ready(*cluster) bool { return true }

func (raftPeer) holders(c *cluster, node int) []int { return []int{c.pid[node][roleRaft]} }

const raftPort = 7000

// raftMember is one member. Told to stop, it hands the leadership over.
func raftMember(dir string, node int, timeout time.Duration) error {
	s, err := stamp.Open(journalOf(dir, node))
	if err != nil {
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)

	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(name(node))
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = timeout, timeout, timeout/2
	conf.LogOutput = os.Stderr
	store := raft.NewInmemStore()
	listen := &net.TCPAddr{IP: net.ParseIP(addr(node)), Port: raftPort}
	trans, err := raft.NewTCPTransport(listen.String(), listen, 3, timeout, os.Stderr)
	if err != nil {
		return err
	}
	var all raft.Configuration
	for i := 1; i <= nodes; i++ {
		all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(name(i)), Address: raft.ServerAddress(fmt.Sprintf("%s:%d", addr(i), raftPort))})
	}
	snaps := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(conf, store, store, snaps, trans, all); err != nil {
		return err
	}
	r, err := raft.NewRaft(conf, noState{}, store, store, snaps, trans)
	if err != nil {
		return err
	}
	acting := make(chan bool)
	go func() {
		for {
			select {
			case on := <-r.LeaderCh():
				acting <- on
			case <-term:
				acting <- false // the work ends first
				if r.State() == raft.Leader {
					_ = r.LeadershipTransfer().Error()
				}
				_ = r.Shutdown().Error()
				close(acting)
				return
			}
		}
	}()
	s.Follow(acting)
	return nil
}

// noState is a state machine without state.
type noState struct{}

func (noState) Apply(*raft.Log) any                 { return nil }
func (noState) Snapshot() (raft.FSMSnapshot, error) { return noState{}, nil }
func (noState) Restore(r io.ReadCloser) error       { return r.Close() }
func (noState) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (noState) Release()                            {}
