package cachetest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
)

// Master is the instance whose reign wins among those that are open, or nil.
func (l *Lab) Master() *Instance { return l.best(l.Alive()) }

func (l *Lab) best(among []*Instance) *Instance {
	var best *Instance
	for _, i := range among {
		if i.reign != nil && !i.dead && (best == nil || outranks(i.reign.of, best.reign.of)) {
			best = i
		}
	}
	return best
}

func outranks(a, b cache.Reign) bool {
	if a.Epoch != b.Epoch {
		return a.Epoch > b.Epoch
	}
	return slices.Compare(a.Instance[:], b.Instance[:]) < 0
}

func (l *Lab) setReign(i *Instance, r *reign, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i.reign, i.open = r, open
}

func (l *Lab) promise(i *Instance, r cache.Reign) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i.promise(r)
}

func (l *Lab) promisedTo(i *Instance) cache.Reign {
	l.mu.Lock()
	defer l.mu.Unlock()
	return i.promised
}

// where is how far an instance's log reaches.
func (l *Lab) where(i *Instance) point {
	return point{l.reigns[i.Cache.Status().Reign], i.Cache.Pos().N}
}

// Elect makes an instance the master of those that it reaches, as the election
// does: barrier, promotion, and the others follow. Instances given as also are
// asked at the barrier, whether they are reached or not.
func (l *Lab) Elect(i *Instance, also ...*Instance) bool {
	near := l.Near(i)
	epoch := l.promisedTo(i).Epoch
	for _, p := range near {
		epoch = max(epoch, l.promisedTo(p).Epoch)
	}
	sure := l.sure(i)
	if !l.barrier(i, epoch+1, near, also) {
		return false
	}
	if l.rng.IntN(4) == 0 { // others go on meanwhile, and must not
		time.Sleep(time.Duration(l.rng.Int64N(int64(100 * time.Millisecond))))
	}
	if !l.promote(i, epoch+1, near) {
		return false
	}
	if i.reign != nil {
		i.reign.unsure = !sure
	}
	return true
}

// sure reports whether an instance's master is dead and it was surely in step
// with it, so that it must hold what that one acknowledged.
func (l *Lab) sure(i *Instance) bool {
	l.Check()
	master, r := i.follows, i.followed
	_, sync, until := i.Cache.Standing()
	if i.reign != nil || master == nil || !master.dead || !sync || master.died >= until {
		return false
	}
	l.count("surely in step")
	l.mu.Lock()
	defer l.mu.Unlock()
	for value, op := range l.ops {
		if op.acked && op.wrote == r && !i.at.contains(point{r, op.n}) {
			l.failLocked("%s, at %v, takes itself for surely in step with %s, and lacks %q = %s, record %d, which returned nil at %v", i.Name, i.at, master.Name, op.key, brief([]byte(value)), op.n, op.at)
		}
	}
	return true
}

// barrier also says what must be there after it.
func (l *Lab) barrier(i *Instance, epoch uint64, near, also []*Instance) bool {
	l.Check()
	least, known := l.where(i), !l.Fabric.lossy()
	for _, p := range near {
		known = known && l.Fabric.Corrupted(i.Name, p.Name) && l.Fabric.Corrupted(p.Name, i.Name)
		at := l.where(p)
		switch {
		case at.r == nil || least.contains(at):
		case least.r == nil || at.r.of.Epoch > least.r.of.Epoch || at.contains(least):
			least = at
		case at.r.of.Epoch == least.r.of.Epoch:
			known = false // two masters wrote under one epoch
		}
	}
	var addrs []netip.AddrPort
	for _, p := range append(slices.Clone(near), also...) {
		addrs = append(addrs, p.Addr)
	}
	l.rng.Shuffle(len(addrs), func(a, b int) { addrs[a], addrs[b] = addrs[b], addrs[a] })
	l.logf("barrier of %s at %v, epoch %d, %d near, %d also; should reach %v", i.Name, l.where(i), epoch, len(near), len(also), least)
	if i.reign != nil { // a master that claims is none
		l.setReign(i, nil, false)
	}
	l.promise(i, cache.Reign{Epoch: epoch, Instance: i.ID})
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	pos, err := i.Cache.Barrier(ctx, epoch, addrs)
	cancel()
	if i.dead {
		return false
	}
	if err != nil && known && len(also) == 0 {
		l.Fail("barrier of %s: %v", i.Name, err)
	}
	i.follows, i.followed = nil, nil
	for _, p := range near {
		l.promise(p, cache.Reign{Epoch: epoch, Instance: i.ID})
	}
	l.Check()
	if now := l.where(i); known && !now.contains(least) {
		l.Fail("the barrier of %s reached %v (%v), not %v, which it could", i.Name, now, pos, least)
	}
	return true
}

// promote opens a reign, and has others follow it.
func (l *Lab) promote(i *Instance, epoch uint64, near []*Instance) bool {
	l.Check()
	if !l.Crown(i, epoch) {
		return false
	}
	l.rng.Shuffle(len(near), func(a, b int) { near[a], near[b] = near[b], near[a] })
	for _, p := range near {
		if l.rng.IntN(2) == 0 {
			time.Sleep(time.Duration(l.rng.Int64N(int64(5 * time.Millisecond))))
		}
		if l.reaches(i, p) && i.reign != nil {
			l.Follow(p, i)
		}
	}
	return true
}

