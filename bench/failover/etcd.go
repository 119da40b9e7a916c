//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

const (
	etcdPort     = 2379
	etcdPeerPort = 2380
)

// etcd is a member on each node, and beside it a candidate in an election: a
// program of ours that acts from when Campaign returns until its session is
// done.
type etcd struct{ ttl time.Duration }

func (etcd) missing() string {
	if _, err := exec.LookPath("etcd"); err != nil {
		return "etcd (Debian: etcd-server)"
	}
	return ""
}

func (etcd) version() string {
	out, _ := exec.Command("etcd", "--version").Output()
	first, _, _ := strings.Cut(string(out), "\n")
	return "server " + strings.TrimPrefix(first, "etcd Version: ") + ", client " + module("go.etcd.io/etcd/client/v3")
}

func (p etcd) start(c *cluster) error {
	var all []string
	for i := 1; i <= nodes; i++ {
		all = append(all, fmt.Sprintf("%s=http://%s:%d", name(i), addr(i), etcdPeerPort))
	}
	for i := 1; i <= nodes; i++ {
		client, peer := fmt.Sprintf("http://%s:%d", addr(i), etcdPort), fmt.Sprintf("http://%s:%d", addr(i), etcdPeerPort)
		err := c.start(i, "etcd", "etcd", "--name", name(i), "--data-dir", filepath.Join(c.dir, "etcd-"+name(i)),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "warn")
		if err != nil {
			return err
		}
		if err := c.role(i, roleEtcd, p.ttl.String()); err != nil {
			return err
		}
	}
	return nil
}

// ready needs every candidate to stand in the line: each says so in a file.
func (etcd) ready(c *cluster) bool {
	for i := 1; i <= nodes; i++ {
		if _, err := os.Stat(candidateFile(c.dir, i)); err != nil {
			return false
		}
	}
	return true
}

func candidateFile(dir string, node int) string { return filepath.Join(dir, "candidate-"+name(node)) }

// holders is the candidate: the members stay.
func (etcd) holders(c *cluster, node int) []int { return []int{c.pid[node][roleEtcd]} }

// candidate takes part in the election. Told to stop, it resigns.
func candidate(dir string, node int, ttl time.Duration) error {
	s, err := stamp.Open(journalOf(dir, node))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var ends []string
	for i := 1; i <= nodes; i++ {
		ends = append(ends, fmt.Sprintf("http://%s:%d", addr(i), etcdPort))
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: ends, DialTimeout: time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	acting := make(chan bool)
	go func() {
		defer close(acting)
		for ctx.Err() == nil {
			if err := campaign(ctx, client, dir, node, ttl, acting); err != nil {
				fmt.Fprintln(os.Stderr, err)
				// The servers are not there yet, or cut off.
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}
	}()
	s.Follow(acting)
	return nil
}

// campaign is one session: it stands in the line, and acts when its turn comes.
func campaign(ctx context.Context, client *clientv3.Client, dir string, node int, ttl time.Duration, acting chan<- bool) error {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(int(ttl.Seconds())))
	if err != nil {
		return err
	}
	if err := os.WriteFile(candidateFile(dir, node), nil, 0o600); err != nil {
		return err
	}
	e := concurrency.NewElection(session, "bench")
	if err := e.Campaign(ctx, name(node)); err != nil {
		return err
	}
	acting <- true
	select {
	case <-session.Done():
		acting <- false
		return nil
	case <-ctx.Done():
	}
	acting <- false // the work ends first
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.Resign(end); err != nil {
		return err
	}
	return session.Close()
}
