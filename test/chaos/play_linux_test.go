package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	// A machine that is busy keeps these; tDown is their product.
	delay   = 200 * time.Millisecond
	retries = 8
	tDown   = retries * delay
	// settle bounds the time from the end of the last fault to one master that
	// all follow: an instance that was started last listens for tDown, a voter
	// keeps its promises for as long, a second try of a claim takes up to as
	// long again. The rest is for processes to start on a machine that is busy.
	settle = 3*tDown + 3*time.Second
	soon   = 20 * time.Second
	// lastly is how long a reign must last to count: three heartbeats.
	lastly = 3 * delay
)

// play is a cluster of three under load.
type play struct {
	*lab.Cluster
	t      *testing.T
	w      *network
	m      *lab.Market
	quorum bool
	binary string
	seed   uint64
	rng    *rand.Rand // of the round

	nodes    [nodes + 1]*lab.Instance // nil: not running
	started  []*lab.Instance          // all that ever were
	meant    map[*lab.Instance]bool   // to end: they were killed
	journal  string
	rules    map[int]rule // of the faults that last, by number
	lastRule int
	frozen   map[int][]int // processes, by node
	calm     []stretch
	out      map[part][]stretch // when nodes and keepers stood still, or were dead
	worst    time.Duration      // from the last fault to one master
	count    map[string]int
}

// newPlay starts everything and waits until messages flow.
func newPlay(t *testing.T, binary string, quorum bool, seed uint64) *play {
	t.Helper()
	set := []string{fmt.Sprintf("failover.delay=%d", delay.Milliseconds()), fmt.Sprintf("failover.retries=%d", retries)}
	if quorum {
		set = append(set, "failover.quorum=2")
	}
	c := lab.New(t, set...)
	p := &play{
		Cluster: c, t: t, quorum: quorum, binary: binary, seed: seed,
		meant: map[*lab.Instance]bool{}, journal: filepath.Join(c.Dir, "chaos"), rules: map[int]rule{},
		frozen: map[int][]int{}, count: map[string]int{}, out: map[part][]stretch{},
	}
	p.w = newNetwork(t, seed, func(i int) string { return c.StateDir(name(i)) })
	p.m = lab.OpenMarket(t, filepath.Join(c.Dir, "market"), 0, 4*time.Millisecond, (*shop.Source).Make)
	t.Cleanup(func() { // a keeper stays for as long as somebody may ask for its word
		p.heal(nil)
		p.rules = nil
		p.tell()
		for _, i := range p.Others(nil) {
			p.meant[i] = true
			i.Signal(syscall.SIGTERM)
		}
		for _, i := range p.Others(nil) {
			i.Exit(soon)
		}
	})
	for i := 1; i <= nodes; i++ {
		p.start(i)
	}
	p.whole(soon)
	return p
}

func name(i int) string { return fmt.Sprintf("n%d", i) }

// start starts a node.
func (p *play) start(i int) {
	p.t.Helper()
	p.nodes[i] = p.Run(lab.Run{
		Name: name(i), Interface: "eth0", Prefix: p.w.inside(i), Program: []string{p.binary, "run"},
		Command: []string{self(p.t), workerVerb, "-journal", p.journal, "-market", p.m.Addr},
	})
	p.started = append(p.started, p.nodes[i])
}

// master is the number of the instance that says it reigns, or 0. It does not
// ask those that cannot answer.
func (p *play) master() int {
	for i := 1; i <= nodes; i++ {
		if p.nodes[i] == nil || len(p.frozen[i]) > 0 {
			continue
		}
		if s, err := p.nodes[i].Status(); err == nil && s.Instance.State == admin.StateMaster {
			return i
		}
	}
	return 0
}

// whole waits until one instance reigns, all follow it, messages flow, and the
// caches are in step; and until that lasts. What happened just before the last
// fault ended may still end a reign: a lease that was not renewed runs out. Or
// it raises an epoch: of a reign in another part of a split the master hears
// late, and its command is started anew.
func (p *play) whole(within time.Duration) {
	p.t.Helper()
	from := time.Now()
	var of []*lab.Instance
	for i := 1; i <= nodes; i++ {
		of = append(of, p.nodes[i])
	}
	var took time.Duration // until the reign that lasts
	for lasts := false; !lasts; {
		master := p.Settled(within, of...)
		// Without a quorum two may have worked in a split; the one that gave way may
		// take some time to end.
		lab.Wait(p.t, "only the master to work", within, func() bool {
			now, err := master.Status()
			return err == nil && now.Instance.State != admin.StateMaster || !slices.ContainsFunc(of, func(i *lab.Instance) bool {
				s, err := i.Status()
				return err != nil || i != master && s.Workload.State != "stopped"
			})
		})
		if took = time.Since(from); took > within {
			p.t.Fatalf("waited %v for one master that all follow, and that goes on", within)
		}
		done := p.m.Sink.UpTo()
		lab.Wait(p.t, "messages to flow", soon, func() bool { return p.m.Sink.UpTo() >= done+20 })
		var now admin.Status
		lab.Wait(p.t, "the command to run, and all caches to be in step", soon, func() (ok bool) {
			var err error
			if now, err = master.Status(); err != nil {
				return false
			}
			lost := now.Instance.State != admin.StateMaster
			return lost || now.Workload.State == "running" && len(now.Cache.InSync) == nodes-1
		})
		time.Sleep(lastly) // the script of the play
		later, err := master.Status()
		lasts = err == nil && later.Instance.State == admin.StateMaster && later.Instance.Epoch == now.Instance.Epoch &&
			later.Workload.State == "running" && later.Workload.PID == now.Workload.PID
	}
	if within != soon {
		p.worst = max(p.worst, took)
		p.t.Logf("    one master after %v, and messages flow after %v", took.Round(time.Millisecond), time.Since(from).Round(time.Millisecond))
	}
}

