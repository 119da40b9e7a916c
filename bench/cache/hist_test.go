//go:build linux

package main

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"testing"
	"time"
)

const subBits = 5 // 32 steps for each power of two: 3 %

// hist counts durations in steps that grow with them.
type hist struct {
	n      uint64
	max    time.Duration
	counts [64 << subBits]uint32
}

func step(d time.Duration) int {
	u := uint64(max(d, 0))
	if u < 1<<subBits {
		return int(u)
	}
	shift := bits.Len64(u) - 1 - subBits
	return (shift+1)<<subBits + int(u>>shift) - 1<<subBits
}

// lowest is the least duration of a step.
func lowest(s int) time.Duration {
	if s < 1<<subBits {
		return time.Duration(s)
	}
	shift := s>>subBits - 1
	return time.Duration(uint64(s&(1<<subBits-1)+1<<subBits) << shift)
}

func (h *hist) add(d time.Duration) {
	h.n++
	h.max = max(h.max, d)
	h.counts[step(d)]++
}

func (h *hist) merge(o *hist) {
	h.n += o.n
	h.max = max(h.max, o.max)
	for i, c := range o.counts {
		h.counts[i] += c
	}
}

// at is the duration that a share q of all do not exceed, rounded down by 3 %
// at most.
func (h *hist) at(q float64) time.Duration {
	need := uint64(q * float64(h.n))
	seen := uint64(0)
	for i, c := range h.counts {
		if seen += uint64(c); c > 0 && seen >= need {
			return lowest(i)
		}
	}
	return h.max
}

func (h *hist) answer() answer {
	return answer{N: h.n, P50: h.at(0.5), P99: h.at(0.99), P999: h.at(0.999), Max: h.max}
}

func ctxEnded(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// median of a list that is not empty.
func median[T int | int64 | uint64 | float64 | time.Duration](list []T) T {
	list = slices.Sorted(slices.Values(list))
	if n := len(list); n%2 == 0 {
		return (list[n/2-1] + list[n/2]) / 2
	}
	return list[len(list)/2]
}

func TestHist(t *testing.T) {
	var h hist
	for d := range 100_000 {
		h.add(time.Duration(d))
		if low := lowest(step(time.Duration(d))); low > time.Duration(d) || float64(low) < 0.96*float64(d) {
			t.Fatalf("%d is counted as %d", d, low)
		}
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 50_000}, {0.99, 99_000}} {
		if got := h.at(tt.q); got > tt.want || float64(got) < 0.96*float64(tt.want) {
			t.Errorf("quantile %v: %d, want about %d", tt.q, got, tt.want)
		}
	}
	if h.max != 99_999 || step(1<<62) >= len(h.counts) {
		t.Errorf("max %d, last step %d", h.max, step(1<<62))
	}
}
