//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// said is one line of testdata/peer33.py.
type said struct {
	Event    string  `json:"event"`
	At       float64 `json:"at"`
	ID       string  `json:"id"`
	Host     string  `json:"host"`
	Port     string  `json:"port"`
	Type     int     `json:"type"`
	Position int     `json:"position"`
	Why      string  `json:"why"`
	Other    string  `json:"other"`
}

// peer33 is a peer that behaves as a Java instance does.
type peer33 struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex // guards all
	all []said
}

func startPeer33(t *testing.T, args ...string) *peer33 {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skipf("the peer is a Python script: %v", err)
	}
	args = append([]string{
		"-u", "testdata/peer33.py", "--monitor", "1",
		"--interval", fmt.Sprint(pingEvery.Seconds()), "--timeout", fmt.Sprint(pingTimeout.Seconds()),
	}, args...)
	p := &peer33{t: t, cmd: exec.Command("python3", args...), done: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var s said
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Errorf("the peer says %q: %v", lines.Text(), err)
			}
			p.mu.Lock()
			p.all = append(p.all, s)
			p.mu.Unlock()
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *peer33) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// heard is what the peer said from the n-th line on.
func (p *peer33) heard(from int) []said {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all[min(from, len(p.all)):])
}

func (p *peer33) wait(what string, from int, ok func(said) bool) said {
	p.t.Helper()
	var found said
	lab.Wait(p.t, "the peer: "+what, 2*soon, func() bool {
		list := p.heard(from)
		i := slices.IndexFunc(list, ok)
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// alive fails the test if the peer found a fault, or ended.
func (p *peer33) alive() {
	p.t.Helper()
	for _, s := range p.heard(0) {
		if s.Event == "bad" || s.Event == "conflict" {
			p.t.Errorf("the peer: %s %s %s", s.Event, s.Why, s.Other)
		}
	}
	select {
	case <-p.done:
		p.t.Errorf("the peer has ended: %v", p.cmd.ProcessState)
	default:
	}
}

// uuid is an id as the peer writes it.
func uuid(id string) string {
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// TestPeer33 has a peer that behaves as a Java instance does in a cluster of
// ours: it sees what such a peer must see, takes its place in the line, takes
// over, and is followed. These two take longest, and start first: Go takes the
// files by their names.
func TestPeer33(t *testing.T) { withPeer33(t, false) }

// TestPeer33TCP is the same by TCP. It is no subtest: those start when all other
// tests have.
func TestPeer33TCP(t *testing.T) { withPeer33(t, true) }

func withPeer33(t *testing.T, tcp bool) {
	t.Helper()
	t.Parallel()
	c := lab.NewPings(t, tcp, pings...)
	peerAddr := fmt.Sprintf("127.0.0.1:%d", c.PingPort(3))
	start := func(n int) *lab.Instance {
		r := lab.Run{Name: string(rune('a' + n))}
		if tcp { // one that was started says where it is; one is dead
			r.Set = []string{fmt.Sprintf("failover.tcp.peers=%s;127.0.0.1:%d;127.0.0.1:1", peerAddr, c.PingPort(0))}
		}
		return c.Run(r)
	}
	a, b := start(0), start(1)
	master, line := c.SettledLine(a, b)
	args := []string{"--multicast", fmt.Sprintf("%v:%d", c.Group, c.Port)}
	if tcp {
		// It must be told of both: it learns of slaves only, and one is master.
		args = []string{"--tcp", peerAddr, "--peers", fmt.Sprintf("127.0.0.1:%d;127.0.0.1:%d", c.PingPort(0), c.PingPort(1))}
	}
	p := startPeer33(t, args...)
	self := p.wait("ready", 0, func(s said) bool { return s.Event == "ready" }).ID

	// The line has two, at 1 and 2, as each of ours sees it; the peer is one.
	places := func(i *lab.Instance) map[string]int {
		m := map[string]int{}
		for _, e := range i.MustStatus().PromotionOrder {
			m[uuid(e.ID)] = e.Position
		}
		return m
	}
	slave := uuid(line[0].MustStatus().Instance.ID)
	lab.Wait(t, "the peer stands in the line", 2*soon, func() bool {
		x, y := places(master), places(line[0])
		return len(x) == 2 && x[self]+x[slave] == 3 && x[self] > 0 && x[slave] > 0 && y[self] == x[self] && y[slave] == x[slave]
	})
	from := len(p.heard(0))
	want := places(master)[slave]
	ids := map[string]said{
		uuid(master.MustStatus().Instance.ID): {Type: 1, Port: "0", Position: 0},
		slave:                                 {Type: 2, Port: "0", Position: want},
	}
	if tcp {
		for i, id := range []string{uuid(a.MustStatus().Instance.ID), uuid(b.MustStatus().Instance.ID)} {
			s := ids[id]
			s.Port = fmt.Sprint(c.PingPort(i))
			ids[id] = s
		}
	}
	const enough = 8
	lab.Wait(t, "pings of both", 2*soon, func() bool {
		n := map[string]int{}
		for _, s := range p.heard(from) {
			n[s.ID]++
		}
		return len(n) == 2 && n[slave] >= enough && len(p.heard(from)) >= 2*enough
	})
	times := map[string][]float64{}
	for _, s := range p.heard(from) {
		w, ok := ids[s.ID]
		if s.Event != "ping" || !ok || s.Host != "127.0.0.1" || s.Port != w.Port || s.Type != w.Type || s.Position != w.Position {
			t.Errorf("the peer heard %+v, want %+v", s, w)
		}
		times[s.ID] = append(times[s.ID], s.At)
	}
	for id, at := range times {
		// One ping an interval: a busy machine makes some late, and none early.
		mean := (at[len(at)-1] - at[0]) / float64(len(at)-1)
		if mean < 0.8*pingEvery.Seconds() || mean > 2*pingEvery.Seconds() {
			t.Errorf("%s: a ping each %.3f s, want %v", id, mean, pingEvery)
		}
	}
	p.alive()

	// Ours are killed: the peer takes over, and one of ours that comes follows it.
	a.KillHard()
	b.KillHard()
	p.wait("promoted", 0, func(s said) bool { return s.Event == "promoted" })
	d := start(2)
	d.WaitStatus("it follows the peer, from position 1", 2*soon, func(s admin.Status) bool {
		return s.Master != nil && uuid(s.Master.ID) == self && s.Instance.Position == 1 && s.Instance.State == admin.StateSlave
	})
	lab.Never(t, "one of ours reigns beside the peer", pingTimeout, func() bool {
		return d.MustStatus().Instance.State != admin.StateSlave
	})
	p.alive()

	p.kill()
	died := time.Now()
	d.WaitState(admin.StateMaster, 2*soon)
	t.Logf("promoted %v after the peer's death", time.Since(died).Round(time.Millisecond))
}
