package kill

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

var (
	soakFor   = flag.Duration("soak", 0, "how long TestSoak runs; 0 = not at all")
	soakRate  = flag.Int("rate", 500, "orders in a second, in TestSoak and TestUpgrade")
	soakEvery = flag.Duration("every", 20*time.Second, "how often TestSoak changes the master")
)

const (
	// ringFull is less than what the cache keeps of its log for slaves that lag;
	// it takes some minutes to get there, and until then the memory may grow.
	ringFull = 60 << 20
	// whole is how long a run has to be so that all must be judged.
	whole = 30 * time.Minute
	// stayer is never killed nor stopped, so that what it uses can be compared
	// over the whole time. It is master as often as the others.
	stayer = "n1"
)

// calm is a lease that a busy machine keeps for long: here only what the test
// does may change the master.
var calm = []string{"failover.delay=200", "failover.retries=15"}

// TestSoak changes the master under load again and again, in four ways: no
// message is lost, and what an instance that lives through it all uses does not
// grow.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("needs -soak=30m")
	}
	// The number of entries is bounded too, and a new master is asked about all
	// messages since the last one began.
	p := newPlay(t, scene{rate: *soakRate, set: append([]string{"failover.cache.max.entries=20000"}, calm...)})
	ways := []func(){p.killNamed, p.stopNamed, p.switchover, p.drain}
	done := make([]int, len(ways))
	var samples []sample
	tick := time.NewTicker(*soakEvery)
	defer tick.Stop()
	for end := time.Now().Add(*soakFor); time.Now().Before(end); <-tick.C {
		way := rand.IntN(len(ways))
		if p.master.Name == stayer { // it goes of its own will
			way = 2 + way%2
		}
		p.reigns = len(p.m.audit.reports())
		ways[way]()
		done[way]++
		p.ready()
		s := p.take(t, p.named(stayer))
		s.master = p.master.Name == stayer
		samples = append(samples, s)
		t.Logf("%v: %v", time.Since(p.at).Round(time.Second), s)
	}
	v := p.end()
	for _, fault := range v.Faults {
		t.Error(fault)
	}
	if v.Unknown+v.Twice+v.Lost+v.TakenTwice+v.StaleTaken > 0 {
		t.Errorf("%v", v)
	}
	reigns := 1
	for _, n := range done {
		reigns += n
	}
	if n := len(p.m.audit.reports()); n != reigns {
		t.Errorf("%d reigns, want %d: one for each change", n, reigns)
	}
	t.Logf("kills %d, stops %d, switchovers %d, drains %d", done[0], done[1], done[2], done[3])
	samples = samples[len(samples)/4:] // what it may keep it keeps by then
	for _, master := range []bool{false, true} {
		told, faults := flat(slices.DeleteFunc(slices.Clone(samples), func(s sample) bool { return s.master != master }), *soakFor >= whole)
		for _, line := range told {
			t.Log(line)
		}
		for _, fault := range faults {
			t.Error(fault)
		}
	}
}

// named is the live instance of a name.
func (p *play) named(name string) *lab.Instance {
	p.t.Helper()
	for _, i := range p.Others(nil) {
		if i.Name == name {
			return i
		}
	}
	p.t.Fatalf("no %s lives", name)
	return nil
}

func (p *play) killNamed() {
	p.t.Helper()
	p.killed++
	p.master.KillHard()
	p.successor()
	p.startAs(p.master.Name)
}

func (p *play) stopNamed() {
	p.t.Helper()
	p.master.Signal(syscall.SIGTERM)
	p.successor()
	if code := p.master.Exit(soon); code != 0 {
		p.t.Errorf("%s exited with %d", p.master.Name, code)
	}
	p.startAs(p.master.Name)
}

func (p *play) switchover() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if _, err := admin.NewClient(p.Socket(p.master.Name)).Switchover(ctx, "", 0); err != nil {
		p.t.Fatalf("switchover from %s: %v", p.master.Name, err)
	}
	p.successor()
}

func (p *play) drain() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	a := admin.NewClient(p.Socket(p.master.Name))
	if _, err := a.Drain(ctx, false); err != nil {
		p.t.Fatalf("drain %s: %v", p.master.Name, err)
	}
	p.successor()
	if _, err := a.Resume(ctx); err != nil {
		p.t.Fatalf("resume %s: %v", p.master.Name, err)
	}
}

// sample is what a process uses at one moment.
type sample struct {
	master                       bool
	resident, heap, ring         int // bytes
	goroutines, descriptors, thr int
}

// String is the sample in one line.
func (s sample) String() string {
	role := "slave"
	if s.master {
		role = "master"
	}
	return fmt.Sprintf("%s is %s: %.1f MiB resident, %.1f MiB heap, %.1f MiB of log, %d goroutines, %d descriptors, %d threads",
		stayer, role, float64(s.resident)/(1<<20), float64(s.heap)/(1<<20), float64(s.ring)/(1<<20), s.goroutines, s.descriptors, s.thr)
}

