package cache

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func blocking(cfg *Config) {
	synchronous(cfg)
	cfg.WhenAlone = AloneBlock
}

// PROTOCOL.md §10.6: who was pulled from takes nothing more from an older
// master, although its stream to it is open.
func TestAPullSealsASlave(t *testing.T) {
	a, b, c := start(t, "a", blocking), start(t, "b", blocking), start(t, "c", blocking)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	await(t, "b in step", func() bool { return a.saw(EventInStep) == 1 })
	if _, err := c.Barrier(t.Context(), 2, []netip.AddrPort{b.Addr()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := a.named().Put(ctx, "late", nil); err == nil {
		t.Error("the old master's put was acknowledged")
	}
	if _, ok := b.named().Get("late"); ok {
		t.Error("a sealed slave took a record of the old master")
	}
	await(t, "the old master to be told", func() bool { return a.saw(EventDeposed) > 0 })
}

func TestAPullSealsAMaster(t *testing.T) {
	a, c := start(t, "a", nil), start(t, "c", nil)
	a.promote(1)
	a.put("k", "v")
	if pos, err := c.Barrier(t.Context(), 5, []netip.AddrPort{a.Addr()}); err != nil || pos != a.Pos() {
		t.Fatalf("%v, %v, want %v", pos, err, a.Pos())
	}
	if err := a.named().Put(t.Context(), "late", nil); !errors.Is(err, ErrNotMaster) {
		t.Fatalf("put: %v", err)
	}
	if err := a.Promote(a.reign(4)); err == nil {
		t.Fatal("promoted below an epoch that another instance was promised")
	}
	a.promote(6)
}

// A sealed log takes nothing more, and its slaves get all of it.
func TestSealEndsWriting(t *testing.T) {
	a, b := start(t, "a", nil), start(t, "b", nil)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	a.put("k", "v")
	pos := a.Seal()
	if err := a.named().Put(t.Context(), "late", nil); !errors.Is(err, ErrNotMaster) {
		t.Fatalf("put: %v", err)
	}
	if err := a.named().Remove(t.Context(), "k"); !errors.Is(err, ErrNotMaster) {
		t.Fatalf("remove: %v", err)
	}
	if err := a.Acked(t.Context(), b.Instance(), pos.N); err != nil || b.Pos() != pos {
		t.Fatalf("%v, b at %v, want %v", err, b.Pos(), pos)
	}
}

// What is partial is for the log to say: a slave whose own rules differ does
// not find its copy wrong for ever.
func TestALocalRuleOfASlaveIsNoDifference(t *testing.T) {
	a := start(t, "a", synchronous)
	b := start(t, "b", func(cfg *Config) { synchronous(cfg); cfg.Caches[0].LocalRemovals = true })
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	a.put("k", "v")
	same(t, a, b)
	before := b.Status().Following.Silent
	await(t, "some pings", func() bool {
		_, _, until := b.Standing()
		return until > b.cfg.Now() && b.Status().Following.Silent != before
	})
	b.stop()
	if n := b.saw(EventResync); n != 0 {
		t.Fatalf("%d resyncs", n)
	}
}

// PROTOCOL.md §10.4: the greater number wins, whatever comes first.
func TestTheGreaterNumberWins(t *testing.T) {
	cfg := Config{Caches: []Spec{{Name: "c", Eternal: true}}, RingBytes: 1 << 20}
	r := newReplica(&cfg)
	if err := r.declare(0, "c", false); err != nil {
		t.Fatal(err)
	}
	do := func(op Op, n uint64, value string) {
		t.Helper()
		if err := r.apply(&record{op: op, key: []byte("k"), value: []byte(value)}, n); err != nil {
			t.Fatal(err)
		}
	}
	do(OpPut, 60, "new")
	do(OpPut, 10, "old")
	do(OpRemove, 5, "")
	if e := r.tables[0].peek("k"); e == nil || string(e.value()) != "new" || e.n != 60 {
		t.Fatalf("%+v", e)
	}
	do(OpRemove, 61, "")
	if e := r.tables[0].peek("k"); e != nil {
		t.Fatalf("%+v", e)
	}
}

// A snapshot takes the copy's place only when the records that its entries may
// come from are here too.
func TestASnapshotIsWholeWithItsLastRecord(t *testing.T) {
	b := start(t, "b", nil)
	c := b.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := &script{}
	c.stream = stream{conn: conn, connected: true}
	if err := c.prepare(&welcome{snapshot: true, base: 7, index: []declared{{DefaultName, false}}}); err != nil {
		t.Fatal(err)
	}
	building := c.stream.building
	take := func(kind frameKind, body []byte) {
		t.Helper()
		if _, _, err := c.take(conn, kind, body, false); err != nil {
			t.Fatal(err)
		}
	}
	take(frameSnapped, []byte{0, 0, 0, 0, 0, 0, 0, 9})
	if c.own == building {
		t.Fatal("taken at record 7, whole only with 9")
	}
	body := make([]byte, liveHeader)
	(&live{epoch: 1, first: 8, count: 2, last: 9}).put(body)
	for range 2 {
		rec := record{op: OpPut, key: []byte("k"), value: []byte("v")}
		at := len(body)
		body = append(body, make([]byte, rec.size())...)
		rec.put(body[at:])
	}
	take(frameLive, body)
	if c.own != building || c.own.ring.last != 9 {
		t.Fatal("not taken with record 9")
	}
}

// A copy that differs without a reason is noticed, and fetched anew.
func TestADifferentCopyIsFetchedAnew(t *testing.T) {
	for name, spoil := range map[string]func(*table, *entry){
		"another number":   func(x *table, e *entry) { x.discount(e.n); e.n++; x.count(e.n) },
		"an entry too few": func(x *table, e *entry) { x.remove(e) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t, "a", synchronous), start(t, "b", synchronous)
			a.promote(1)
			b.Follow(a.reign(1), a.Addr())
			a.put("k", "v")
			same(t, a, b)
			b.mu1(func(r *replica) { spoil(r.tables[0], r.tables[0].peek("k")) })
			await(t, "the event", func() bool { return b.saw(EventResync) == 1 })
			await(t, "equal copies", func() bool {
				var x, y digest
				a.mu1(func(r *replica) { x = r.digest() })
				b.mu1(func(r *replica) { y = r.digest() })
				return x == y
			})
			same(t, a, b)
		})
	}
}

