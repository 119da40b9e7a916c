package chaos

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// fault is one way to break something.
type fault struct {
	name string
	// begin breaks it at a node and returns what heals it; nil if it does not apply now.
	begin func(p *play, on int) (heal func())
}

// kinds are all of them.
var kinds = []fault{
	{"kill -9 of the node", func(p *play, on int) func() { return p.kill(on, false) }},
	{"kill -9 of node and keeper", func(p *play, on int) func() { return p.kill(on, true) }},
	{"kill -9 of the keeper", func(p *play, on int) func() { return p.strike(on, syscall.SIGKILL, keeper) }},
	{"kill -9 of the command", func(p *play, on int) func() { return p.strike(on, syscall.SIGKILL, command) }},
	{"kill -9 of all", (*play).blackout},
	{"clean stop", (*play).leave},
	{"handed over on purpose", (*play).handOver},
	{"the node frozen", func(p *play, on int) func() { return p.strike(on, syscall.SIGSTOP, node) }},
	{"the keeper frozen", func(p *play, on int) func() { return p.strike(on, syscall.SIGSTOP, keeper) }},
	{"the command frozen", func(p *play, on int) func() { return p.strike(on, syscall.SIGSTOP, command) }},
	{"node and keeper frozen", func(p *play, on int) func() { return p.strike(on, syscall.SIGSTOP, node, keeper) }},
	{"all frozen", func(p *play, on int) func() { return p.strike(on, syscall.SIGSTOP, node, keeper, command) }},
	{"the node starved", func(p *play, on int) func() { return p.starve(on, node) }},
	{"all starved", func(p *play, on int) func() { return p.starve(on, node, keeper, command) }},
	{"cut off", func(p *play, on int) func() { return p.wire(rule{To: on, Loss: 100}, rule{From: on, Loss: 100}) }},
	{"deaf", func(p *play, on int) func() { return p.wire(rule{To: on, Loss: 100}) }},
	{"mute", func(p *play, on int) func() { return p.wire(rule{From: on, Loss: 100}) }},
	{"one does not hear it", func(p *play, on int) func() { return p.wire(rule{From: on, To: on%nodes + 1, Loss: 100}) }},
	{"two do not hear each other", func(p *play, on int) func() {
		return p.wire(rule{From: on, To: on%nodes + 1, Loss: 100}, rule{From: on%nodes + 1, To: on, Loss: 100})
	}},
	{"all alone", func(p *play, _ int) func() { return p.wire(rule{Loss: 100}) }},
	{"loss of 20 %", func(p *play, _ int) func() { return p.wire(rule{Loss: 20}) }},
	{"bursts of loss", func(p *play, _ int) func() { return p.wire(rule{Burst: tDown / 2}) }},
	{"late, doubled and out of order", func(p *play, _ int) func() {
		return p.wire(rule{Delay: 20 * time.Millisecond, Jitter: 200 * time.Millisecond, Double: 20})
	}},
	{"card down", (*play).unplug},
	{"another address", (*play).readdress},
	{"no file descriptor left", (*play).descriptors},
	{"state directory full", (*play).full},
}

// processes of an instance.
type part int

const (
	node part = iota
	keeper
	command
)

// pids are the node, its keeper and its command; 0 is not there.
func (p *play) pids(on int) (list [3]int) {
	list[node] = p.nodes[on].PID
	for _, pid := range p.Descendants() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var parent int
		if _, err := fmt.Sscan(rest, &state, &parent); err == nil && parent == list[node] {
			list[keeper] = pid
		}
	}
	for _, pid := range p.Descendants() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var parent int
		if _, err := fmt.Sscan(rest, &state, &parent); err == nil && parent == list[keeper] && parent != 0 {
			list[command] = pid
		}
	}
	return list
}

// up reports whether a node runs.
func (p *play) up(on int) bool { return p.nodes[on] != nil && !p.nodes[on].Ended() }

// strike sends a signal to parts of an instance. All there must be.
func (p *play) strike(on int, sig syscall.Signal, parts ...part) func() {
	if !p.up(on) {
		return nil
	}
	pids := p.pids(on)
	for _, part := range parts {
		if pids[part] == 0 {
			return nil
		}
	}
	from := boottime.Now()
	for _, part := range parts {
		_ = unix.Kill(pids[part], sig)
		if sig == syscall.SIGSTOP {
			p.frozen[on] = append(p.frozen[on], pids[part])
		}
	}
	if sig != syscall.SIGSTOP {
		return func() {}
	}
	return func() {
		for _, part := range parts {
			_ = unix.Kill(pids[part], syscall.SIGCONT)
		}
		delete(p.frozen, on)
		for _, part := range parts {
			p.out[part] = append(p.out[part], stretch{name(on), from, boottime.Now() + time.Second})
		}
	}
}

// starve lets parts of an instance run for a few milliseconds now and then
// only, as on a machine that has no time for them. All there must be.
func (p *play) starve(on int, parts ...part) func() {
	if !p.up(on) {
		return nil
	}
	pids := p.pids(on)
	for _, part := range parts {
		if pids[part] == 0 {
			return nil
		}
		p.frozen[on] = append(p.frozen[on], pids[part])
	}
	all := func(sig syscall.Signal) {
		for _, part := range parts {
			_ = unix.Kill(pids[part], sig)
		}
	}
	run, pause := 2*time.Millisecond+p.upto(8*time.Millisecond), 50*time.Millisecond+p.upto(delay)
	from := boottime.Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			all(syscall.SIGSTOP)
			select {
			case <-time.After(pause):
			case <-stop:
				all(syscall.SIGCONT)
				return
			}
			all(syscall.SIGCONT)
			time.Sleep(run) // the time it has, not a wait for something
		}
	}()
	return func() {
		close(stop)
		<-stopped
		delete(p.frozen, on)
		for _, part := range parts {
			p.out[part] = append(p.out[part], stretch{name(on), from, boottime.Now() + time.Second})
		}
	}
}

// kill ends the node, and its keeper at once if it is to.
func (p *play) kill(on int, both bool) func() {
	if !p.up(on) {
		return nil
	}
	pids := p.pids(on)
	p.meant[p.nodes[on]] = true
	if both && pids[keeper] != 0 {
		_ = unix.Kill(pids[keeper], syscall.SIGKILL)
	}
	from := boottime.Now()
	p.nodes[on].KillHard()
	p.nodes[on] = nil
	return func() { // what does not run is started in the end
		p.out[node] = append(p.out[node], stretch{name(on), from, boottime.Now() + time.Second})
	}
}

// blackout ends everything at once.
func (p *play) blackout(int) func() {
	var undo []func()
	for i := 1; i <= nodes; i++ {
		if back := p.kill(i, true); back != nil {
			undo = append(undo, back)
		}
	}
	return func() {
		for _, f := range undo {
			f()
		}
	}
}

// handOver asks the node to have another one reign. It may refuse.
func (p *play) handOver(on int) func() {
	if !p.up(on) {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = admin.NewClient(p.Socket(name(on))).Switchover(ctx, "", tDown)
	}()
	return func() {
		cancel()
		<-done
	}
}

// leave ends the node as its user would.
func (p *play) leave(on int) func() {
	if !p.up(on) {
		return nil
	}
	i := p.nodes[on]
	p.meant[i] = true
	i.Signal(syscall.SIGTERM)
	return func() {
		for _, pid := range p.frozen[on] {
			_ = unix.Kill(pid, syscall.SIGCONT)
		}
		i.Exit(soon)
		if p.nodes[on] == i {
			p.nodes[on] = nil
		}
	}
}
