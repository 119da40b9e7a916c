//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const roleVerb = "bench-instance"

// request is what an instance is told to do; one line of JSON.
type request struct {
	ID      int
	Op      string
	Config  *config       `json:",omitempty"`
	Cache   string        `json:",omitempty"`
	Keys    int           `json:",omitempty"`
	Count   int           `json:",omitempty"` // of puts
	Rate    int           `json:",omitempty"` // puts per second
	For     time.Duration `json:",omitempty"`
	Putters int           `json:",omitempty"`
	N       uint64        `json:",omitempty"` // position
	Slaves  []string      `json:",omitempty"` // instances, hexadecimal
	File    string        `json:",omitempty"`
	Addr    string        `json:",omitempty"`
	Reign   string        `json:",omitempty"` // instance of the master
}

// config is how an instance opens its cache.
type config struct {
	Name     string
	Instance string
	Keyed    bool
	Peers    []string
	Max      int // entries of each cache; 0: no bound
	Ring     int64
	Events   bool // tell them on stderr
}

// answer is what it says.
type answer struct {
	ID   int
	Err  string        `json:",omitempty"`
	Addr string        `json:",omitempty"`
	N    uint64        `json:",omitempty"`
	Took time.Duration `json:",omitempty"`
	// quantiles of what was measured
	P50, P99, P999, Max time.Duration
	WindowP99           time.Duration `json:",omitempty"` // median over windows

	Gaps      int           `json:",omitempty"`
	Entries   int           `json:",omitempty"`
	Live      int64         `json:",omitempty"` // heap that the last collection found alive
	Heap      int64         `json:",omitempty"`
	Ring      int64         `json:",omitempty"`
	CPU       time.Duration `json:",omitempty"`
	Waited    time.Duration `json:",omitempty"` // for a processor, all threads together
	InStep    int           `json:",omitempty"`
	Followers int           `json:",omitempty"`
	Members   int           `json:",omitempty"`
	Snapshot  bool          `json:",omitempty"`
	Snapshots uint64        `json:",omitempty"`
	Cuts      uint64        `json:",omitempty"`
	Digest    string        `json:",omitempty"`
}

// instance is one child process.
type instance struct {
	t    testing.TB
	name string
	id   string // instance
	addr string
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{}

	mu      sync.Mutex // guards what follows
	next    int
	waiting map[int]chan answer
	dead    bool
}

// child makes a command die with this process.
func child(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// spawn starts an instance and opens its cache.
func spawn(t testing.TB, cfg config) *instance {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := child(exec.Command(self, roleVerb))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, name: cfg.Name, id: cfg.Instance, cmd: cmd, in: in, done: make(chan struct{}), waiting: map[int]chan answer{}}
	go func() {
		defer close(i.done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var a answer
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %s\n", cfg.Name, lines.Text())
				continue
			}
			i.mu.Lock()
			if w := i.waiting[a.ID]; w != nil {
				delete(i.waiting, a.ID)
				w <- a
			}
			i.mu.Unlock()
		}
		_ = cmd.Wait()
		i.mu.Lock()
		i.dead = true
		for _, w := range i.waiting {
			w <- answer{Err: "the process ended: " + cmd.ProcessState.String()}
		}
		i.mu.Unlock()
	}()
	t.Cleanup(i.stop)
	i.addr = i.call(request{Op: "open", Config: &cfg}).Addr
	return i
}

// begin sends a request; the answer comes later.
func (i *instance) begin(r request) <-chan answer {
	w := make(chan answer, 1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead {
		w <- answer{Err: "the process has ended"}
		return w
	}
	i.next++
	r.ID = i.next
	b, err := json.Marshal(r)
	if err == nil {
		i.waiting[r.ID] = w
		_, err = i.in.Write(append(b, '\n'))
	}
	if err != nil {
		delete(i.waiting, r.ID)
		w <- answer{Err: err.Error()}
	}
	return w
}

// end waits for an answer that is no error.
func (i *instance) end(w <-chan answer, what string) answer {
	i.t.Helper()
	select {
	case a := <-w:
		if a.Err != "" {
			i.t.Fatalf("%s: %s: %s", i.name, what, a.Err)
		}
		return a
	case <-time.After(5 * time.Minute):
		i.t.Fatalf("%s: %s: no answer", i.name, what)
		return answer{}
	}
}

// call is begin and end.
func (i *instance) call(r request) answer {
	i.t.Helper()
	return i.end(i.begin(r), r.Op)
}

// stop ends the process.
func (i *instance) stop() {
	_ = i.in.Close()
	_ = i.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-i.done:
	case <-time.After(10 * time.Second):
		i.t.Errorf("%s did not end", i.name)
		_ = i.cmd.Process.Kill()
		<-i.done
	}
	if code := i.cmd.ProcessState.ExitCode(); code != 0 && !i.t.Failed() {
		i.t.Errorf("%s exited with %d", i.name, code) // 66: the race detector found something
	}
}

// rss is the resident memory of a process in bytes.
func (i *instance) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", i.cmd.Process.Pid))
	if f := strings.Fields(string(b)); err == nil && len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}

// stolen is how long the host of a virtual machine gave its processors to others
// while they had something to do.
func stolen(t testing.TB) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	if f := strings.Fields(string(b)); err == nil && len(f) > 8 {
		ticks, _ := strconv.ParseInt(f[8], 10, 64)
		return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 everywhere
	}
	t.Fatal("what the host took: /proc/stat:", err)
	return 0
}
