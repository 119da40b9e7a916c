package workload

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// patient bounds what the tests wait for; it is no figure of the package.
const patient = 10 * time.Second

// TestMain is also the main of every process the tests start: the keeper, a
// node, and the members of a COMMAND's tree.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case verb:
			os.Exit(KeeperMain(os.Args[2:], os.Environ()))
		case "test-node":
			testNode(os.Args[2])
		case "test-mortal":
			testMortal(os.Args[2], os.Args[3])
		case "test-sleep":
			time.Sleep(time.Minute)
			os.Exit(0)
		case "test-tree":
			testTree()
		case "test-middle":
			spawn([]string{}, "test-leaf") // with no environment at all
			os.Exit(0)
		case "test-leaf":
			testLeaf()
		}
	}
	// Else each keeper of a race-checked binary takes a second to exit.
	if err := errors.Join(os.Setenv("GORACE", "atexit_sleep_ms=0"), BecomeSubreaper()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// testNode is a node that runs the tree. It prints its keeper's id first.
func testNode(how string) {
	if err := BecomeSubreaper(); err != nil {
		panic(err)
	}
	ahead := time.Hour
	if how == "feed" {
		ahead = time.Second
	}
	p, err := Start(Config{
		Command: []string{"/proc/self/exe", "test-tree"}, Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
	}, Reign{Epoch: 1}, boottime.Now()+ahead)
	if err != nil {
		panic(err)
	}
	fmt.Println("pid", p.cmd.Process.Pid)
	for how == "feed" {
		p.Feed(1, boottime.Now()+ahead)
		time.Sleep(20 * time.Millisecond)
	}
	<-p.Done()
	os.Exit(0)
}

// testTree is a COMMAND that makes it hard: it ignores SIGTERM, one child has
// its own session, and a daemon two forks away has that and no environment.
func testTree() {
	signal.Ignore(unix.SIGTERM)
	spawn(os.Environ(), "test-leaf")
	spawn(os.Environ(), "test-middle")
	testLeaf()
}

const treeSize = 3 // tree, leaf, the daemon's leaf; the one in the middle ends

func testLeaf() {
	signal.Ignore(unix.SIGTERM)
	fmt.Println("pid", os.Getpid())
	time.Sleep(time.Minute) // should the keeper be broken, the tests leave nothing for ever
	os.Exit(0)
}

func spawn(env []string, mode string) {
	cmd := exec.Command("/proc/self/exe", mode)
	cmd.Env = env
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// pids reads n lines "pid N" and returns a pidfd of each: unlike a number, it
// can never mean another process.
func pids(t *testing.T, r *os.File, n int) []int {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	var fds []int
	lines := bufio.NewScanner(r)
	for len(fds) < n && lines.Scan() {
		var pid int
		if _, err := fmt.Sscanf(lines.Text(), "pid %d", &pid); err != nil {
			t.Fatalf("a process said %q", lines.Text())
		}
		fds = append(fds, pidfd(t, pid))
	}
	if len(fds) < n {
		t.Fatalf("%d of %d processes showed up: %v", len(fds), n, lines.Err())
	}
	return fds
}

func pidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("pidfd of %d: %v", pid, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// gone waits until every process has ended.
func gone(t *testing.T, fds []int) {
	t.Helper()
	start := time.Now()
	for i, fd := range fds {
		if !ended(fd, patient-time.Since(start)) {
			t.Errorf("process %d of %d still lives", i+1, len(fds))
		}
	}
	t.Logf("%d processes gone after %v", len(fds), time.Since(start).Round(100*time.Microsecond))
}

func ended(fd int, within time.Duration) bool {
	for deadline := time.Now().Add(within); ; {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(set, int(max(0, time.Until(deadline).Milliseconds())))
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// pipe returns the two ends of a pipe that the test closes.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}

// node starts a node process and returns it, the keeper's pidfd and the
// tree's.
func node(t *testing.T, how string) (cmd *exec.Cmd, keeper int, tree []int) {
	t.Helper()
	r, w := pipe(t)
	cmd = exec.Command("/proc/self/exe", "test-node", how)
	cmd.Env = os.Environ()
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	fds := pids(t, r, 1+treeSize)
	// The test adopts the keeper, and waits for it.
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = unix.Waitid(unix.P_PIDFD, fds[0], nil, unix.WEXITED, nil)
	})
	return cmd, fds[0], fds[1:]
}

// hour is an until that no test reaches.
func hour() time.Duration { return boottime.Now() + time.Hour }

// begin starts a command and sees to its end.
func begin(t *testing.T, cfg Config, until time.Duration) *Process {
	t.Helper()
	if cfg.Env == nil {
		cfg.Env = os.Environ()
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	p, err := Start(cfg, Reign{Epoch: 5, ID: [16]byte{1, 2, 3}}, until)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); finish(t, p) })
	return p
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

// tree starts the hard COMMAND and returns the pidfds of its members.
func tree(t *testing.T) (*Process, []int) {
	t.Helper()
	r, w := pipe(t)
	p := begin(t, Config{Command: []string{"/proc/self/exe", "test-tree"}, Stdout: w}, hour())
	return p, pids(t, r, treeSize)
}

// finish waits for the end of a run.
func finish(t *testing.T, p *Process) Result {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patient):
		t.Fatal("the command did not end")
	}
	return p.Result()
}

// line reads one line of what a COMMAND said.
func line(t *testing.T, r *os.File) string {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	text, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("read the command's output: %v", err)
	}
	return strings.TrimSuffix(text, "\n")
}
