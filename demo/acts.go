package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// scene is one act as the report needs it. Times are CLOCK_BOOTTIME.
type scene struct {
	Row
	first, last int           // messages made in it
	from, to    time.Duration // when it began and ended
	reigns      int           // promotions up to the one it was for
	stalls      int           // before it
}

// acts plays one after the other until one fails.
func (p *play) acts(ctx context.Context) error {
	for n, act := range []struct {
		title, done string
		play        func(context.Context, *scene) error
	}{
		{"Start a, b and c", "start", p.begin},
		{"Kill the master with SIGKILL, and start it again", "kill the master", p.kill},
		{"Freeze the master with SIGSTOP, and wake it later", "freeze it, wake it", p.freeze},
		{"Cut the master off from the others, and heal it", "cut it off, heal", p.cut},
		{"Hand over on purpose", "hand over on purpose", p.handOver},
	} {
		p.heading(n, act.title)
		made, _ := p.world.source.Count()
		s := &scene{Row: Row{Done: fmt.Sprintf("%d %s", n, act.done)}, first: made + 1, from: boottime.Now(), stalls: p.stallsNow()}
		p.scenes = append(p.scenes, s)
		err := act.play(ctx, s)
		if err == nil {
			err = p.settle(ctx, s)
		}
		s.last, _ = p.world.source.Count()
		s.to = boottime.Now()
		if err != nil {
			return fmt.Errorf("act %d: %w", n, err)
		}
	}
	return nil
}

func (p *play) begin(ctx context.Context, s *scene) error {
	p.strike("the start")
	s.Before = "-"
	for _, name := range names {
		if err := p.cast[name].start(p.cfg.Environ); err != nil {
			return err
		}
	}
	if err := p.await(ctx, "a first master", func() bool { return p.reigns > 0 && p.world.current() != nil }); err != nil {
		return err
	}
	p.crowned(s)
	return nil
}

func (p *play) kill(ctx context.Context, s *scene) error {
	m, k := p.master(s)
	p.strike("the kill")
	p.change(func() {
		p.note(m.name, harm, "killed with SIGKILL, in the middle of its work")
	})
	m.kill()
	if err := p.successor(ctx, s); err != nil {
		return err
	}
	if err := p.stopped(ctx, k); err != nil {
		return err
	}
	if err := m.start(p.cfg.Environ); err != nil {
		return err
	}
	p.change(func() { p.note(m.name, plain, "started again") })
	return p.becomesSlave(ctx, m)
}

func (p *play) freeze(ctx context.Context, s *scene) error {
	m, k := p.master(s)
	p.strike("the freeze")
	p.change(func() {
		m.frozen = true
		p.note(m.name, harm, "frozen with SIGSTOP, in the middle of its work")
	})
	if err := m.signal(freeze); err != nil {
		return err
	}
	if err := p.successor(ctx, s); err != nil {
		return err
	}
	if err := p.writeStale(s, k); err != nil {
		return err
	}
	before := p.heardReigning(m.name)
	p.change(func() { p.note(m.name, plain, "woken with SIGCONT") })
	if err := m.signal(thaw); err != nil {
		return err
	}
	if err := p.becomesSlave(ctx, m); err != nil {
		return err
	}
	if err := p.stopped(ctx, k); err != nil {
		return err
	}
	if err := p.settle(ctx, s); err != nil {
		return err
	}
	if n := p.heardReigning(m.name) - before; n > 0 {
		return fmt.Errorf("%s sent heartbeats as master after it woke; the others heard %d", m.name, n)
	}
	p.change(func() { p.note(m.name, plain, "has sent nothing as master since it woke, as the others hear it") })
	return nil
}

func (p *play) cut(ctx context.Context, s *scene) error {
	m, k := p.master(s)
	others := p.others(m.name)
	p.strike("the cut")
	p.change(func() {
		// Without a quorum nobody can promise that the old work ends in time.
		p.torn = true
		p.note(m.name, harm, "cut off: it and the others drop each other's packets, as told")
	})
	if err := p.drop(ctx, m, others); err != nil {
		return err
	}
	// It must not need the new master to tell it.
	if err := p.await(ctx, m.name+" to step down by itself", func() bool { return m.view.Type != "" && m.view.Role == admin.RoleSlave }); err != nil {
		return err
	}
	if err := p.successor(ctx, s); err != nil {
		return err
	}
	if err := p.stopped(ctx, k); err != nil {
		return err
	}
	p.change(func() {
		p.torn = false
		p.note(m.name, plain, "healed: nobody drops anything")
	})
	if err := p.drop(ctx, m, nil); err != nil {
		return err
	}
	return p.becomesSlave(ctx, m)
}

func (p *play) handOver(ctx context.Context, s *scene) error {
	for try := 1; ; try++ {
		m, k := p.master(s)
		to := p.others(m.name)[0]
		p.strike("the order")
		p.change(func() { p.note(m.name, harm, "told to hand over to %s", to) })
		got, err := m.client.Switchover(ctx, to, limit)
		switch {
		case err == nil && got != to:
			return fmt.Errorf("%s was to reign, and %s does", to, got)
		case err == nil:
			if err := p.successor(ctx, s); err != nil {
				return err
			}
			if err := p.stopped(ctx, k); err != nil {
				return err
			}
			return p.becomesSlave(ctx, m)
		case admin.KindOf(err) != admin.KindIneligible && admin.KindOf(err) != admin.KindRefused || try == tries:
			return err
		}
		// A busy machine: nobody hands over to one that stood still just now, or
		// that does not answer in time.
		p.change(func() { p.note(m.name, plain, "refuses: %v; it is asked again", err) })
		if err := p.settle(ctx, s); err != nil {
			return err
		}
	}
}

