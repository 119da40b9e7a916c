package failover_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/listen"
)

var hours = flag.Float64("hours", 0.5, "virtual hours of the random test of managers")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire joins managers in memory. Packets travel as bytes; a full receiver
// loses them, as a socket does.
type wire struct {
	mu    sync.Mutex
	rng   *rand.Rand
	loss  float64
	ends  map[netip.AddrPort]*end
	codec codec
}

// codec is heartbeat.Codec, or heartbeat.PingCodec.
type codec interface {
	Seal(dst []byte, p *heartbeat.Packet) ([]byte, error)
	Open(b []byte, p *heartbeat.Packet) error
}

func newWire(t *testing.T, seed uint64) *wire {
	t.Helper()
	c, err := heartbeat.NewCodec("test", 0, heartbeat.Key{7})
	if err != nil {
		t.Fatal(err)
	}
	return &wire{rng: rand.New(rand.NewPCG(seed, 0)), ends: map[netip.AddrPort]*end{}, codec: c}
}

// end is one instance's place on the wire: Sender and source of packets.
type end struct {
	w      *wire
	addr   netip.AddrPort
	in     chan listen.Received
	broken bool // sends fail
	cut    bool // sends and receipts vanish
}

func (w *wire) join(i int) *end {
	e := &end{w: w, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 2710), in: make(chan listen.Received, 256)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[e.addr] = e
	return e
}

func (w *wire) leave(e *end) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, e.addr)
}

func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (e *end) Send(p *heartbeat.Packet) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.broken {
		return errors.New("network is unreachable")
	}
	for _, to := range w.ends {
		if to != e {
			w.deliver(e, to, p)
		}
	}
	return nil
}

func (e *end) SendTo(p *heartbeat.Packet, a netip.AddrPort) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.broken {
		return errors.New("network is unreachable")
	}
	if to := w.ends[a]; to != nil && to != e {
		w.deliver(e, to, p)
	}
	return nil
}

func (w *wire) deliver(from, to *end, p *heartbeat.Packet) {
	if from.cut || to.cut || w.rng.Float64() < w.loss {
		return
	}
	b, err := w.codec.Seal(nil, p)
	if err != nil {
		panic(err)
	}
	q := new(heartbeat.Packet)
	if err := w.codec.Open(b, q); err != nil {
		panic(err)
	}
	select {
	case to.in <- listen.Received{Packet: q, From: from.addr, Multicast: true}:
	default:
	}
}

// disk keeps the state of an instance across its runs.
type disk struct {
	mu    sync.Mutex
	state election.State
	err   error
	slow  time.Duration
}

func (d *disk) Save(s election.State) error {
	time.Sleep(d.slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	d.state = s
	return nil
}

func (d *disk) load() election.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// job is a Work that counts, and checks that nobody works beside it.
type job struct {
	t       *testing.T
	m       *failover.Manager
	world   *world
	takes   time.Duration // how long it takes to stop
	mu      sync.Mutex
	working bool
	epoch   uint64
	opened  int
	stops   []bool
	until   time.Duration // the furthest guard that was told
}

type world struct {
	mu      sync.Mutex
	working map[*job]bool
	most    int
}

func (w *world) set(j *job, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if yes {
		w.working[j] = true
	} else {
		delete(w.working, j)
	}
	w.most = max(w.most, len(w.working))
}

func (w *world) now() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.working)
}

func (j *job) Open(epoch uint64) {
	if !j.m.Guard().Open() {
		j.t.Error("work is opened with a closed guard")
	}
	j.mu.Lock()
	j.working, j.epoch, j.opened = true, epoch, j.opened+1
	j.mu.Unlock()
	j.world.set(j, true)
}
func (j *job) Guard(g election.Guard) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.until = max(j.until, g.Until)
}
func (j *job) Epoch(epoch uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if epoch <= j.epoch {
		j.t.Errorf("epoch goes from %d to %d", j.epoch, epoch)
	}
	j.epoch = epoch
}
func (j *job) Stop(planned bool) {
	j.mu.Lock()
	j.stops = append(j.stops, planned)
	j.mu.Unlock()
	if !planned && j.m.Guard().Open() {
		j.t.Error("the work is lost and the guard is open")
	}
	go func() {
		time.Sleep(j.takes)
		j.end()
		j.m.WorkStopped()
	}()
}

func (j *job) end() {
	j.mu.Lock()
	j.working = false
	j.mu.Unlock()
	j.world.set(j, false)
}

