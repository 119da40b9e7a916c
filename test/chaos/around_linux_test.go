package chaos

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Faults of what is around a node: its card, the network, its limits, its disk.

// unplug takes the node's card down.
func (p *play) unplug(on int) func() {
	if p.w.dead[on] {
		return nil
	}
	p.w.down(on)
	return func() { p.w.up(on) }
}

// readdress gives the node another address, for good.
func (p *play) readdress(on int) func() {
	if p.w.dead[on] { // it would take no route
		return nil
	}
	p.w.address(on, on+(p.w.addrs[on]-on+nodes)%(8*nodes))
	return func() {}
}

// wire adds rules to the switch.
func (p *play) wire(rules ...rule) func() {
	var mine []int
	for _, r := range rules {
		p.lastRule++
		p.rules[p.lastRule] = r
		mine = append(mine, p.lastRule)
	}
	p.tell()
	return func() {
		for _, n := range mine {
			delete(p.rules, n)
		}
		p.tell()
	}
}

func (p *play) tell() {
	var list []rule
	for n := 1; n <= p.lastRule; n++ {
		if r, ok := p.rules[n]; ok {
			list = append(list, r)
		}
	}
	if err := p.w.sw.set(list); err != nil {
		p.t.Error(err)
	}
}

// descriptors takes from the node all that it has not open.
func (p *play) descriptors(on int) func() {
	if !p.up(on) {
		return nil
	}
	i := p.nodes[on]
	var old unix.Rlimit
	open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", i.PID))
	if err := unix.Prlimit(i.PID, unix.RLIMIT_NOFILE, nil, &old); err != nil || len(open) == 0 {
		return nil
	}
	few := unix.Rlimit{Cur: uint64(len(open)), Max: old.Max}
	if unix.Prlimit(i.PID, unix.RLIMIT_NOFILE, &few, nil) != nil {
		return nil
	}
	return func() {
		if !i.Ended() {
			_ = unix.Prlimit(i.PID, unix.RLIMIT_NOFILE, &old, nil)
		}
	}
}

// full fills the file system of a state directory.
func (p *play) full(on int) func() {
	path := fmt.Sprintf("/proc/%d/root%s/fill", p.w.holder, p.StateDir(name(on)))
	f, err := os.Create(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for chunk := make([]byte, 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	return func() {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			p.t.Error(err)
		}
	}
}