// A master serves so many streams and no more; who comes then is told so.
func TestFollowersAreBounded(t *testing.T) {
	a := start(t, "a", nil)
	a.promote(1)
	c := a.Cache
	comes := func(id int) (*follower, error) {
		f := &follower{c: c, conn: &script{}, instance: InstanceID{byte(id), byte(id >> 8), 1}, wake: make(chan struct{}, 1)}
		_, err := c.admit(f, &hello{mode: modeFollow, instance: f.instance})
		return f, err
	}
	var all []*follower
	for id := range maxFollowers {
		f, err := comes(id)
		if err != nil {
			t.Fatalf("slave %d of %d: %v", id+1, maxFollowers, err)
		}
		all = append(all, f)
	}
	if len(all) != 256 {
		t.Errorf("%d are served, want 256", len(all))
	}
	if _, err := comes(maxFollowers); !errors.Is(err, errBusy) {
		t.Errorf("one more: %v, want %v", err, errBusy)
	}
	c.mu.Lock()
	delete(c.followers, all[0])
	c.mu.Unlock()
	if _, err := comes(maxFollowers); err != nil {
		t.Errorf("one more, when another has left: %v", err)
	}
	c.mu.Lock()
	clear(c.followers)
	c.mu.Unlock()
}

// A put that waits when the set grows is released only when the old and the new
// members hold the record of the change.
func TestASetThatChangesCountsOnceItIsKnown(t *testing.T) {
	a := start(t, "a", blocking)
	a.promote(1)
	c := a.Cache
	slave := func(id byte) *follower {
		return &follower{c: c, conn: &script{}, from: c.own, instance: InstanceID{id}, wake: make(chan struct{}, 1), heard: c.quiet()}
	}
	one, two := slave(1), slave(2)
	c.mu.Lock()
	c.followers[one], c.followers[two] = struct{}{}, struct{}{}
	c.join(one)
	one.acked = c.own.ring.last
	c.release()
	n := c.own.ring.append(&record{op: OpPut, key: []byte("k")})
	g := c.wait(n)
	c.join(two)
	one.acked, two.acked = n, n
	c.release()
	select {
	case <-g.done:
		t.Error("released before the slaves know that there are two of them")
	default:
	}
	one.acked = c.own.ring.last
	two.acked = c.own.ring.last
	c.release()
	select {
	case <-g.done:
	default:
		t.Error("not released although both hold everything")
	}
	c.mu.Unlock()
}