// instance is one manager with all it needs.
type instance struct {
	m      *failover.Manager
	self   heartbeat.InstanceID
	end    *end
	job    *job
	disk   *disk
	cancel context.CancelFunc
	kill   chan struct{}
	done   chan error
	mu     sync.Mutex
	events []election.EventType
}

func (x *instance) saw(e election.EventType) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, got := range x.events {
		if got == e {
			n++
		}
	}
	return n
}

type cluster struct {
	t     *testing.T
	w     *wire
	world *world
	start time.Time
	boots byte
	edit  func(*failover.Config)
}

func newCluster(t *testing.T, seed uint64) *cluster {
	return &cluster{t: t, w: newWire(t, seed), world: &world{working: map[*job]bool{}}, start: time.Now()}
}

func (c *cluster) run(i int, d *disk) *instance {
	c.t.Helper()
	c.boots++
	x := &instance{end: c.w.join(i), disk: d, kill: make(chan struct{}), done: make(chan error, 1)}
	x.job = &job{t: c.t, world: c.world, takes: 30 * time.Millisecond}
	name := fmt.Sprint("n", i)
	cfg := failover.Config{
		Election: election.Config{
			Self: heartbeat.InstanceID{c.boots, byte(i)}, Node: heartbeat.NewNodeID("test", name), Name: name,
			Delay: time.Second, Retries: 5, Candidate: true, Votes: 1, Signed: true, Seed: uint64(c.boots),
		},
		Saved: d.load(), Saver: d, Sender: x.end, Packets: x.end.in, Work: x.job,
		Now: func() time.Duration { return time.Since(c.start) + time.Hour },
		Observe: func(e election.Event) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.events = append(x.events, e.Type)
		},
	}
	if c.edit != nil {
		c.edit(&cfg)
	}
	x.self = cfg.Election.Self
	m, err := failover.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	x.m, x.job.m = m, m
	ctx, cancel := context.WithCancel(c.t.Context())
	x.cancel = cancel
	go func() {
		err := m.Run(ctx, x.kill)
		c.w.leave(x.end)
		x.done <- err
	}()
	return x
}

// crash ends an instance and its work at once.
func (x *instance) crash() {
	close(x.kill)
	<-x.done
	x.job.end()
}

func (x *instance) stop() {
	x.cancel()
	if err := <-x.done; err != nil {
		x.job.t.Error(err)
	}
}

func (x *instance) working() bool {
	x.job.mu.Lock()
	defer x.job.mu.Unlock()
	return x.job.working
}

func masterOf(xs ...*instance) *instance {
	for _, x := range xs {
		if x.working() {
			return x
		}
	}
	return nil
}

func TestCrashHandOverAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		disks := []*disk{{}, {}, {}}
		xs := make([]*instance, 3)
		for i := range xs {
			xs[i] = c.run(i, disks[i])
		}
		time.Sleep(8 * time.Second)
		m := masterOf(xs...)
		if m == nil || c.world.now() != 1 {
			t.Fatalf("%d at work after 8 s", c.world.now())
		}
		i := 0
		for xs[i] != m {
			i++
		}
		m.crash()
		time.Sleep(6500 * time.Millisecond)
		second := masterOf(xs...)
		if second == nil || second == m {
			t.Fatal("nobody took over within 6.5 s")
		}
		if second.job.epoch < 2 {
			t.Errorf("epoch %d after the first take-over", second.job.epoch)
		}
		xs[i] = c.run(i, disks[i])
		time.Sleep(10 * time.Second)
		if !second.working() || c.world.now() != 1 {
			t.Error("a return changed the master")
		}
		if err := second.m.HandOver(xs[i].self, "test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if !xs[i].working() || second.working() {
			t.Error("the hand-over took more than 100 ms")
		}
		for _, x := range xs {
			x.stop()
		}
		if c.world.most != 1 {
			t.Errorf("%d at work at once", c.world.most)
		}
	})
}

func TestSendsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		a := c.run(0, &disk{})
		time.Sleep(8 * time.Second)
		if !a.working() {
			t.Fatal("an instance alone does not work")
		}
		until := a.m.Guard().Until()
		c.w.set(func() { a.end.broken = true })
		time.Sleep(2 * time.Second)
		a.job.mu.Lock()
		if a.job.until > until {
			t.Errorf("a guard was told that rests on a packet that did not leave, %v further", a.job.until-until)
		}
		a.job.mu.Unlock()
		time.Sleep(3 * time.Second)
		if a.m.Guard().Open() || a.working() {
			t.Error("a master whose packets do not leave works on")
		}
		time.Sleep(20 * time.Second)
		if a.working() {
			t.Error("an instance that cannot send became master")
		}
		c.w.set(func() { a.end.broken = false })
		time.Sleep(20 * time.Second)
		if !a.working() {
			t.Error("it does not come back")
		}
		a.stop()
	})
}

