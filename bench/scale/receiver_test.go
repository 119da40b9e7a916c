//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

const receiverVerb = "bare-receiver"

// receiverMain joins a group on lo and reads, and does nothing else: what every
// program pays that hears the same packets. When it has joined it says so, and
// when its input ends it tells how many it read.
func receiverMain(args []string) int {
	conn, err := join(strings.Join(args, ""))
	if err != nil {
		fmt.Fprintln(os.Stderr, receiverVerb+":", err)
		return 1
	}
	fmt.Println("joined")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	}()
	n, buf := 0, make([]byte, 2048)
	for {
		if _, _, err := conn.ReadFromUDPAddrPort(buf); err != nil {
			break
		}
		n++
	}
	fmt.Println(n)
	return 0
}

// join binds to a group and port, which instances have too, and joins it on lo.
func join(group string) (*net.UDPConn, error) {
	to, err := netip.ParseAddrPort(group)
	if err != nil {
		return nil, fmt.Errorf("join the group: %w", err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, fmt.Errorf("join the group: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "group")
	defer func() { _ = f.Close() }() // the connection has a copy
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}),
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: to.Addr().As4(), Ifindex: int32(lo.Index)}),
	); err != nil {
		return nil, fmt.Errorf("join %v on lo: %w", to, err)
	}
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("join %v on lo: %w", to, err)
	}
	return conn.(*net.UDPConn), nil
}

// receiver is a process of receiverMain.
type receiver struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// listenAlong starts n bare receivers of a cluster's group, and returns when all
// have joined.
func listenAlong(t *testing.T, c *lab.Cluster, n int) []*receiver {
	t.Helper()
	var all []*receiver
	for range n {
		r := &receiver{cmd: exec.Command("/proc/self/exe", receiverVerb, netip.AddrPortFrom(c.Group, c.Port).String())}
		r.cmd.Stderr = os.Stderr
		r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		in, err := r.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		r.in, r.out = in, bufio.NewReader(out)
		if err := r.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = r.cmd.Process.Kill() // most have ended
			_ = r.cmd.Wait()
		})
		all = append(all, r)
	}
	for _, r := range all {
		if line, err := r.out.ReadString('\n'); err != nil || line != "joined\n" {
			t.Fatalf("a bare receiver said %q: %v", line, err)
		}
	}
	return all
}

// end ends a receiver and returns how many packets it read.
func (r *receiver) end(t *testing.T) (n int) {
	t.Helper()
	_ = r.in.Close()
	if _, err := fmt.Fscan(r.out, &n); err != nil {
		t.Fatalf("a bare receiver's count: %v", err)
	}
	return n
}
