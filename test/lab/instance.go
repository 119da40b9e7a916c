//go:build linux

package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
)

// Line is one line of an instance's log.
type Line struct {
	Time    time.Time
	Level   string
	Message string
	Raw     string
}

// Instance is one running process.
type Instance struct {
	Name string
	PID  int

	c    *Cluster
	cmd  *exec.Cmd
	done chan struct{}
	code int // valid once done is closed: 128 + n for signal n

	mu   sync.Mutex // guards what follows
	log  []Line
	read chan struct{} // closed and replaced with each line
}

func start(c *Cluster, r Run, args []string) (*Instance, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(c.environ(), r.Env...)
	// Files, not Go pipes: a descendant that has them open must not hold up Wait.
	cmd.Stdout, cmd.Stderr = writer, writer
	if r.Stderr != nil {
		cmd.Stderr = r.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	i := &Instance{Name: r.Name, c: c, cmd: cmd, done: make(chan struct{}), read: make(chan struct{})}
	if err = cmd.Start(); err != nil {
		_, _ = reader.Close(), writer.Close()
		return nil, err
	}
	i.PID = cmd.Process.Pid
	all := make(chan struct{})
	go i.collect(reader, all)
	go func() {
		_ = cmd.Wait()
		// What it wrote stands in the pipe before this, whoever else has it open.
		_, _ = writer.WriteString("\n" + lastLine + "\n")
		_ = writer.Close()
		<-all
		ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
		i.code = ws.ExitStatus()
		if ws.Signaled() {
			i.code = 128 + int(ws.Signal())
		}
		close(i.done)
	}()
	return i, nil
}

// lastLine follows all that a node wrote itself.
const lastLine = "the node has ended"

// collect reads the log, and closes all once it has what the node itself wrote.
func (i *Instance) collect(f *os.File, all chan<- struct{}) {
	defer f.Close()
	end := sync.OnceFunc(func() { close(all) })
	defer end()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l := Line{Raw: lines.Text()}
		switch l.Raw {
		case lastLine:
			end()
			continue
		case "":
			continue
		}
		var v struct {
			Time    time.Time `json:"time"`
			Level   string    `json:"level"`
			Message string    `json:"message"`
		}
		if json.Unmarshal(lines.Bytes(), &v) == nil {
			l.Time, l.Level, l.Message = v.Time, v.Level, v.Message
		}
		i.mu.Lock()
		i.log = append(i.log, l)
		close(i.read)
		i.read = make(chan struct{})
		i.mu.Unlock()
	}
}

// Log is what was logged so far.
func (i *Instance) Log() []Line {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log[:len(i.log):len(i.log)]
}

func (i *Instance) tail(n int) string {
	var b strings.Builder
	lines := i.Log()
	for _, l := range lines[max(0, len(lines)-n):] {
		b.WriteString(l.Raw + "\n")
	}
	return b.String()
}

// Count is how many lines contain the text so far.
func (i *Instance) Count(text string) int {
	n := 0
	for _, l := range i.Log() {
		if strings.Contains(l.Raw, text) {
			n++
		}
	}
	return n
}

// WaitLog waits for the n-th line that contains the text.
func (i *Instance) WaitLog(text string, n int, within time.Duration) Line {
	i.c.t.Helper()
	timeout := time.After(within)
	for {
		i.mu.Lock()
		lines, more := i.log, i.read
		i.mu.Unlock()
		seen := 0
		for _, l := range lines {
			if strings.Contains(l.Raw, text) {
				if seen++; seen == n {
					return l
				}
			}
		}
		select {
		case <-more:
		case <-timeout:
			i.c.t.Fatalf("waited %v for line %d of %s with: %s", within, n, i.Name, text)
		}
	}
}

// Status asks the instance over its socket.
func (i *Instance) Status() (admin.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return admin.NewClient(i.c.Socket(i.Name)).Status(ctx)
}

// MustStatus is Status of an instance that has to answer.
func (i *Instance) MustStatus() admin.Status {
	i.c.t.Helper()
	s, err := i.Status()
	if err != nil {
		i.c.t.Fatalf("status of %s: %v", i.Name, err)
	}
	return s
}

// WaitStatus waits until the instance answers and ok says so.
func (i *Instance) WaitStatus(what string, within time.Duration, ok func(admin.Status) bool) admin.Status {
	i.c.t.Helper()
	var s admin.Status
	Wait(i.c.t, i.Name+": "+what, within, func() bool {
		got, err := i.Status()
		s = got
		return err == nil && ok(s)
	})
	return s
}

// WaitState waits for a state.
func (i *Instance) WaitState(state string, within time.Duration) admin.Status {
	i.c.t.Helper()
	return i.WaitStatus("state "+state, within, func(s admin.Status) bool { return s.Instance.State == state })
}

// Signal signals the node, and nothing else.
func (i *Instance) Signal(sig syscall.Signal) {
	i.c.t.Helper()
	if err := i.cmd.Process.Signal(sig); err != nil {
		i.c.t.Fatalf("signal %v to %s: %v", sig, i.Name, err)
	}
}

// KillHard ends the node with SIGKILL and waits for that.
func (i *Instance) KillHard() {
	i.c.t.Helper()
	i.Signal(syscall.SIGKILL)
	i.Exit(5 * time.Second)
}

// Ended reports whether the node has exited.
func (i *Instance) Ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// Exit waits for the node's end and returns its code, 128 + n for signal n.
func (i *Instance) Exit(within time.Duration) int {
	i.c.t.Helper()
	select {
	case <-i.done:
		return i.code
	case <-time.After(within):
		i.c.t.Fatalf("%s did not exit within %v", i.Name, within)
		return -1
	}
}

func (i *Instance) kill() {
	_ = i.cmd.Process.Kill()
	<-i.done
}