// master is who reigns, with its order processor.
func (p *play) master(s *scene) (*instance, *work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Before, s.EpochBefore, s.reigns = p.crown.name, p.crown.epoch, p.reigns
	return p.cast[p.crown.name], p.world.current()
}

func (p *play) others(name string) (list []string) {
	for _, n := range names {
		if n != name {
			list = append(list, n)
		}
	}
	return list
}

// strike remembers when something is done to the master.
func (p *play) strike(name string) {
	p.change(func() { p.blow = blow{at: boottime.Now(), name: name} })
}

// stopped waits for the end of an order processor.
func (p *play) stopped(ctx context.Context, old *work) error {
	return p.await(ctx, "the end of the order processor of "+old.Instance, func() bool { return old.ended > 0 })
}

// successor waits for the next master, for its first write, and for what became
// of all that it found.
func (p *play) successor(ctx context.Context, s *scene) error {
	var k *work
	if err := p.await(ctx, "a new master", func() bool {
		k = p.world.current()
		return p.crown.name != s.Before && k != nil && k.Instance == p.crown.name
	}); err != nil {
		return err
	}
	var last, first time.Duration
	if err := p.await(ctx, "the first write of "+k.Instance, func() (ok bool) {
		last, first, ok = p.world.sink.Around(k.Token)
		return ok
	}); err != nil {
		return err
	}
	if err := p.await(ctx, "all that was in flight to be settled", func() bool {
		n := len(p.handOvers)
		return n > 0 && p.handOvers[n-1].to == k && p.handOvers[n-1].complete()
	}); err != nil {
		return err
	}
	s.NoWriteMs, s.Redone = (first - last).Milliseconds(), len(k.open)
	p.crowned(s)
	return nil
}

// crowned puts down who reigns now.
func (p *play) crowned(s *scene) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.After, s.EpochAfter, s.reigns = p.crown.name, p.crown.epoch, p.reigns
	s.NoMasterMs = (p.crown.at - p.blow.at).Milliseconds()
}

// becomesSlave waits until i follows the master.
func (p *play) becomesSlave(ctx context.Context, i *instance) error {
	if err := p.await(ctx, i.name+" to become a slave", func() bool {
		return i.view.State == admin.StateSlave && i.view.Master == p.crown.name
	}); err != nil {
		return err
	}
	p.change(func() { p.note(i.name, plain, "is a slave, and follows %s", p.crown.name) })
	return nil
}

// settle waits until all agree who reigns and messages have flowed for a while.
// Nothing may change hands meanwhile, unless this machine was too busy to run an
// instance: then a change is right, and told.
func (p *play) settle(ctx context.Context, s *scene) error {
	for {
		if err := p.await(ctx, "all to follow one master", func() bool {
			for _, i := range p.cast {
				if i.view.Master != p.crown.name || (i.view.Role == admin.RoleMaster) != (i.name == p.crown.name) {
					return false
				}
			}
			return true
		}); err != nil {
			return err
		}
		made, _ := p.world.source.Count()
		if err := p.await(ctx, "messages to flow", func() bool { return p.world.sink.UpTo() >= made+calm }); err != nil {
			return err
		}
		if again, err := p.changedHands(s); !again {
			return err
		}
	}
}

// changedHands looks for a change of hands that the act was not meant to make.
func (p *play) changedHands(s *scene) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reigns == s.reigns {
		return false, nil
	}
	if p.stalls == s.stalls {
		return false, fmt.Errorf("mastership changed hands once more: %s reigns, epoch %d", p.crown.name, p.crown.epoch)
	}
	p.note("", plain, "this machine was too busy to run them all, so %s reigns now", p.crown.name)
	s.After, s.EpochAfter, s.reigns, s.stalls = p.crown.name, p.crown.epoch, p.reigns, p.stalls
	return true, nil
}

func (p *play) stallsNow() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalls
}

// drop cuts m off from the others, or heals that, and returns when all obey.
func (p *play) drop(ctx context.Context, m *instance, others []string) error {
	want := map[string][]string{m.name: others}
	for _, name := range p.others(m.name) {
		if len(others) > 0 {
			want[name] = []string{m.name}
		}
	}
	for _, name := range names {
		if err := p.cast[name].drop(want[name]...); err != nil {
			return err
		}
	}
	return p.await(ctx, "all to obey", func() bool {
		for _, name := range names {
			if p.cast[name].drops != strings.Join(want[name], ",") {
				return false
			}
		}
		return true
	})
}

// heardReigning counts the packets of name as master that the others heard.
func (p *play) heardReigning(name string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.cast {
		n += i.reigns[name]
	}
	return n
}

// writeStale writes to the sink what the old master might have: a message that
// is not there yet, under the old token.
func (p *play) writeStale(s *scene, old *work) error {
	c, err := shop.Dial(p.world.path, p.world.path)
	if err != nil {
		return fmt.Errorf("reach the world: %w", err)
	}
	defer func() { _ = c.Close() }()
	made, _ := p.world.source.Count()
	v, err := c.Write(context.Background(), shop.Write{ID: strconv.Itoa(made + calm), Token: old.Token})
	if err != nil && !errors.Is(err, shop.ErrStale) {
		return fmt.Errorf("write under the old token: %w", err)
	}
	p.change(func() {
		p.note("", plain, "the demo writes to the sink under the old token of %s: %s", old.Instance, v)
	})
	s.replayed++
	if v != shop.Stale {
		return fmt.Errorf("the sink took a write under the old token of %s", old.Instance)
	}
	return nil
}
