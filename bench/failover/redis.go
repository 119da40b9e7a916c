//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

const (
	redisPort    = 6379
	sentinelPort = 26379
)

// redis is Redis with a Sentinel on each node. A node acts when its server
// takes a write from a client beside it.
type redis struct{ downAfter time.Duration }

func (redis) missing() string {
	for _, tool := range []string{"redis-server", "redis-sentinel"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " (Debian: " + tool + ")"
		}
	}
	return ""
}

func (redis) version() string {
	out, _ := exec.Command("redis-server", "--version").Output()
	for _, word := range strings.Fields(string(out)) {
		if v, ok := strings.CutPrefix(word, "v="); ok {
			return v
		}
	}
	return "?"
}

func (p redis) start(c *cluster) error {
	for i := 1; i <= nodes; i++ {
		data := dataOf(c.dir, i)
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		args := []string{"redis-server", "--port", fmt.Sprint(redisPort), "--bind", addr(i), "127.0.0.1", "--protected-mode", "no",
			"--dir", data, "--save", "", "--repl-diskless-sync-delay", "0"}
		if i > 1 {
			args = append(args, "--replicaof", addr(1), fmt.Sprint(redisPort))
		}
		if err := c.start(i, "redis", args...); err != nil {
			return err
		}
		if err := c.role(i, roleRedis); err != nil {
			return err
		}
	}
	return nil
}

// sentinels starts a Sentinel on each node. It looks for replicas at once, and
// then only each 10 s: so they have to be there before.
func (p redis) sentinels(c *cluster) error {
	for i := 1; i <= nodes; i++ {
		data := dataOf(c.dir, i)
		conf := fmt.Sprintf(`port %d
bind %s 127.0.0.1
protected-mode no
dir %s
sentinel monitor bench %s %d 2
sentinel down-after-milliseconds bench %d
`, sentinelPort, addr(i), data, addr(1), redisPort, p.downAfter.Milliseconds())
		file := filepath.Join(c.dir, "sentinel-"+name(i)+".conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return err
		}
		if err := c.start(i, "sentinel", "redis-sentinel", file); err != nil {
			return err
		}
	}
	return nil
}

func dataOf(dir string, node int) string { return filepath.Join(dir, "redis-"+name(node)) }

// ready asks the first server if both replicas follow it, and then every
// Sentinel: it knows the two others and both replicas.
func (p redis) ready(c *cluster) bool {
	if c.pid[1]["sentinel"] == 0 {
		answer, err := c.ask(1, redisPort, "INFO replication\r\n")
		if err == nil && bytes.Count(answer, []byte("state=online")) == nodes-1 {
			if err := p.sentinels(c); err != nil {
				c.faulty = err
			}
		}
		return false
	}
	for i := 1; i <= nodes; i++ {
		answer, err := c.ask(i, sentinelPort, "INFO sentinel\r\n")
		if err != nil || !bytes.Contains(answer, []byte("status=ok,")) || !bytes.Contains(answer, []byte(",slaves=2,sentinels=3")) {
			return false
		}
	}
	return true
}

// ask sends one command to a port of a node and reads what comes first of the
// answer, 4 KiB at most.
func (c *cluster) ask(node, port int, command string) (answer []byte, err error) {
	err = c.net.space[node].do(func() error {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write([]byte(command)); err != nil {
			return err
		}
		answer = make([]byte, 4096)
		n, err := conn.Read(answer)
		answer = answer[:n]
		return err
	})
	return answer, err
}

func (redis) holders(c *cluster, node int) []int { return []int{c.pid[node]["redis"]} }

// writer writes to the node's own server each beat, and stamps what is taken.
func writer(dir string, node int) error {
	s, err := stamp.Open(journalOf(dir, node))
	if err != nil {
		return err
	}
	tick := time.NewTicker(stamp.Beat)
	defer tick.Stop()
	for ; ; <-tick.C {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", redisPort), time.Second)
		if err != nil {
			continue // not there yet, or killed
		}
		answers := bufio.NewReader(conn)
		for ; ; <-tick.C {
			if _, err := conn.Write([]byte("SET bench 1\r\n")); err != nil {
				break
			}
			line, err := answers.ReadString('\n')
			if err != nil {
				break
			}
			if strings.HasPrefix(line, "+OK") {
				s.Now()
			}
		}
		_ = conn.Close()
	}
}
