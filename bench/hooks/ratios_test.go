package hooks

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var measure = flag.Bool("measure", false, "measure, and hold the figures against the bars")

var repeat = flag.Int("rounds", 9, "how often all is measured, with -measure")

// cost is what a step took.
type cost struct {
	ns     float64 // CPU time of the process
	allocs float64
}

// run lets workers share the steps out and measures all of them.
func (p peer) run(t *testing.T, workers, steps int) cost {
	t.Helper()
	loops := make([]func(int), workers)
	for i := range loops {
		loops[i] = p.start(t, i)
		loops[i](1000) // warm
	}
	steps -= steps % (5 * workers)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := cpu(t)
	var wg sync.WaitGroup
	for _, loop := range loops {
		wg.Go(func() { loop(steps / workers) })
	}
	wg.Wait()
	if p.settle != nil {
		p.settle(t, steps+1000*workers)
	}
	took := cpu(t) - begin
	runtime.ReadMemStats(&after)
	return cost{float64(took.Nanoseconds()) / float64(steps), float64(after.Mallocs-before.Mallocs) / float64(steps)}
}

// cpu is the CPU time that this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// TestSteps runs every peer. With -measure it holds the medians of several
// rounds against the bars; without, only what is counted.
func TestSteps(t *testing.T) {
	rounds, steps := 1, 20_000
	if *measure {
		rounds, steps = *repeat, 200_000
	}
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("goroutines=%d", workers), func(t *testing.T) {
			costs := map[string][]cost{}
			var names []string
			for range rounds {
				names = names[:0]
				t.Run("round", func(t *testing.T) {
					for _, p := range peers(t) {
						names = append(names, p.name)
						costs[p.name] = append(costs[p.name], p.run(t, workers, steps))
					}
				})
			}
			table(t, names, costs)
			judge(t, costs)
		})
	}
}

func median(costs []cost, of func(cost) float64) float64 {
	var all []float64
	for _, c := range costs {
		all = append(all, of(c))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func cpuOf(c cost) float64    { return c.ns }
func allocsOf(c cost) float64 { return c.allocs }

func table(t *testing.T, names []string, costs map[string][]cost) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-34s %10s %10s %8s %8s\n", "a step, start and end", "CPU ns", "allocs", "×zerolog", "×OTel")
	zero, otel := median(costs["zerolog"], cpuOf), median(costs["OpenTelemetry, batch"], cpuOf)
	for _, name := range names {
		ns := median(costs[name], cpuOf)
		fmt.Fprintf(&b, "%-34s %10.1f %10.3f %8.2f %8.2f\n", name, ns, median(costs[name], allocsOf), ns/zero, ns/otel)
	}
	t.Log(b.String())
}

// judge wants no allocations, and with -measure the ratios of CPU time. The
// whole message has no bar beside zerolog: a logger opens no message.
func judge(t *testing.T, costs map[string][]cost) {
	for _, c := range []struct {
		name, to string
		most     float64
	}{
		{"interlok-ha, Do", "zerolog", 0.4},
		{"interlok-ha, Begin, End", "zerolog", 0.4},
		{"interlok-ha, Wrap", "zerolog", 0.4},
		{"interlok-ha, Do", "OpenTelemetry, batch", 0.2},
		{"interlok-ha, Begin, End", "OpenTelemetry, batch", 0.2},
		{"interlok-ha, Wrap", "OpenTelemetry, batch", 0.2},
		{"interlok-ha, message of 5 steps", "OpenTelemetry, batch", 0.2},
		{"disabled, Do", "empty call", 6},
		{"disabled, Begin, End", "empty call", 6},
	} {
		ratio := median(costs[c.name], cpuOf) / median(costs[c.to], cpuOf)
		if *measure && !(ratio <= c.most) {
			t.Errorf("%s costs %.2f × %s; the bar is %v", c.name, ratio, c.to, c.most)
		}
	}
	for _, name := range []string{"disabled, Do", "disabled, Begin, End", "interlok-ha, Do", "interlok-ha, Begin, End", "interlok-ha, Wrap"} {
		// What the background and the clock of the test allocate is far less
		// than one for a hundred steps.
		if got := median(costs[name], allocsOf); got > 0.01 {
			t.Errorf("%s allocates %.3f times a step; it must not", name, got)
		}
	}
}