// take takes a sample of an instance.
func (p *play) take(t *testing.T, i *lab.Instance) (s sample) {
	t.Helper()
	count := func(what string) int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", i.PID, what))
		if err != nil {
			t.Fatalf("%s of %s: %v", what, i.Name, err)
		}
		return len(list)
	}
	s.resident, s.descriptors, s.thr = lab.RSS(i.PID), count("fd"), count("task")
	m := p.metrics(t, i)
	s.goroutines, s.heap, s.ring = m["interlok_ha_process_goroutines"], m["interlok_ha_process_heap_bytes"], m["interlok_ha_cache_ring_bytes"]
	if s.goroutines == 0 || s.heap == 0 {
		t.Fatalf("no goroutines, or no heap, in the metrics of %s", i.Name)
	}
	return s
}

// metrics reads the numbers of an instance that have no labels.
func (p *play) metrics(t *testing.T, i *lab.Instance) map[string]int {
	t.Helper()
	c := http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.Socket(i.Name))
	}}}
	answer, err := c.Get("http://x/metrics")
	if err != nil {
		t.Fatalf("metrics of %s: %v", i.Name, err)
	}
	defer func() { _ = answer.Body.Close() }()
	m := map[string]int{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				m[name] = int(v)
			}
		}
	}
	return m
}

// flat compares the first third of the samples of one role with the last one:
// medians, so that one garbage collection more or less is no matter. What cannot
// be judged is a fault of a whole run.
func flat(all []sample, whole bool) (told, faults []string) {
	open := func(format string, a ...any) {
		if whole {
			faults = append(faults, fmt.Sprintf(format, a...))
		} else {
			told = append(told, fmt.Sprintf(format, a...))
		}
	}
	third := len(all) / 3
	if third < 3 {
		open("%d samples of a role are too few to tell whether something grows", len(all))
		return told, faults
	}
	first, last := all[:third], all[len(all)-third:]
	for _, w := range []struct {
		what  string
		of    func(sample) int
		most  float64 // growth that is none
		extra int
	}{
		{"resident bytes", func(s sample) int { return s.resident }, 1.10, 4 << 20},
		{"heap bytes", func(s sample) int { return s.heap }, 1.30, 4 << 20},
		{"goroutines", func(s sample) int { return s.goroutines }, 1, 4},
		{"descriptors", func(s sample) int { return s.descriptors }, 1, 3},
		{"threads", func(s sample) int { return s.thr }, 1, 4},
	} {
		median := func(list []sample) int {
			var v []int
			for _, s := range list {
				v = append(v, w.of(s))
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		from, to := median(first), median(last)
		told = append(told, fmt.Sprintf("%s: %d in the first third, %d in the last", w.what, from, to))
		if strings.HasSuffix(w.what, "bytes") && all[0].ring < ringFull {
			open("%s are not judged: the log of the cache still filled", w.what)
			continue
		}
		if float64(to) > float64(from)*w.most+float64(w.extra) {
			faults = append(faults, fmt.Sprintf("%s grew from %d to %d", w.what, from, to))
		}
	}
	return told, faults
}

func TestFlat(t *testing.T) {
	samples := func(n int, of func(i int) sample) (list []sample) {
		for i := range n {
			list = append(list, of(i))
		}
		return list
	}
	still := func(int) sample { return sample{false, 100 << 20, 50 << 20, ringFull, 40, 20, 10} }
	for _, tt := range []struct {
		name  string
		all   []sample
		whole bool
		want  string // of the faults
	}{
		{"flat", samples(30, still), true, ""},
		{"few", samples(8, still), true, "8 samples of a role are too few"},
		{"few, of a short run", samples(8, still), false, ""},
		{"resident", samples(30, func(i int) sample { s := still(i); s.resident += i << 20; return s }), true, "resident bytes grew"},
		{"heap", samples(30, func(i int) sample { s := still(i); s.heap += i << 21; return s }), true, "heap bytes grew"},
		{"goroutines", samples(30, func(i int) sample { s := still(i); s.goroutines += i; return s }), true, "goroutines grew"},
		{"descriptors", samples(30, func(i int) sample { s := still(i); s.descriptors += i; return s }), true, "descriptors grew"},
		{"threads", samples(30, func(i int) sample { s := still(i); s.thr += i; return s }), true, "threads grew"},
		{"a log that fills", samples(30, func(i int) sample { s := still(i); s.ring, s.resident = i<<20, i<<24; return s }), true, "resident bytes are not judged"},
		{"a log that fills, of a short run", samples(30, func(i int) sample { s := still(i); s.ring, s.resident = i<<20, i<<24; return s }), false, ""},
	} {
		_, faults := flat(tt.all, tt.whole)
		if got := strings.Join(faults, "; "); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