// Crown promotes an instance, and nothing more: no barrier, and nobody follows.
func (l *Lab) Crown(i *Instance, epoch uint64) bool {
	synctest.Wait()
	base := l.where(i)
	r := &reign{of: cache.Reign{Epoch: epoch, Instance: i.ID}, parent: base.r, base: base.n}
	if l.reigns[r.of] != nil {
		l.Fail("%s reigned at epoch %d already", i.Name, epoch)
		return false
	}
	l.reigns[r.of] = r
	l.setReign(i, r, false)
	if err := i.Cache.Promote(r.of); err != nil {
		l.setReign(i, nil, false)
		delete(l.reigns, r.of)
		l.logf("promote %s: %v", i.Name, err)
		l.count("promotions refused")
		return false
	}
	i.follows, i.followed = nil, nil
	l.promise(i, r.of)
	if s := i.Cache.Status(); !s.Master || s.Reign != r.of {
		l.Fail("%s was promoted to epoch %d and is master %v, reign %v", i.Name, epoch, s.Master, s.Reign)
	}
	l.setReign(i, r, true)
	l.count("promotions")
	l.logf("promote %s: %v on %v", i.Name, r, base)
	return true
}

// Raise has a master go on under a greater epoch.
func (l *Lab) Raise(i *Instance, epoch uint64) bool {
	l.Check()
	if i.reign == nil {
		return false
	}
	old := i.reign
	if l.Crown(i, epoch) {
		i.reign.unsure = old.unsure
		l.count("epochs raised")
		return true
	}
	l.setReign(i, old, true) // it was refused, and goes on as it was
	return false
}

// Follow has an instance follow a master.
func (l *Lab) Follow(i, master *Instance) {
	l.Check()
	if i == master || i.dead || master.reign == nil {
		return
	}
	if i.reign != nil {
		l.logf("%s is deposed by %s", i.Name, master.Name)
		l.count("deposed")
	}
	l.setReign(i, nil, false)
	l.promise(i, master.reign.of)
	i.follows, i.followed = master, master.reign
	i.Cache.Follow(master.reign.of, master.Addr)
	l.logf("%s follows %s, %v", i.Name, master.Name, master.reign)
}

// followAnew is Follow, unless the instance follows that reign already.
func (l *Lab) followAnew(i, master *Instance) {
	if i.follows != master || i.followed != master.reign {
		l.Follow(i, master)
	}
}

// HandOver passes mastership on as planned. It reports false, and the old
// master reigns on, if the heir does not catch up.
func (l *Lab) HandOver(from, to *Instance) bool {
	l.Check()
	l.mu.Lock()
	from.open = false
	l.mu.Unlock()
	pos := from.Cache.Seal()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := from.Cache.Acked(ctx, to.ID, pos.N); err != nil {
		l.logf("hand-over from %s to %s: %v", from.Name, to.Name, err)
		if from.Cache.Promote(from.reign.of) == nil {
			l.setReign(from, from.reign, true)
		}
		return false
	}
	l.Check()
	if at := l.where(to); !at.contains(point{from.reign, pos.N}) && l.where(from).r == from.reign {
		l.Fail("%s is said to hold all up to %v, and is at %v", to.Name, point{from.reign, pos.N}, at)
	}
	l.logf("hand-over from %s to %s at %v", from.Name, to.Name, pos)
	l.count("hand-overs")
	return l.Elect(to)
}

// Resolve does what elections do in the end: wherever two masters hear each
// other the lesser one yields, and slaves follow the greatest they hear. An
// instance was promised to a newer epoch than the master's: that one goes on
// under a greater one.
func (l *Lab) Resolve() {
	for _, i := range l.Alive() {
		if i.stalled {
			continue
		}
		near := l.Near(i)
		best := l.best(append(near, i))
		if best == nil {
			continue
		}
		if best == i {
			epoch, raise := l.promisedTo(i).Epoch, outranks(l.promisedTo(i), i.reign.of)
			for _, p := range near {
				epoch = max(epoch, l.promisedTo(p).Epoch)
				raise = raise || outranks(l.promisedTo(p), i.reign.of) || p.reign != nil && p.reign.of.Epoch == i.reign.of.Epoch
			}
			if raise && !l.Raise(i, epoch+1) {
				continue
			}
			for _, p := range near {
				l.followAnew(p, i)
			}
		} else {
			l.followAnew(i, best)
		}
	}
}

// Calm ends all faults and waits until all copies are complete and equal.
func (l *Lab) Calm(limit time.Duration) bool {
	l.logf("calm")
	l.Fabric.SetLink(Link{Delay: 100 * time.Microsecond})
	l.Fabric.HealAll()
	for _, i := range l.Alive() {
		if i.stalled {
			l.Wake(i)
		}
	}
	end := l.now() + limit
	same := 0
	for l.now() < end && same < 8 {
		if len(l.Faults()) > 0 {
			return false
		}
		if l.Master() == nil {
			alive := l.Alive()
			l.Elect(slices.MaxFunc(alive, func(a, b *Instance) int {
				p, q := a.Cache.Pos(), b.Cache.Pos()
				return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.N, q.N))
			}))
		}
		l.Resolve()
		time.Sleep(100 * time.Millisecond)
		l.Check()
		same++
		if m := l.Master(); m == nil {
			same = 0
		} else {
			for _, i := range l.Alive() {
				if i.at != m.at || i.reign != nil && i != m {
					same = 0
				}
			}
		}
	}
	if same < 8 {
		for _, i := range l.Alive() {
			l.logf("%s: %+v", i.Name, i.Cache.Status())
		}
		l.Fail("not all copies are complete %v after the last fault", limit)
		return false
	}
	l.count("calms")
	l.Final()
	return len(l.Faults()) == 0
}
