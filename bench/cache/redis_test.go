//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// redis is one master and two replicas, in memory only, on the loopback
// interface.
type redis struct {
	t     testing.TB
	ports [3]string
}

// startRedis starts them, and waits until both replicas are online.
func startRedis(t testing.TB) *redis {
	t.Helper()
	r := &redis{t: t}
	for i := range r.ports {
		r.ports[i] = freePort(t)
	}
	for i, port := range r.ports {
		dir := t.TempDir()
		args := []string{"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "no",
			"--daemonize", "no", "--loglevel", "warning",
			// Replicas join at once, and are never cut for being slow.
			"--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "on-empty-db",
			"--client-output-buffer-limit", "replica 0 0 0"}
		if i > 0 {
			args = append(args, "--replicaof", "127.0.0.1 "+r.ports[0])
		}
		cmd := child(exec.Command("redis-server", args...))
		if err := cmd.Start(); err != nil {
			t.Fatalf("start redis-server (Debian: apt-get install redis-server): %v", err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait()
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
			case <-time.After(3 * time.Second):
				_ = cmd.Process.Kill()
				<-ended
			}
		})
	}
	deadline := time.Now().Add(20 * time.Second)
	for r.online() != 2 {
		if time.Now().After(deadline) {
			t.Fatal("the replicas of Redis did not come online")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return r
}

// freePort is one that nobody listens on now. Redis has no port 0.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// info is INFO replication of one server.
func (r *redis) info(port string) map[string]string {
	c, err := dialRedis(port)
	if err != nil {
		return nil
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"); err != nil {
		return nil
	}
	in := bufio.NewReader(c)
	head, err := in.ReadString('\n')
	if err != nil || head[0] != '$' {
		return nil
	}
	m := map[string]string{}
	for size, _ := strconv.Atoi(strings.TrimSpace(head[1:])); size > 0; {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil
		}
		size -= len(line)
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			m[k] = v
		}
	}
	return m
}

func (r *redis) online() (n int) {
	m := r.info(r.ports[0])
	for i := range 2 {
		if strings.Contains(m["slave"+strconv.Itoa(i)], "state=online") {
			n++
		}
	}
	return n
}

// caughtUp waits until both replicas are where the master is.
func (r *redis) caughtUp() {
	r.t.Helper()
	want := r.info(r.ports[0])["master_repl_offset"]
	at, _ := strconv.ParseInt(want, 10, 64)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		behind := 0
		for _, p := range r.ports[1:] {
			if n, err := strconv.ParseInt(r.info(p)["slave_repl_offset"], 10, 64); err != nil || n < at {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("a replica of Redis did not reach %s", want)
		}
	}
}

// pipelined is redis-benchmark -P 64 until both replicas have caught up: SETs
// per second.
func (r *redis) pipelined(keys, count int) float64 {
	r.t.Helper()
	start := time.Now()
	cmd := child(exec.Command("redis-benchmark", "-h", "127.0.0.1", "-p", r.ports[0], "-P", "64", "-t", "set",
		"-d", strconv.Itoa(valueSize), "-r", strconv.Itoa(keys), "-n", strconv.Itoa(count), "-q"))
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	r.caughtUp()
	return float64(count) / time.Since(start).Seconds()
}

// wait is SET and WAIT 2 from several clients at once: both in one write, so
// that each costs one round trip.
func (r *redis) wait(clients, keys int, during time.Duration) answer {
	r.t.Helper()
	hists := make([]hist, clients)
	errs := make([]error, clients)
	var all sync.WaitGroup
	start := time.Now()
	for i := range clients {
		all.Go(func() { errs[i] = setAndWait(r.ports[0], keys, i, start.Add(during), &hists[i]) })
	}
	all.Wait()
	took := time.Since(start)
	for i := range clients {
		if errs[i] != nil {
			r.t.Fatalf("SET and WAIT: %v", errs[i])
		}
		if i > 0 {
			hists[0].merge(&hists[i])
		}
	}
	a := hists[0].answer()
	a.Took = took
	return a
}

func dialRedis(port string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp4", "127.0.0.1:"+port, time.Second)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(2 * time.Minute))
}

func setAndWait(port string, keys, seed int, until time.Time, h *hist) error {
	c, err := dialRedis(port)
	if err != nil {
		return err
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(2, uint64(seed)))
	in := bufio.NewReader(c)
	v := value()
	want := []byte("+OK\r\n:2\r\n")
	got := make([]byte, len(want))
	var b []byte
	for from := time.Now(); from.Before(until); {
		key := keyName(rng.IntN(keys))
		b = fmt.Appendf(b[:0], "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n", len(key), key, len(v))
		b = append(append(b, v...), "\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$4\r\n1000\r\n"...)
		if _, err := c.Write(b); err != nil {
			return err
		}
		for n := range got {
			if got[n], err = in.ReadByte(); err != nil {
				return err
			}
		}
		if !bytes.Equal(got, want) {
			return errors.New("answered " + strconv.Quote(string(got)))
		}
		to := time.Now()
		h.add(to.Sub(from))
		from = to
	}
	return nil
}