func TestOfEqualOrphansTheNewestIsKept(t *testing.T) {
	id := orphanID{"k", Reign{1, InstanceID{1}}}
	other := orphanID{"k", Reign{2, InstanceID{1}}}
	got := new(Cache).dedupe([]lost{
		{"c", id, orphan{n: 5}}, {"c", id, orphan{n: 7}}, {"c", other, orphan{n: 1}}, {"c", id, orphan{n: 7}}, {"d", id, orphan{n: 2}},
	})
	if len(got) != 3 || got[0].n != 7 || got[1].id != other || got[2].table != "d" {
		t.Fatalf("%+v", got)
	}
}

// A cache that is declared and written to in one frame holds each key once.
func TestDeclaredAndWrittenInOneFrame(t *testing.T) {
	r := newReplica(&Config{RingBytes: 1 << 20})
	var b []byte
	for _, rec := range []record{
		{op: opDeclare, key: []byte("late")},
		{op: OpPut, key: []byte("k"), value: []byte("1")},
		{op: OpUpdate, key: []byte("k"), value: []byte("2")},
	} {
		at := len(b)
		b = append(b, make([]byte, rec.size())...)
		rec.put(b[at:])
	}
	if err := r.applyAll(b, 3); err != nil {
		t.Fatal(err)
	}
	late := r.named("late")
	if e := late.peek("k"); late.len() != 1 || e == nil || string(e.value()) != "2" {
		t.Fatalf("%d entries, %v", late.len(), e)
	}
}

// A read counts as use where the time to idle is looked after: on the master.
func TestAReadCountsOnTheMaster(t *testing.T) {
	idle := func(cfg *Config) { cfg.Caches = []Spec{{Name: DefaultName, TimeToIdle: time.Hour}} }
	a, b := start(t, "a", idle), start(t, "b", idle)
	a.promote(1)
	b.Follow(a.reign(1), a.Addr())
	a.put("k", "v")
	same(t, a, b)
	for i, counts := range map[*instance]bool{a: true, b: false} {
		i.mu1(func(r *replica) { r.tables[0].peek("k").used = -1 })
		if _, ok := i.named().Get("k"); !ok {
			t.Fatalf("%s has lost it", i.cfg.Name)
		}
		i.mu1(func(r *replica) {
			if used := r.tables[0].peek("k").used; (used != -1) != counts {
				t.Errorf("%s: used at %d", i.cfg.Name, used)
			}
		})
	}
}

// A master that outruns its slaves waits for an ack, and a little longer before
// they fall off the ring; not for who does not answer.
func TestPace(t *testing.T) {
	const limit = 4 << 20
	a := start(t, "a", func(cfg *Config) { cfg.RingBytes = limit })
	a.promote(1)
	c := a.Cache
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.own.ring
	for r.bytes < limit*3/4 || r.last%paceEvery != 0 {
		r.append(&record{op: OpPut, key: []byte("k"), value: make([]byte, 200)})
	}
	held := (r.last - r.oldest.first + 1) * limit / uint64(r.bytes)
	for _, tt := range []struct {
		name  string
		lag   uint64
		heard time.Duration // ago
		waits bool
		least time.Duration
	}{
		{"in step", 10, 0, false, 0},
		{"behind by a third", held / 3, 0, false, 0},
		{"behind by more than half", held * 6 / 10, 0, true, 0},
		{"silent", held * 6 / 10, 2 * paceSilence, false, 0},
	} {
		f := &follower{c: c, acked: r.last - tt.lag, heard: c.quiet() - tt.heard}
		c.followers[f] = struct{}{}
		acked, least := c.pace()
		delete(c.followers, f)
		if (acked != nil) != tt.waits || least != tt.least {
			t.Errorf("%s: waits %v, for at least %v", tt.name, acked != nil, least)
		}
	}
}
