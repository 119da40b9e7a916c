package workload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		script       string
		code, signal int
		failed       bool
	}{
		{"exit 0", 0, 0, false},
		{"exit 3", 3, 0, true},
		{"exit 255", 255, 0, true},
		{"kill -TERM $$", 143, 15, true},
		{"kill -KILL $$", 137, 9, true},
	} {
		t.Run(tt.script, func(t *testing.T) {
			p := begin(t, Config{Command: shell(tt.script)}, hour())
			r := finish(t, p)
			want := Result{Cause: CauseExited, Code: tt.code, Signal: tt.signal}
			if r != want || r.Failed() != tt.failed {
				t.Errorf("result = %+v, failed %v; want %+v, failed %v", r, r.Failed(), want, tt.failed)
			}
			select {
			case <-p.Started():
			default:
				t.Error("Started is not closed")
			}
			if p.Feed(5, hour()) {
				t.Error("a finished run was fed")
			}
			p.Stop(0) // must not disturb
			p.Kill()
			if p.Result() != want {
				t.Errorf("the result changed to %+v", p.Result())
			}
		})
	}
}

// A keeper that was prepared starts nothing until it is told to, for the epoch
// that it was prepared for.
func TestPrepare(t *testing.T) {
	var log bytes.Buffer // read once the processes have ended
	prepare := func(script string) *Process {
		p, err := Prepare(Config{
			Command: shell(script), Env: os.Environ(), Stderr: os.Stderr, Log: zerolog.New(&log).Level(zerolog.InfoLevel),
		}, Reign{Token: "t", Epoch: 5, ID: [16]byte{1, 2, 3}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Kill(); finish(t, p) })
		return p
	}
	ran := filepath.Join(t.TempDir(), "ran")
	p := prepare("echo $INTERLOK_HA_EPOCH >" + ran + "; exit 3")
	for _, wrong := range []uint64{4, 6} {
		if p.Begin(wrong, hour()) {
			t.Errorf("began under epoch %d, prepared for 5", wrong)
		}
	}
	if !p.Begin(5, hour()) {
		t.Fatal("not begun")
	}
	if r := finish(t, p); r.Cause != CauseExited || r.Code != 3 {
		t.Errorf("result = %+v, want exit 3", r)
	}
	if told, err := os.ReadFile(ran); err != nil || string(told) != "00000000000000000005\n" {
		t.Errorf("COMMAND saw epoch %q, %v", told, err)
	}
	if !strings.Contains(log.String(), "Command ended") {
		t.Errorf("the log: %s", &log)
	}

	ran += ".not"
	log.Reset()
	p = prepare("touch " + ran)
	p.Kill()
	if r := finish(t, p); r.Cause != CauseKilled || p.Pid() != 0 {
		t.Errorf("result = %+v, pid %d; want it killed before it began", r, p.Pid())
	}
	if log.Len() > 0 {
		t.Errorf("says of a claim that was lost: %s", &log)
	}
	if p.Begin(5, hour()) {
		t.Error("a killed one began")
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("COMMAND ran")
	}
	if _, err := Prepare(Config{Command: []string{"/no/such/program"}}, Reign{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	noInterpreter := write("no-interpreter", "#!/no/such/interpreter\n", 0o755)
	noProgram := write("no-program", "neither this nor that", 0o755)
	for _, tt := range []struct {
		name  string
		cfg   Config
		want  string
		code  int
		later bool // found out by the keeper only
	}{
		{"nothing", Config{}, "none given", 126, false},
		{"not in PATH", Config{Command: []string{"no-such-program-anywhere"}}, "not found in PATH", 127, false},
		{"no such file", Config{Command: []string{dir + "/none"}}, "no such file", 127, false},
		{"not executable", Config{Command: []string{plain}}, "not executable", 126, false},
		{"a directory", Config{Command: []string{dir}}, "is a directory", 126, false},
		{"NUL", Config{Command: []string{"/bin/sh", "a\x00b"}}, "NUL", 126, false},
		{"no such working directory", Config{Command: shell(""), Dir: dir + "/none"}, "working directory", 127, false},
		{"working directory is a file", Config{Command: shell(""), Dir: plain}, "not a directory", 126, false},
		{"no keeper", Config{Command: shell(""), Executable: dir + "/none"}, "start keeper", 127, false},
		{"no interpreter", Config{Command: []string{noInterpreter}}, "interpreter", 127, true},
		{"no program", Config{Command: []string{noProgram}}, "neither a program", 126, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Start(tt.cfg, Reign{}, hour())
			if tt.later {
				if err != nil {
					t.Fatalf("Start: %v, want a result", err)
				}
				r := finish(t, p)
				if r.Cause != CauseNotStarted || !r.Failed() || r.Code != tt.code {
					t.Errorf("result = %+v, want not started, code %d", r, tt.code)
				}
				select {
				case <-p.Started():
					t.Error("Started is closed")
				default:
				}
				err = r.Err
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want one with %q", err, tt.want)
			}
			if got := FailedStart(err).Code; got != tt.code {
				t.Errorf("code = %d, want %d", got, tt.code)
			}
		})
	}
}

// COMMAND gets its words as they are, its environment and nothing else of the
// node's: no file, no ignored signal.
func TestCommandSees(t *testing.T) {
	t.Setenv("INTERLOK_TEST_LEAK", "1")
	held, _ := pipe(t)
	_, obituary := listener(t)
	r, w := pipe(t)
	dir := t.TempDir()
	words := []string{"$(touch bad)", "a\nb", "`id`", "", "*", "; exit 1"}
	script := `echo "$PWD|$#|$1|$2|$5"; for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && printf '%s ' $i; done; echo; env -u PWD; grep -E '^(SigIgn|NoNewPrivs)' /proc/$$/status`
	p, err := Start(Config{
		Command: append([]string{"/bin/sh", "-c", script, "sh"}, words...),
		Env:     []string{"PATH=/bin:/usr/bin", "A=b", "INTERLOK_HA_TOKEN=stale", "INTERLOK_HA_SOCKET=stale"},
		Dir:     dir, Stdout: w, Stderr: os.Stderr, HoldFiles: []*os.File{held}, Obituary: obituary,
	}, Reign{
		Token: "00000000000000000007-aa", Epoch: 7, Cluster: "c", Instance: "a", ID: [16]byte{0xab}, TokenFile: "/t",
	}, hour())
	if err != nil {
		t.Fatal(err)
	}
	if res := finish(t, p); res.Code != 0 {
		t.Errorf("result = %+v", res)
	}
	_ = w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	head := fmt.Sprintf("%s|6|$(touch bad)|a\nb|*\n", dir)
	if !strings.HasPrefix(text, head) {
		t.Errorf("output starts with %.80q, want %q", text, head)
	}
	lines := strings.Split(strings.TrimSpace(strings.TrimPrefix(text, head)), "\n")
	files := strings.Fields(lines[0])
	if want := []string{"0", "1", "2"}; !slices.Equal(files, want) {
		t.Errorf("open files = %v, want %v", files, want)
	}
	want := []string{
		"A=b", "INTERLOK_HA_CLUSTER=c", "INTERLOK_HA_EPOCH=00000000000000000007",
		"INTERLOK_HA_ID=ab000000000000000000000000000000", "INTERLOK_HA_INSTANCE=a",
		"INTERLOK_HA_RUN=" + p.run, "INTERLOK_HA_TOKEN=00000000000000000007-aa", "INTERLOK_HA_TOKEN_FILE=/t",
		"NoNewPrivs:\t1", "PATH=/bin:/usr/bin",
	}
	var got []string
	for _, l := range lines[1:] {
		switch {
		case strings.HasPrefix(l, "SigIgn:"):
			// What whoever runs this test ignores (nohup: SIGHUP) is inherited.
			if own, err := os.ReadFile("/proc/self/status"); err != nil || !strings.Contains(string(own), l+"\n") {
				t.Errorf("COMMAND ignores signals: %s (%v)", l, err)
			}
		case strings.HasPrefix(l, "_=") || strings.HasPrefix(l, "OLDPWD=") || strings.HasPrefix(l, "SHLVL="): // the shell's own
		default:
			got = append(got, l)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("sees\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a word was read by a shell: %v", entries)
	}
}

// A planned stop asks all of the tree first, and lets it end in its own way.
func TestStopAsksFirst(t *testing.T) {
	r, w := pipe(t)
	p := begin(t, Config{Command: shell(
		`trap 'kill -KILL $! 2>/dev/null; echo term; exit 4' TERM; sleep 60 & echo ready; wait; wait`), Stdout: w}, hour())
	if got := line(t, r); got != "ready" {
		t.Fatalf("said %q", got)
	}
	p.Stop(patient)
	p.Stop(time.Hour) // a later end changes nothing
	if got := line(t, r); got != "term" {
		t.Errorf("said %q, want term", got)
	}
	if res, want := finish(t, p), (Result{Cause: CauseStopped, Code: 4}); res != want {
		t.Errorf("result = %+v, want %+v", res, want)
	}
}

// COMMAND's own process may go first in a stop: the others keep their grace.
func TestStopLeavesTheGraceToAll(t *testing.T) {
	r, w := pipe(t)
	p := begin(t, Config{Command: shell(
		`(trap 'while kill -0 '$$' 2>/dev/null; do :; done; kill -KILL $! 2>/dev/null; echo last; exit' TERM; sleep 60 & echo ready; wait; wait) & wait`),
		Stdout: w}, hour())
	if got := line(t, r); got != "ready" {
		t.Fatalf("said %q", got)
	}
	p.Stop(patient)
	if got := line(t, r); got != "last" {
		t.Errorf("said %q, want last", got)
	}
	if res := finish(t, p); res.Cause != CauseStopped || res.Signal != int(unix.SIGTERM) {
		t.Errorf("result = %+v, want stopped by signal 15", res)
	}
}

func TestEndDuringStart(t *testing.T) {
	for i := range 30 {
		p := begin(t, Config{Command: shell("sleep 60")}, hour())
		want := CauseStopped
		if i%2 == 0 {
			p.Stop(patient)
		} else {
			p.Kill()
			want = CauseKilled
		}
		if r := finish(t, p); r.Cause != want {
			t.Fatalf("round %d: %+v, want %v", i, r, want)
		}
	}
}

func TestStartTooLate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ran")
	p := begin(t, Config{Command: shell("echo x >" + file)}, boottime.Now()-time.Second)
	if r := finish(t, p); r.Cause != CauseExpired || r.Code != -1 {
		t.Errorf("result = %+v, want not fed in time, no code", r)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("COMMAND ran: %v", err)
	}
}

// Only the current epoch feeds, and a smaller until takes nothing back.
func TestFeed(t *testing.T) {
	p := begin(t, Config{Command: shell("sleep 60")}, boottime.Now()+time.Second)
	first := p.LastEcho()
	p.Feed(5, boottime.Now()+500*time.Millisecond)
	p.Feed(4, hour())
	if r := finish(t, p); r.Cause != CauseExpired {
		t.Errorf("result = %+v, want not fed in time", r)
	}
	if p.LastEcho() <= first {
		t.Error("the keeper echoed nothing")
	}
	if boottime.Now() < first+time.Second {
		t.Error("a smaller until shortened the reign")
	}
}

func TestFeedPast(t *testing.T) {
	p := begin(t, Config{Command: shell("sleep 60")}, hour())
	<-p.Started()
	p.Feed(6, boottime.Now()-time.Second)
	if r := finish(t, p); r.Cause != CauseExpired {
		t.Errorf("result = %+v, want not fed in time", r)
	}
}

// The keeper is the node's: whoever asks it, or all of the group, to end is
// not heard. An interrupt on a terminal means the node.
func TestKeeperIsDeaf(t *testing.T) {
	p := begin(t, Config{Command: shell("sleep 60")}, hour())
	<-p.Started()
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT} {
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	answers(t, p)
	p.Stop(patient)
	if r := finish(t, p); r.Cause != CauseStopped || r.Signal != int(unix.SIGTERM) {
		t.Errorf("result = %+v, want stopped by signal 15", r)
	}
}

// answers waits until the keeper echoes a feed.
func answers(t *testing.T, p *Process) {
	t.Helper()
	first := p.LastEcho()
	if !p.Feed(5, hour()) {
		t.Fatal("not fed")
	}
	for deadline := time.Now().Add(patient); p.LastEcho() == first; {
		if time.Now().After(deadline) {
			t.Fatal("no echo")
		}
		time.Sleep(time.Millisecond)
	}
}

// A flood that nobody reads stops COMMAND's own writing, and nothing else.
func TestOutputFlood(t *testing.T) {
	r, w := pipe(t)
	p := begin(t, Config{Command: shell("trap '' TERM; while :; do echo flood flood flood flood flood; done"), Stdout: w}, hour())
	_ = line(t, r) // and not one more
	answers(t, p)
	p.Stop(10 * time.Millisecond)
	if r := finish(t, p); r.Signal != int(unix.SIGKILL) {
		t.Errorf("result = %+v, want signal 9", r)
	}
}

// What the keeper holds stays locked until the tree is dead, even if the node
// lets go of it, and a listener shared with it still works.
func TestHoldFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock := func() (*os.File, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	held, err := lock()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	copied, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = copied.Close() }()

	p := begin(t, Config{Command: shell("sleep 60"), HoldFiles: []*os.File{held, copied}}, hour())
	<-p.Started()
	_ = held.Close()
	if _, err := lock(); err != unix.EWOULDBLOCK {
		t.Errorf("lock while the command runs: %v, want EWOULDBLOCK", err)
	}
	// A listener that was made blocking would not hear its deadline.
	if err := listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("accept: %v, want a timeout", err)
	}
	p.Kill()
	finish(t, p)
	if _, err := lock(); err != nil {
		t.Errorf("lock after Done: %v", err)
	}
}

// The node is a subreaper: what it adopted must not stay a zombie.
// (What the killed keepers of other tests left, it adopts too: that is older.)
func TestNoZombies(t *testing.T) {
	var before procTable
	if err := before.scan(); err != nil {
		t.Fatal(err)
	}
	p, _ := tree(t)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	finish(t, p)
	var table procTable
	if err := table.scan(); err != nil {
		t.Fatal(err)
	}
	for _, line := range table.procs {
		if _, old := before.find(line.pid); line.ppid == os.Getpid() && line.start >= p.born && !old {
			t.Errorf("a child is left: %+v", line)
		}
	}
}

func TestKeeperFootprint(t *testing.T) {
	p := begin(t, Config{Command: shell("sleep 60")}, hour())
	<-p.Started()
	for range 1000 { // in work, not just born
		for !p.Feed(5, hour()) {
			time.Sleep(time.Millisecond)
		}
	}
	kib := resident(t, p.cmd.Process.Pid)
	t.Logf("keeper: %.1f MiB resident", float64(kib)/1024)
	if !raceEnabled && kib > 10<<10 {
		t.Errorf("keeper: %d KiB resident, want at most 10 MiB", kib)
	}
}

// resident is the memory of a process, in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("process %d is gone", pid)
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
