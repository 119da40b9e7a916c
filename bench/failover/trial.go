//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	startLimit = 60 * time.Second // until one acts and all know each other
	takeLimit  = 30 * time.Second // until another acts
	calmLimit  = 20 * time.Second // until only one acts after the fault
	calm       = 1500 * time.Millisecond
	lately     = 100 * time.Millisecond // nobody who acts is silent for so long

	// Ours come up to a twentieth early. A fault that is aimed at the very end of
	// the time between two would slip behind the next one, and cost an interval
	// more than what it stands for. So none is, for all contenders alike.
	latest = 0.9
)

// trial is one fault for one contender, and what came of it.
type trial struct {
	c     contender
	f     fault
	run   int
	phase float64 // 0 to latest: where between two heartbeats the fault comes

	took     time.Duration // from the fault to the first act of another node
	idle     time.Duration // from the last act of the old master to that; negative never
	together time.Duration // two or more acted at once, after the fault
	still    bool          // they did so when the trial was given up
	never    bool          // nobody else acted within takeLimit
	unasked  int           // changes of master before the fault
	err      error         // it could not be measured
}

// do runs the trial in a folder of its own.
func (t *trial) do(ctx context.Context, b *bench) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%s-%d", t.c.slug, slug(t.f.name), t.run))
	if t.err = os.MkdirAll(dir, 0o700); t.err != nil {
		return
	}
	if t.err = makeRun(dir); t.err != nil {
		return
	}
	c := &cluster{dir: dir, self: b.self, ours: b.ours, actor: b.actor, env: environ(dir), log: journal{dir: dir}}
	if t.err = t.start(b, c); t.err == nil {
		t.err = t.measure(ctx, c)
	}
	c.close()
	if t.err == nil && !b.keep {
		t.err = os.RemoveAll(dir)
	}
}

// start starts the nodes, when no other trial does.
func (t *trial) start(b *bench, c *cluster) (err error) {
	b.starting.Lock()
	defer b.starting.Unlock()
	if c.net, err = newNetwork(); err != nil {
		return err
	}
	return t.c.peer.start(c)
}

func (t *trial) measure(ctx context.Context, c *cluster) error {
	p := t.c.peer
	holder, err := t.settle(ctx, c)
	if err != nil {
		return err
	}
	at := boottime.Now()
	if err := t.f.do(c, p, holder); err != nil {
		return err
	}
	var next time.Duration
	err = c.until(ctx, "another that acts", takeLimit, func() (ok bool) {
		_, next, ok = c.log.first(at, holder)
		return ok
	})
	switch {
	case errors.Is(err, errLate):
		t.never = true
		return nil
	case err != nil:
		return err
	}
	t.took = next - at
	if last, ok := c.log.last(next, holder); ok {
		t.idle = next - last
	}
	end := next + t.f.hold
	if err := c.until(ctx, "the end of the fault", takeLimit, func() bool { return boottime.Now() >= end }); err != nil {
		return err
	}
	if t.f.undo != nil {
		if err := t.f.undo(c, p, holder); err != nil {
			return err
		}
		if t.still, err = t.calmDown(ctx, c); err != nil {
			return err
		}
	} else {
		t.still = c.several()
	}
	t.together = c.log.together(at)
	return nil
}

// settle waits until one acts and has done so for a while, and returns it.
func (t *trial) settle(ctx context.Context, c *cluster) (holder int, err error) {
	var since, asked, moment time.Duration
	aimed := false
	err = c.until(ctx, "one that acts, and is known to all", startLimit, func() bool {
		now := boottime.Now()
		one, ok := c.alone(lately)
		switch {
		case !ok:
			since = 0
			return false
		case since == 0:
			if now < asked+lately {
				return false // asking is not free
			}
			if asked = now; !t.c.peer.ready(c) {
				return false
			}
		}
		if since == 0 || one != holder {
			if holder != 0 && one != holder {
				t.unasked++
			}
			holder, since = one, now
			aimed = false
			// It sent its first heartbeat when it began to act.
			began := c.log.began(one)
			quiet := now - began + max(calm, 2*t.c.interval) // for all to have heard of it
			moment = began + (quiet/t.c.interval+1)*t.c.interval + time.Duration(t.phase*float64(t.c.interval))
		}
		if now < moment || aimed {
			return now >= moment
		}
		last := moment - time.Duration(t.phase*float64(t.c.interval))
		if p, can := t.c.peer.(beater); can { // its intervals are not all alike
			if last, ok = p.beat(c, holder); !ok {
				return false
			}
		}
		aimed = true
		for moment = last + time.Duration(t.phase*float64(t.c.interval)); moment < now; {
			moment += t.c.interval
		}
		return now >= moment
	})
	return holder, err
}

// calmDown waits until only one acts, for a while; still says that it was not
// so within calmLimit.
func (t *trial) calmDown(ctx context.Context, c *cluster) (still bool, err error) {
	healed := boottime.Now()
	err = c.until(ctx, "one that acts alone", calmLimit, func() bool {
		_, ok := c.alone(calm)
		return ok && boottime.Now() >= healed+calm
	})
	if errors.Is(err, errLate) {
		return c.several(), nil
	}
	return false, err
}

// plan is every trial, the contenders in turns, so that noise hits all alike.
// The faults of one kind are spread evenly over the time between two
// heartbeats, up to latest: that makes the median steadier than chance would.
func plan(list []contender, runs int, seed uint64) []*trial {
	chance := rand.New(rand.NewPCG(seed, 0))
	var all []*trial
	for run := range runs {
		var round []*trial
		for _, f := range faults {
			for _, c := range list {
				round = append(round, &trial{c: c, f: f, run: run + 1, phase: latest * (float64(run) + chance.Float64()) / float64(runs)})
			}
		}
		chance.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		all = append(all, round...)
	}
	return all
}
