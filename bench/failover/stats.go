//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// figures are what trials of one kind gave, in ascending order.
type figures []time.Duration

// at is the nearest-rank quantile.
func (f figures) at(q float64) time.Duration {
	return f[max(0, int(math.Ceil(q*float64(len(f))))-1)]
}

// median is the mean of the two in the middle, if there are two.
func (f figures) median() time.Duration {
	n := len(f)
	return (f[(n-1)/2] + f[n/2]) / 2
}

func (f figures) most() time.Duration { return f[len(f)-1] }

// cell is what all trials of one contender and fault gave.
type cell struct {
	took, idle, together figures
	still                int // two acted to the end
	never                int // nobody took over
	failed               int // could not be measured
	unasked              int // changes of master before the fault
}

// cells groups the trials by contender and fault.
func cells(all []*trial) map[[2]string]*cell {
	m := map[[2]string]*cell{}
	for _, t := range all {
		k := [2]string{t.c.slug, t.f.name}
		c := m[k]
		if c == nil {
			c = &cell{}
			m[k] = c
		}
		c.unasked += t.unasked
		switch {
		case t.err != nil:
			c.failed++
			continue
		case t.never:
			c.never++
			continue
		case t.still:
			c.still++
		}
		c.took = append(c.took, t.took)
		c.idle = append(c.idle, t.idle)
		c.together = append(c.together, t.together)
	}
	for _, c := range m {
		slices.Sort(c.took)
		slices.Sort(c.idle)
		slices.Sort(c.together)
	}
	return m
}

// String is the trial's line for people.
func (t *trial) String() string {
	switch {
	case t.err != nil:
		return "not measured: " + t.err.Error()
	case t.never:
		return fmt.Sprintf("nobody took over within %v", takeLimit)
	}
	s := fmt.Sprintf("%s ms, two at once %s ms", ms(t.took), ms(t.together))
	if t.still {
		s += ", to the end"
	}
	if t.unasked > 0 {
		s += fmt.Sprintf(", %d changes before the fault", t.unasked)
	}
	return s
}

// ms is a time in milliseconds, with no more digits than it is worth.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v == 0:
		return "0"
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	case v < 10_000:
		return fmt.Sprintf("%.0f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	return s[:len(s)-3] + "," + s[len(s)-3:]
}

// slug is a name for files.
func slug(s string) string { return strings.ReplaceAll(s, " ", "-") }
