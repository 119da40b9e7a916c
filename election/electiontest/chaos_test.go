package electiontest

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	hours  = flag.Float64("hours", 4, "virtual hours of chaos for each mode")
	seed   = flag.Uint64("seed", 1, "first seed")
	rounds = flag.Int("rounds", 10, "rounds of chaos and calm in one run")
)

// TestChaos runs random faults against each mode and prints what they cost.
func TestChaos(t *testing.T) {
	for _, m := range Modes() {
		t.Run(m.Name, func(t *testing.T) {
			sum := chaos(t, m, *hours)
			t.Log(sum)
		})
	}
}

// total adds up the reports of many runs.
type total struct {
	mu                  sync.Mutex
	virtual             time.Duration
	double, none        time.Duration
	longest, heal       time.Duration
	recovery            time.Duration
	promotions, packets int
	runs                int
}

func (s *total) add(r *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.virtual += r.Virtual
	s.double += r.Double
	s.none += r.None
	s.longest = max(s.longest, r.Longest)
	s.heal = max(s.heal, r.Heal)
	s.recovery = max(s.recovery, r.Recovery)
	s.promotions += r.Promotions
	s.packets += r.Packets
	s.runs++
}

func (s *total) String() string {
	return fmt.Sprintf("%.0f virtual hours, %d promotions, double %.2f%% (longest %v), none %.1f%%, heal max %v, recovery max %v",
		s.virtual.Hours(), s.promotions, 100*float64(s.double)/float64(s.virtual), s.longest.Round(10*time.Millisecond),
		100*float64(s.none)/float64(s.virtual), s.heal.Round(10*time.Millisecond), s.recovery.Round(10*time.Millisecond))
}

func chaos(t *testing.T, m Mode, hours float64) *total {
	t.Helper()
	sum := new(total)
	var next atomic.Uint64
	next.Store(*seed)
	runs := uint64(hours*3600/(180*float64(*rounds)) + 0.999)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= *seed+runs || t.Failed() {
					return
				}
				sc := Chaos(m, n, *rounds)
				r, err := Run(sc)
				if err != nil {
					t.Error(err)
					return
				}
				sum.add(r)
				if len(r.Violations) > 0 {
					t.Errorf("%s, seed %d: %v\nreplay this scenario:\n%s", m.Name, n, r.Violations[0], sc)
				}
			}
		})
	}
	wg.Wait()
	return sum
}
