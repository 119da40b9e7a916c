//go:build linux

package main

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// settings are an instance's, as far as this bench has to know them.
type settings struct {
	delay   time.Duration
	retries int
}

func (s settings) down() time.Duration { return s.delay * time.Duration(s.retries) }

// soon bounds what a busy machine may do late; it is no measure.
const soon = 2 * time.Minute

// perCore is how many packets a second each core has to take in, at most: with
// more the machine would be measured, and not what runs on it. So many instances
// on few cores get a longer delay.
const perCore = 7000

// startEach is what the start of one may take of a machine that starts many.
const startEach = 50 * time.Millisecond

// at is the settings of a cluster of n on this machine.
func (s settings) at(n int) settings {
	for s.delay.Seconds()*perCore*float64(runtime.NumCPU()) < float64(n*n) {
		s.delay += time.Second / 2
	}
	return s
}

// mostRatio is how much more processor time idle instances may take than as many
// bare receivers of the same packets.
const mostRatio = 2.5

// manyAtLeast is from how many on that holds: what an instance does whether or
// not there are others weighs the more, the fewer there are.
const manyAtLeast = 200

// TestScale measures each size at default settings.
func TestScale(t *testing.T) {
	if !*measure {
		t.Skip("needs -measure")
	}
	if testing.Short() {
		t.Skip("TestCounts is the short one")
	}
	def, err := config.Load(config.Source{Hostname: "scale", Sets: []string{"failover.state.dir=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	var all []result
	for _, n := range clusterSizes(t) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := plan{settings: settings{def.Election.Delay, def.Election.Retries}.at(n), kills: 5, both: 3}
			p.idle = max(*idleFor, 15*p.delay) // heartbeats are counted
			r := run(t, n, p)
			r.check(t)
			// They did not start all at once, and those that go first may be the last.
			if most := r.soonest(); r.election-r.startup > most {
				t.Errorf("a master %v after the last start, want %v at most", r.election-r.startup, most)
			}
			if most := startEach * time.Duration(n); r.startup > most {
				t.Errorf("all started in %v, want %v at most", r.startup, most)
			}
			// A proved death leaves W₀ for objections, which a machine that is
			// busy otherwise may let come too late.
			if kills := r.kills + r.both; r.killReigns > kills {
				t.Errorf("%d reigns after %d kills", r.killReigns, kills)
			}
			if ratio := r.ratio(); n >= manyAtLeast && ratio > mostRatio {
				t.Errorf("%.2f times the processor time of bare receivers, want %.1f at most", ratio, mostRatio)
			}
			all = append(all, r)
		})
	}
	report(t, all)
}

// TestCounts is what a busy machine cannot spoil, with few instances: who
// reigned, and how many packets went in one interval.
func TestCounts(t *testing.T) {
	if !*measure || !testing.Short() {
		t.Skip("needs -measure -short")
	}
	run(t, 20, plan{settings: settings{200 * time.Millisecond, 15}, idle: 4 * time.Second, kills: 1, both: 1}).check(t)
}

// plan is what is done with one cluster.
type plan struct {
	settings
	idle        time.Duration
	kills, both int // how often the node is killed, and how often its keeper with it
}

// result is what was seen of one cluster.
type result struct {
	plan
	n int

	startup  time.Duration // from the first instance that listened to the last
	election time.Duration // from the first that listened to the first master heard
	settle   time.Duration // from the last that listened until all followed
	claims   int           // of the first election
	masters  int           // reigns until the idle time was over

	window    time.Duration // of the idle time
	intervals float64       // that passed in it: heartbeats of the median instance
	group     int           // packets to the group in it
	udp       datagrams     // likewise, as the kernel counted

	slave            time.Duration // processor time in the window: of the median one
	master, keeper   time.Duration
	ours, bare       time.Duration // of all instances and the keeper; of all bare receivers
	oursPer, barePer time.Duration // for one packet that came in from the group
	slaveRSS         int           // of the greatest
	masterRSS        int
	keeperRSS        int

	killed, killedBoth []time.Duration // from the kill to the next master heard
	killReigns         int             // reigns that followed
	restart            time.Duration
	restartReigns      int
}

// soonest is when a master is predicted after a simultaneous start, at most.
func (r result) soonest() time.Duration { return r.down() + r.delay*3/2 }

// ratio is what the instances cost for one packet, to what a bare receiver does.
func (r result) ratio() float64 { return float64(r.oursPer) / float64(r.barePer) }

