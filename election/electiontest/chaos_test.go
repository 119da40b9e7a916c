package electiontest

import (
	"cmp"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	hours  = flag.Float64("hours", 2, "virtual hours of chaos for each mode")
	seed   = flag.Uint64("seed", 1, "first seed")
	rounds = flag.Int("rounds", 10, "rounds of chaos and calm in one run")
)

// TestChaos runs random faults against each mode and prints what they cost.
func TestChaos(t *testing.T) {
	for _, m := range Modes() {
		t.Run(m.Name, func(t *testing.T) {
			sum := chaos(t, m, Faults{}, *hours)
			t.Logf("%v; first study: %s", sum, firstStudyChaos[m.Name])
		})
	}
}

// TestCacheChaos does so with a cache: what was acknowledged is in the next
// master's log, or an event says that it may not be.
func TestCacheChaos(t *testing.T) {
	for _, m := range CacheModes() {
		t.Run(m.Name, func(t *testing.T) {
			sum := chaos(t, m, Faults{}, *hours/2)
			t.Logf("%v, %d puts acknowledged, %d openings without some", sum, sum.acked, sum.lost)
		})
	}
}

// firstStudyChaos is what a throw-away simulator of the same rules found in
// 2,000 virtual hours of each mode, before this one was written.
var firstStudyChaos = map[string]string{
	"quorum 3":            "171,086 take-overs, double 0, recovery max 8.40s",
	"quorum 2+witness":    "168,699 take-overs, double 0, recovery max 8.28s",
	"quorum 2, preferred": "134,426 take-overs, double 0, recovery max 8.87s",
	"quorum 5":            "168,024 take-overs, double 0, recovery max 9.05s",
	"AP 2":                "double 3.0%, heal max 1.79s, recovery max 7.20s",
	"AP 3":                "double 5.5%, heal max 1.79s, recovery max 7.20s",
	"AP 5":                "double 7.6%, heal max 1.79s, recovery max 7.20s",
}

// total adds up the reports of many runs.
type total struct {
	virtual             time.Duration
	double, none        time.Duration
	open, openHeal      time.Duration
	longest, heal       time.Duration
	recovery            time.Duration
	promotions, packets int
	runs, repeats       int
	acked, lost         int
}

func (s *total) add(r *Report) {
	s.virtual += r.Virtual
	s.double += r.Double
	s.open += r.Open
	s.openHeal = max(s.openHeal, r.OpenHeal)
	s.none += r.None
	s.longest = max(s.longest, r.Longest)
	s.heal = max(s.heal, r.Heal)
	s.recovery = max(s.recovery, r.Recovery)
	s.promotions += r.Promotions
	s.packets += r.Packets
	s.repeats += r.Repeats
	s.acked += r.Acked
	s.lost += r.Lost
	s.runs++
}

func (s *total) String() string {
	text := fmt.Sprintf("%.0f virtual hours, %d promotions, double %.2f%% (guards %.2f%%, longest %v), none %.1f%%, heal max %v (guards %v), recovery max %v",
		s.virtual.Hours(), s.promotions, 100*float64(s.double)/float64(s.virtual), 100*float64(s.open)/float64(s.virtual), s.longest.Round(10*time.Millisecond),
		100*float64(s.none)/float64(s.virtual), s.heal.Round(10*time.Millisecond), s.openHeal.Round(10*time.Millisecond), s.recovery.Round(10*time.Millisecond))
	if s.repeats > 0 {
		text += fmt.Sprintf(", %d epochs repeated", s.repeats)
	}
	return text
}

// chaos runs so many virtual hours of one mode.
func chaos(t *testing.T, m Mode, f Faults, hours float64) *total {
	t.Helper()
	sum := new(total)
	round := 180 * cmp.Or(f.Delay, time.Second).Seconds()
	runs := int(hours*3600/(round*float64(*rounds)) + 0.999)
	inParallel(t, runs, func(i uint64) *Scenario { return Chaos(m, i, *rounds, f) }, sum.add)
	return sum
}

// inParallel runs scenarios with seeds from -seed on, checks that nothing is
// violated, and hands each report to each, one at a time.
func inParallel(t *testing.T, runs int, scenario func(seed uint64) *Scenario, each func(*Report)) {
	t.Helper()
	var mu sync.Mutex
	var next atomic.Uint64
	next.Store(*seed)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= *seed+uint64(runs) || t.Failed() {
					return
				}
				sc := scenario(n)
				r, err := Run(sc)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				each(r)
				mu.Unlock()
				if len(r.Violations) > 0 {
					t.Errorf("seed %d: %v\nreplay this scenario:\n%s", n, r.Violations[0], sc)
				}
			}
		})
	}
	wg.Wait()
}
