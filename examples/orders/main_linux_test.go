package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain makes this test binary the program itself if it is started with a
// word that is no flag. That is so for the keeper of an instance too: one that
// ran the tests would start instances, and they keepers, without end.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a started program and what it says.
type process struct {
	t   *testing.T
	cmd *exec.Cmd

	mu    sync.Mutex // guards lines
	lines []string
	more  chan struct{} // has room for one; told of each line and of the end
	ended chan struct{}
}

func start(t *testing.T, home string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, args...), more: make(chan struct{}, 1), ended: make(chan struct{})}
	p.cmd.Env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer r.Close()
		for in := bufio.NewScanner(r); in.Scan(); p.ring() {
			p.mu.Lock()
			p.lines = append(p.lines, in.Text())
			p.mu.Unlock()
		}
	})
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
		p.ring()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		wg.Wait()
		if t.Failed() {
			t.Logf("orders %s:\n%s", strings.Join(args, " "), strings.Join(p.lines, "\n"))
		}
	})
	return p
}

func (p *process) ring() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// says waits for a line that matches.
func (p *process) says(pattern string) string {
	p.t.Helper()
	want := regexp.MustCompile(pattern)
	late := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		for _, l := range p.lines {
			if want.MatchString(l) {
				p.mu.Unlock()
				return l
			}
		}
		p.mu.Unlock()
		select {
		case <-p.more:
		case <-late:
			p.t.Fatalf("no line %q", pattern)
		}
	}
}

func (p *process) count(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		n += strings.Count(l, text)
	}
	return n
}

// TestKilled runs the five processes, kills the master, and ends the next one
// in order. Each invoice is at the sink once.
func TestKilled(t *testing.T) {
	dir, err := os.MkdirTemp("", "orders") // not t.TempDir: socket paths must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const orders = 300
	source := start(t, dir, "source", "-listen", filepath.Join(dir, "source"), "-every", "4ms", "-count", fmt.Sprint(orders))
	sink := start(t, dir, "sink", "-listen", filepath.Join(dir, "sink"))
	source.says("hands out")
	sink.says("takes invoices")
	port := 20_000 + rand.IntN(10_000)
	all := map[string]*process{}
	take := func(name string) {
		all[name] = start(t, dir, "work", "-name", name, "-source", filepath.Join(dir, "source"), "-sink", filepath.Join(dir, "sink"),
			"-set", "failover.interface=lo", "-set", fmt.Sprintf("failover.port=%d", port), "-set", "failover.delay=100", "-set", "failover.retries=8",
			"-set", "failover.state.dir="+filepath.Join(dir, "state-"+name))
	}
	for _, name := range []string{"a", "b", "c"} {
		take(name)
	}
	master := func() *process {
		t.Helper()
		l := source.says("^[abcd] attaches")
		p := all[l[:1]]
		delete(all, l[:1])
		source.mu.Lock()
		source.lines = nil
		source.mu.Unlock()
		return p
	}
	first := master()
	sink.says("^[1-9][0-9]+ taken")
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second := master()
	second.says("finds [1-9][0-9]* messages? in flight")
	second.says(`: order [0-9]+ at "[a-z]+": `)
	take("d") // a master that is alone has nobody to tell, and publishes nothing
	if err := second.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-second.ended
	second.says("reigns no more")
	master().says("finds 0 messages in flight")

	sink.says(fmt.Sprintf("^%d taken", orders))
	if err := sink.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-sink.ended
	repeats := 0
	if _, err := fmt.Sscanf(sink.says(fmt.Sprintf("^%d taken, [0-9]+ repeats", orders)), "%d taken, %d repeats", new(int), &repeats); err != nil {
		t.Fatal(err)
	}
	if open := second.count("published again"); repeats > open {
		t.Errorf("the sink refused %d repeats, and only %d publishes were open", repeats, open)
	}
}

// TestNoSource has nobody to take orders from: the cause is told, and that is no
// end of the reign.
func TestNoSource(t *testing.T) {
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := start(t, dir, "work", "-name", "a", "-source", filepath.Join(dir, "nobody"), "-sink", filepath.Join(dir, "nobody"),
		"-set", "failover.interface=lo", "-set", fmt.Sprintf("failover.port=%d", 20_000+rand.IntN(10_000)), "-set", "failover.delay=100",
		"-set", "failover.cluster=another")
	p.says("^a: the work failed: .*nobody: ")
	if n := p.count("reigns no more"); n > 0 {
		t.Errorf("it reigns no more, %d times", n)
	}
	sockets, err := filepath.Glob(filepath.Join(dir, "interlok-ha", "another*"))
	if err != nil || len(sockets) == 0 {
		t.Errorf("-set failover.cluster has no effect: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"rest"}, {"work"}, {"sink", "-x"}} {
		var out strings.Builder
		if err := run(t.Context(), args, &out, &out); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