// check is what has to be so on any machine.
func (r result) check(t *testing.T) {
	t.Helper()
	count := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	count("reigns after the start", r.masters, 1)
	if kills := r.kills + r.both; r.killReigns < kills {
		t.Errorf("%d reigns after %d kills", r.killReigns, kills)
	}
	count("reigns after the rolling restart", r.restartReigns, 1)
	near := func(what string, got, want float64) {
		t.Helper()
		if got < 0.9*want || got > 1.1*want {
			t.Errorf("%s: %.1f in an interval, want %.1f", what, got, want)
		}
	}
	near("packets to the group", float64(r.group)/r.intervals, float64(r.n))
	near("datagrams sent", float64(r.udp.Out)/r.intervals, r.sends())
	near("datagrams received", float64(r.udp.In)/r.intervals, r.receives())
	if r.udp.Lost > 0 {
		t.Errorf("%d datagrams did not fit a socket", r.udp.Lost)
	}
}

// unicast is how many datagrams go to one instance in an interval: of the
// heartbeats each slave's to the master and the master's to each slave; of the
// gossip each instance's probe, once a second, and its answer.
func (r result) unicast() float64 {
	return 2*float64(r.n-1) + 2*float64(r.n)*r.delay.Seconds()
}

// sends is how many datagrams all send in one interval.
func (r result) sends() float64 { return float64(r.n) + r.unicast() }

// receives is how many come in: those to the group everywhere, the watcher too.
func (r result) receives() float64 { return float64(r.n*(r.n+1)) + r.unicast() }

// bench is one cluster that is measured.
type bench struct {
	*testing.T
	*lab.Cluster
	w   *watcher
	all []*lab.Instance
	result
}

func run(t *testing.T, n int, p plan) result {
	t.Helper()
	b := &bench{T: t, Cluster: lab.New(t, fmt.Sprintf("failover.delay=%d", p.delay.Milliseconds()), fmt.Sprintf("failover.retries=%d", p.retries))}
	b.plan, b.n = p, n
	b.w = watch(t, b.Cluster)
	b.start()
	b.idle()
	b.takeOvers()
	b.rolling()
	return b.result
}

// start starts all at once, as far as the machine can.
func (b *bench) start() {
	b.Helper()
	for i := range b.n {
		b.all = append(b.all, b.Start(fmt.Sprintf("n%d", i)))
	}
	b.settled()
	follow := time.Now()
	var listen []time.Time
	for _, i := range b.all {
		listen = append(listen, i.WaitLog("Network interface chosen", 1, soon).Time)
	}
	first, last := slices.MinFunc(listen, time.Time.Compare), slices.MaxFunc(listen, time.Time.Compare)
	reigns, claimed := b.w.reigns()
	b.startup, b.settle, b.claims = last.Sub(first), follow.Sub(last), claimed
	b.election = reigns[0].at.Sub(first)
	b.Logf("%d instances: all started in %v, a master after %v, all follow it %v after the last start", b.n, b.startup, b.election, b.settle)
}

// settled waits until all follow one master, and returns it.
func (b *bench) settled() (m *lab.Instance) {
	b.Helper()
	lab.Wait(b.T, "one master that all follow", soon, func() (ok bool) {
		m, ok = b.w.settled(b.all)
		return ok
	})
	return m
}

// calm waits until each instance was heard some times more, so that all know all.
func (b *bench) calm(times int) {
	b.Helper()
	from, _ := b.w.tally()
	lab.Wait(b.T, "heartbeats of all", soon, func() bool {
		now, _ := b.w.tally()
		for _, i := range b.all {
			if now[i.Name] < from[i.Name]+times {
				return false
			}
		}
		return true
	})
}

// idle measures the instances alone, then bare receivers beside them.
func (b *bench) idle() {
	b.Helper()
	m := b.settled()
	b.calm(5 + b.n/40*2) // a heard list names 40
	kept := keeper(b.T, m)
	var slaves []int
	for _, i := range b.all {
		if i != m {
			slaves = append(slaves, i.PID)
		}
	}
	every := append([]int{m.PID, kept}, slaves...)
	use, before := meter(every), snmp(b.T)
	each, group := b.w.tally()
	start := time.Now()
	<-time.After(b.plan.idle) // what is measured is the passing of time itself
	b.window = time.Since(start)
	now, upTo := b.w.tally()
	after := snmp(b.T)
	use = meter(every).since(use)

	b.group = upTo - group
	var beats []int
	for _, i := range b.all {
		beats = append(beats, now[i.Name]-each[i.Name])
	}
	slices.Sort(beats)
	b.intervals = float64(middle(beats))
	b.udp = datagrams{after.In - before.In, after.Out - before.Out, after.Lost - before.Lost}
	b.slave, b.master, b.keeper, b.ours = middle(use.of(slaves)), use.cpu[m.PID], use.cpu[kept], use.sum()
	b.oursPer = b.ours / time.Duration(b.n*b.group)
	for _, pid := range slaves {
		b.slaveRSS = max(b.slaveRSS, lab.RSS(pid))
	}
	b.masterRSS, b.keeperRSS = lab.RSS(m.PID), lab.RSS(kept)
	b.beside()
	reigns, _ := b.w.reigns()
	b.masters = len(reigns)
	b.Logf("in an interval: %.1f packets to the group, %.1f datagrams sent, %.1f received", float64(b.group)/b.intervals, float64(b.udp.Out)/b.intervals, float64(b.udp.In)/b.intervals)
	b.Logf("idle: %.2f %% of a core each, bare %.2f %%; %.2f times as much for a packet", percent(b.ours, b.window)/float64(b.n), percent(b.bare, b.window)/float64(b.n), b.ratio())
}

