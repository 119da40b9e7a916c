package chaos

import (
	"math/rand/v2"
	"time"
)

// rule says what the switch does with frames from one port to another, 1 to n;
// 0 is any. A frame goes through all rules that fit.
type rule struct {
	From, To int
	Loss     int           // frames of 100 that are lost
	Double   int           // of 100 that come twice
	Delay    time.Duration // of each
	Jitter   time.Duration // at most, on top: frames overtake each other
	// Burst: all is lost for the second half of each such time.
	Burst time.Duration
}

// fate is what becomes of one frame: when each copy of it comes out.
func fate(rules []rule, from, to int, now time.Duration, chance *rand.Rand) []time.Duration {
	copies := 1
	var delay, jitter time.Duration
	for _, r := range rules {
		if r.From != 0 && r.From != from || r.To != 0 && r.To != to {
			continue
		}
		if chance.IntN(100) < r.Loss || r.Burst > 0 && now%r.Burst >= r.Burst/2 {
			return nil
		}
		if chance.IntN(100) < r.Double {
			copies++
		}
		delay += r.Delay
		jitter += r.Jitter
	}
	out := make([]time.Duration, copies)
	for i := range out {
		out[i] = delay
		if jitter > 0 {
			out[i] += time.Duration(chance.Int64N(int64(jitter)))
		}
	}
	return out
}