func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		a := c.run(0, &disk{err: errors.New("read-only file system")})
		time.Sleep(8 * time.Second)
		if !a.working() {
			t.Error("without a quorum a broken disk must not keep an instance from working")
		}
		if a.saw(election.EventSaveFailed) == 0 {
			t.Error("nobody is told")
		}
		a.stop()

		c = newCluster(t, 2)
		c.edit = func(cfg *failover.Config) { cfg.Election.Quorum = 2 }
		x := c.run(0, &disk{err: errors.New("read-only file system")})
		y := c.run(1, &disk{})
		time.Sleep(time.Minute)
		if x.working() {
			t.Error("a voter that cannot store became master")
		}
		x.stop()
		y.stop()
	})
}

// TestSlowDisk: a disk that takes seconds delays no heartbeat of a master.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		a, b := c.run(0, &disk{slow: 3 * time.Second}), c.run(1, &disk{slow: 3 * time.Second})
		time.Sleep(5 * time.Minute)
		if c.world.now() != 1 || a.job.opened+b.job.opened != 1 {
			t.Errorf("%d at work, opened %d times", c.world.now(), a.job.opened+b.job.opened)
		}
		a.stop()
		b.stop()
	})
}

// TestStopAtEachPoint cancels three instances after every length of time up to
// a settled cluster: each must end, with its work.
func TestStopAtEachPoint(t *testing.T) {
	for ms := range 80 {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, uint64(ms))
			xs := []*instance{c.run(0, &disk{}), c.run(1, &disk{}), c.run(2, &disk{})}
			time.Sleep(time.Duration(ms) * 97 * time.Millisecond)
			for _, x := range xs {
				x.stop()
			}
			if c.world.now() != 0 || c.world.most > 1 {
				t.Errorf("stopped after %d·97 ms: %d still work, %d at most", ms, c.world.now(), c.world.most)
			}
		})
	}
}

// TestRandom is real goroutines and timers under loss, crashes, cuts and
// orders: with a quorum never two at work.
func TestRandom(t *testing.T) {
	runs := max(1, int(*hours*60/10))
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 99))
			c := newCluster(t, uint64(seed))
			c.edit = func(cfg *failover.Config) { cfg.Election.Quorum = 2 }
			c.w.loss = 0.05
			disks := []*disk{{}, {}, {}}
			xs := make([]*instance, 3)
			for i := range xs {
				xs[i] = c.run(i, disks[i])
			}
			for range 60 {
				time.Sleep(time.Duration(r.Int64N(int64(15 * time.Second))))
				i := r.IntN(3)
				switch r.IntN(5) {
				case 0:
					xs[i].crash()
					xs[i] = c.run(i, disks[i])
				case 1:
					c.w.set(func() { xs[i].end.cut = !xs[i].end.cut })
				case 2:
					if m := masterOf(xs...); m != nil {
						_ = m.m.HandOver(heartbeat.InstanceID{}, "test")
					}
				case 3:
					xs[i].stop()
					xs[i] = c.run(i, disks[i])
				case 4:
					_ = xs[i].m.Tell(election.Drain{})
					time.Sleep(time.Duration(r.Int64N(int64(3 * time.Second))))
					_ = xs[i].m.Tell(election.Resume{})
				}
			}
			c.w.set(func() {
				c.w.loss = 0
				for _, x := range xs {
					x.end.cut = false
				}
			})
			time.Sleep(12 * time.Second)
			if c.world.now() != 1 {
				t.Errorf("seed %d: %d at work in a calm time", seed, c.world.now())
			}
			if c.world.most != 1 {
				t.Errorf("seed %d: %d at work at once", seed, c.world.most)
			}
			for _, x := range xs {
				x.stop()
			}
		})
	}
	t.Logf("%d runs of about ten virtual minutes", runs)
}

func TestCallsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		a := c.run(0, &disk{})
		a.stop()
		if _, err := a.m.View(); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("View after the end: %v", err)
		}
		if err := a.m.Tell(election.Resume{}); !errors.Is(err, failover.ErrStopped) {
			t.Errorf("Tell after the end: %v", err)
		}
	})
}