// beside measures as many bare receivers on the group that goes on.
func (b *bench) beside() {
	b.Helper()
	bare := listenAlong(b.T, b.Cluster, b.n)
	var pids []int
	for _, r := range bare {
		pids = append(pids, r.cmd.Process.Pid)
	}
	b.calm(3)
	use := meter(pids)
	_, group := b.w.tally()
	<-time.After(b.plan.idle)
	_, upTo := b.w.tally()
	b.bare = meter(pids).since(use).sum()
	b.barePer = b.bare / time.Duration(b.n*(upTo-group))
	for _, r := range bare {
		if n := r.end(b.T); n < upTo-group {
			b.Errorf("a bare receiver read %d packets, the watcher %d", n, upTo-group)
		}
	}
}

// takeOvers kills masters.
func (b *bench) takeOvers() {
	b.Helper()
	had, _ := b.w.reigns()
	for range b.kills {
		b.killed = append(b.killed, b.kill(false))
	}
	for range b.both {
		b.killedBoth = append(b.killedBoth, b.kill(true))
	}
	have, _ := b.w.reigns()
	b.killReigns = len(have) - len(had)
	b.Logf("take-over after kill -9 of the node %v, and of its keeper too %v", b.killed, b.killedBoth)
}

// kill kills the master, waits for the next, and starts the dead one again.
func (b *bench) kill(both bool) time.Duration {
	b.Helper()
	m := b.settled()
	b.calm(3 + b.n/40)
	had, _ := b.w.reigns()
	old := b.w.known(m.Name)
	kept := keeper(b.T, m)
	at := time.Now()
	if both {
		_ = syscall.Kill(kept, syscall.SIGKILL) // the instance is killed if it did not end with it
	}
	m.KillHard()
	var have []change
	lab.Wait(b.T, "the next master", soon, func() bool {
		have, _ = b.w.reigns()
		return len(have) > len(had)
	})
	b.again(m)
	lab.Wait(b.T, "the one that was killed", soon, func() bool { return b.w.known(m.Name) != old })
	b.settled()
	return have[len(had)].at.Sub(at)
}

// again starts an instance that has ended.
func (b *bench) again(i *lab.Instance) {
	b.Helper()
	b.all[slices.Index(b.all, i)] = b.Start(i.Name)
}

// rolling restarts all, a tenth at a time and the master last, as one would do
// to bring a new version out.
func (b *bench) rolling() {
	b.Helper()
	m := b.settled()
	had, _ := b.w.reigns()
	start := time.Now()
	slaves := slices.DeleteFunc(slices.Clone(b.all), func(i *lab.Instance) bool { return i == m })
	for batch := range slices.Chunk(append(slaves, m), max(1, b.n/10)) {
		before := map[string]any{}
		for _, i := range batch {
			before[i.Name] = b.w.known(i.Name)
			i.Signal(syscall.SIGTERM)
		}
		for _, i := range batch {
			if code := i.Exit(soon); code != 0 {
				b.Errorf("%s exited with %d", i.Name, code)
			}
			b.again(i)
		}
		lab.Wait(b.T, "those that were restarted", soon, func() bool {
			return !slices.ContainsFunc(batch, func(i *lab.Instance) bool { return b.w.known(i.Name) == before[i.Name] })
		})
		b.settled()
	}
	b.restart = time.Since(start)
	have, _ := b.w.reigns()
	b.restartReigns = len(have) - len(had)
	b.Logf("all restarted in %v, %d reigns", b.restart, b.restartReigns)
}

// percent is of one core.
func percent(cpu, of time.Duration) float64 { return 100 * float64(cpu) / float64(of) }