// upto is a time of up to d by chance.
func (p *play) upto(d time.Duration) time.Duration { return time.Duration(p.rng.Int64N(int64(d))) }

// round breaks something, heals it, and watches the calm.
func (p *play) round(kinds []fault) {
	p.t.Helper()
	n := 1 + p.rng.IntN(3)
	var undo []func()
	for range n {
		f := kinds[p.rng.IntN(len(kinds))]
		on, aim := 1+p.rng.IntN(nodes), p.rng.IntN(2) == 0
		wait := p.upto(tDown)
		if aim {
			if m := p.master(); m != 0 {
				on = m
			}
		}
		back := f.begin(p, on)
		if back == nil {
			p.t.Logf("  %s: %s does not apply", name(on), f.name)
		} else {
			p.t.Logf("  %s: %s", name(on), f.name)
			p.count[f.name]++
			undo = append(undo, back)
		}
		time.Sleep(wait) // the script of the play, not a wait for something
	}
	time.Sleep(100*time.Millisecond + p.upto(3*tDown))
	p.rng.Shuffle(len(undo), func(i, j int) { undo[i], undo[j] = undo[j], undo[i] })
	p.heal(undo)
	for i := 1; i <= nodes; i++ {
		if p.nodes[i] != nil && p.nodes[i].Ended() && !p.meant[p.nodes[i]] {
			p.t.Errorf("%s ended by itself, exit %d", name(i), p.nodes[i].Exit(soon))
			p.nodes[i] = nil
		}
		if p.nodes[i] == nil {
			p.start(i)
		}
	}
	p.whole(settle)
	from := boottime.Now()
	time.Sleep(300*time.Millisecond + p.upto(tDown))
	p.calm = append(p.calm, stretch{From: from, To: boottime.Now()})
}

// heal ends faults, and all that lasts.
func (p *play) heal(undo []func()) {
	for _, f := range undo {
		f()
	}
	for i, pids := range p.frozen {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		delete(p.frozen, i)
	}
}

// end lets the last messages through, stops, and judges.
func (p *play) end() []string {
	p.t.Helper()
	made := p.m.Close(soon)
	r := p.record()
	r.Made = made
	faults := judge(r)
	for _, i := range p.started {
		if n := i.Count("panic"); n > 0 {
			faults = append(faults, fmt.Sprintf("%s panicked", i.Name))
		}
	}
	late := 0
	for _, e := range r.Books {
		if e.Verdict == shop.Stale {
			late++
		}
	}
	p.t.Logf("%d messages, %d late writes refused, %d commands, at most %v from the last fault to one master; faults: %v",
		made, late, len(runsOf(r.Beats)), p.worst.Round(time.Millisecond), p.count)
	return faults
}

// record is what the play left behind so far. What was made may be on its way.
func (p *play) record() record {
	p.t.Helper()
	b, err := os.ReadFile(p.journal)
	if err != nil {
		p.t.Fatal(err)
	}
	r := record{Quorum: p.quorum, Calm: p.calm, Unguarded: overlaps(p.out[node], p.out[keeper]), Books: p.m.Sink.Books()}
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		got, err := parseBeat(line)
		if err != nil {
			p.t.Fatalf("journal line %q: %v", line, err)
		}
		r.Beats = append(r.Beats, got)
	}
	return r
}

// run plays rounds until ctx ends, or, if early is set, until something is
// wrong.
func (p *play) run(ctx context.Context, kinds []fault, early bool) {
	p.t.Helper()
	for n := 1; ctx.Err() == nil && !p.t.Failed() && (!early || len(judge(p.record())) == 0); n++ {
		p.t.Logf("round %d, %v", n, boottime.Now())
		p.rng = rand.New(rand.NewPCG(p.seed, uint64(n))) // however many draws those before took
		p.round(kinds)
	}
}
