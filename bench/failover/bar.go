//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// verdict holds the figures against what is promised, and lists what does not
// hold. It is for a machine that does nothing else. If all were to be measured,
// what was not does not hold.
func verdict(m map[[2]string]*cell, all bool) (table string, broken []string) {
	var s strings.Builder
	hold := func(what string, ok bool, seen string) {
		word := "holds"
		if !ok {
			word = "**does not hold**"
			broken = append(broken, what+": "+seen)
		}
		fmt.Fprintf(&s, "| %s | %s | %s |\n", what, seen, word)
	}
	// get tells of a cell that is not there, if it should be.
	get := func(slug, fault string) *cell {
		if c := m[[2]string{slug, fault}]; c != nil && len(c.took) > 0 {
			return c
		}
		if all {
			hold(slug+", "+fault, false, "not measured")
		}
		return nil
	}
	const ours = "interlok-ha-1s-5"
	if c := get("library-1s-5", "crash"); c != nil {
		hold("crash at default settings, until a Go function runs: median ≤ 20 ms", c.took.median() <= 20*time.Millisecond, ms(c.took.median())+" ms")
	}
	if c := get(ours, "crash"); c != nil {
		hold("crash at default settings, until the next command runs: median ≤ 30 ms", c.took.median() <= 30*time.Millisecond, ms(c.took.median())+" ms")
	}
	if c := get(ours, "clean stop"); c != nil {
		hold("clean stop at default settings, from the end of one command to the start of the next: median ≤ 50 ms", c.idle.median() <= 50*time.Millisecond, ms(c.idle.median())+" ms")
	}
	for _, f := range faults {
		if f.name == "partition" { // without a quorum both sides work
			continue
		}
		if c := get(ours, f.name); c != nil {
			hold(f.name+": never two commands at once", c.together.most() == 0, ms(c.together.most())+" ms at most")
		}
	}
	// Where keepalived's role is taken nothing has to be started, so it is held
	// against the library, where nothing has either. To start a command takes what
	// the crashes show, in the same run.
	for _, pair := range []struct {
		ours, theirs, library string
		window                time.Duration
	}{
		{"library-1s-5", "keepalived-1s-5", "", time.Second},
		{"library-1s-3", "keepalived-1s-3", "", time.Second},
		{"library-100ms-5", "keepalived-100ms-5", "", 100 * time.Millisecond},
		{ours, "keepalived-1s-5", "library-1s-5", time.Second},
		{"interlok-ha-1s-3", "keepalived-1s-3", "library-1s-3", time.Second},
		{"interlok-ha-100ms-5", "keepalived-100ms-5", "library-100ms-5", 100 * time.Millisecond},
	} {
		allowed, note := pair.window, ""
		if pair.library != "" {
			with, without := get(pair.ours, "crash"), get(pair.library, "crash")
			if with == nil || without == nil {
				continue
			}
			start := max(0, with.took.median()-without.took.median())
			allowed += start
			note = fmt.Sprintf(" and the start of a command, %s ms", ms(start))
		}
		for _, f := range []string{"partition", "host death"} {
			a, b := get(pair.ours, f), get(pair.theirs, f)
			if a == nil || b == nil {
				continue
			}
			more := a.took.median() - b.took.median()
			hold(fmt.Sprintf("%s: %s not slower than %s by more than the claim window of %v%s", f, pair.ours, pair.theirs, pair.window, note), more <= allowed, ms(max(0, more))+" ms more, in the median")
		}
	}
	if s.Len() == 0 {
		return "", nil
	}
	return "## What is promised\n\n| | seen | |\n|---|---|---|\n" + s.String(), broken
}
