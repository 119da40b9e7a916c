package workload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// The obituary of the test nodes.
var (
	testInstance = [16]byte{0: 0xa1, 15: 0xa2}
	testSecret   = [32]byte{0: 0xb1, 1: 0xee, 2: 0xee, 3: 0xee, 4: 0xee, 31: 0xb2}
)

const testLinger = time.Minute // no test waits for it

// testMortal is a node with an obituary. It prints its port and its keeper's
// id, never accepts, and lives until it is killed.
func testMortal(how, lock string) {
	fail := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	fail(BecomeSubreaper())
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	fail(err)
	copied, err := l.(*net.TCPListener).File()
	fail(err)
	held, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
	fail(err)
	fail(unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	cfg := Config{
		Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr, HoldFiles: []*os.File{held},
		Obituary: &Obituary{Listener: copied, Instance: testInstance, Secret: testSecret, Linger: testLinger},
	}
	reign := Reign{Epoch: 1, ID: testInstance}
	fmt.Println("port", l.Addr().(*net.TCPAddr).Port)
	var p *Process
	switch how {
	case "bare", "bare-exec", "brief":
		if how == "brief" {
			cfg.Obituary.Linger = 200 * time.Millisecond
		}
		p, err = StartBare(cfg, reign)
		fail(err)
		<-p.Started()
	case "twice": // a keeper that was prepared in vain, and is slow to go, beside the one of COMMAND
		cfg.Command = []string{"/proc/self/exe", "test-tree"}
		var vain *Process
		vain, err = Prepare(cfg, reign)
		fail(err)
		fail(vain.cmd.Process.Signal(unix.SIGSTOP))
		vain.Kill()
		fmt.Println("pid", vain.cmd.Process.Pid)
		p, err = Start(cfg, reign, boottime.Now()+time.Hour)
		fail(err)
		<-p.Started()
		fail(p.cmd.Process.Signal(unix.SIGSTOP))
		fail(unix.Kill(os.Getpid(), unix.SIGKILL))
	case "early": // perhaps the keeper has not come to COMMAND
		cfg.Command = []string{"/proc/self/exe", "test-tree"}
		p, err = Start(cfg, reign, boottime.Now()+time.Hour)
		fail(err)
	default:
		cfg.Command = []string{"/proc/self/exe", "test-tree"}
		p, err = Start(cfg, reign, boottime.Now()+time.Hour)
		fail(err)
		<-p.Started()
	}
	_ = copied.Close()
	fmt.Println("pid", p.cmd.Process.Pid)
	var word [1]byte
	_, _ = os.Stdin.Read(word[:]) // the test says when
	switch how {
	case "bare-exec", "exec":
		fail(syscall.Exec("/proc/self/exe", []string{"node", "test-sleep"}, os.Environ()))
	case "pipe":
		p.mu.Lock()
		_ = unix.Close(p.frames)
	}
	time.Sleep(time.Minute)
	os.Exit(0)
}

// mortal is a test node that has an obituary.
type mortal struct {
	t      *testing.T
	cmd    *exec.Cmd
	addr   string
	lock   string
	say    *os.File // to the node
	pid    int      // pidfd of the node
	keeper int      // pidfd
	number int      // the keeper's process id
	tree   []int    // pidfds
	out    *os.File // what the node and the tree say
	outEnd *os.File
}

func bear(t *testing.T, how string) *mortal {
	t.Helper()
	m := &mortal{t: t, lock: filepath.Join(t.TempDir(), "lock")}
	r, w := pipe(t)
	in, say := pipe(t)
	m.say, m.out, m.outEnd = say, r, w
	m.cmd = exec.Command("/proc/self/exe", "test-mortal", how, m.lock)
	m.cmd.Env = os.Environ()
	m.cmd.Stdin, m.cmd.Stdout, m.cmd.Stderr = in, w, os.Stderr
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.cmd.Process.Kill(); _ = m.cmd.Wait() })
	m.pid = pidfd(t, m.cmd.Process.Pid)
	port := 0
	lines := reader(t, r)
	if _, err := fmt.Sscanf(lines(), "port %d", &port); err != nil {
		t.Fatal(err)
	}
	m.addr = fmt.Sprintf("127.0.0.1:%d", port)
	want := 1
	switch how {
	case "twice": // its keeper, stopped, is not asked
	case "tree", "exec", "pipe":
		want += treeSize
	}
	for range want {
		var pid int
		if _, err := fmt.Sscanf(lines(), "pid %d", &pid); err != nil {
			t.Fatal(err)
		}
		m.tree = append(m.tree, pidfd(t, pid))
		if want == 1 || isKeeper(pid) { // one that was just born has its parent's name
			m.keeper, m.number = m.tree[len(m.tree)-1], pid
			m.tree = m.tree[:len(m.tree)-1]
		}
	}
	if m.number == 0 {
		t.Fatal("the keeper did not show up")
	}
	// Nobody is left behind, whatever a test did; and the test, which adopts
	// them, leaves no zombies.
	t.Cleanup(func() {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
		_ = unix.PidfdSendSignal(m.keeper, unix.SIGKILL, nil, 0)
		newSweeper("none", 0).sweep(func(left int) { t.Errorf("%d processes cannot be killed", left) })
	})
	return m
}

// reader gives one line after the other, and fails the test at the end.
func reader(t *testing.T, r *os.File) func() string {
	if err := r.SetReadDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	return func() string {
		t.Helper()
		var text []byte
		for b := make([]byte, 1); ; {
			if _, err := r.Read(b); err != nil {
				t.Fatalf("read what a process says: %v after %q", err, text)
			}
			if b[0] == '\n' {
				return string(text)
			}
			text = append(text, b[0])
		}
	}
}

func isKeeper(pid int) bool {
	words, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.HasPrefix(string(words), "interlok-ha\x00"+verb+"\x00")
}

func (m *mortal) signal(fd int, sig unix.Signal) {
	m.t.Helper()
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		m.t.Fatal(err)
	}
}

// told lets the node do what it does when told.
func (m *mortal) told() {
	m.t.Helper()
	if _, err := m.say.Write([]byte{1}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mortal) dial() net.Conn {
	m.t.Helper()
	c, err := net.Dial("tcp4", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

// hear reads an obituary to its end and checks it.
func hear(c net.Conn) (age time.Duration, err error) {
	if err := c.SetReadDeadline(time.Now().Add(patient)); err != nil {
		return 0, err
	}
	var b [obituarySize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return 0, fmt.Errorf("read the obituary: %w", err)
	}
	want := append(append([]byte("ILHO"), testInstance[:]...), testSecret[:]...)
	if !bytes.Equal(b[:52], want) {
		return 0, fmt.Errorf("heard % x, want % x and an age", b, want)
	}
	return time.Duration(binary.BigEndian.Uint64(b[52:])), nil
}

// silent checks that nothing is told for a while. What is wrong is told within
// a millisecond.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var b [obituarySize]byte
	if n, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("heard % x, %v; want silence", b[:n], err)
	}
}

// refused checks that nobody listens any more.
func refused(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp4", addr)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("dial: %v, want refused", err)
	}
}
