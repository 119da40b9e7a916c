//go:build linux

package main

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for _, tt := range []struct {
		in                figures
		median, p90, most time.Duration
	}{
		{figures{7}, 7, 7, 7},
		{figures{1, 3}, 2, 3, 3},
		{figures{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 5, 9, 10},
		{figures{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 6, 10, 11},
	} {
		if got := tt.in.median(); got != tt.median {
			t.Errorf("median of %v: %d, want %d", tt.in, got, tt.median)
		}
		if got := tt.in.at(0.9); got != tt.p90 {
			t.Errorf("90th percentile of %v: %d, want %d", tt.in, got, tt.p90)
		}
		if got := tt.in.most(); got != tt.most {
			t.Errorf("most of %v: %d, want %d", tt.in, got, tt.most)
		}
	}
}

func TestMs(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 1500 * time.Microsecond: "1.5", 345 * time.Millisecond: "345", 12_088 * time.Millisecond: "12,088",
	} {
		if got := ms(d); got != want {
			t.Errorf("ms(%v) = %q, want %q", d, got, want)
		}
	}
}

// made is a run of every contender and fault, with one of each way to fail.
func made() []*trial {
	all := plan(contenders(), 2, 1)
	for i, t := range all {
		t.took, t.idle = time.Duration(i+1)*time.Millisecond, time.Millisecond
	}
	all[0].err = errors.New("no such thing")
	all[1].never = true
	all[2].together, all[2].still = time.Second, true
	all[3].unasked = 4
	return all
}

// TestPlan: every contender meets every fault in each round, whatever the seed.
func TestPlan(t *testing.T) {
	list := contenders()
	all := plan(list, 3, 7)
	per := len(list) * len(faults)
	if len(all) != 3*per {
		t.Fatalf("%d trials, want %d", len(all), 3*per)
	}
	for round := range 3 {
		seen := map[string]bool{}
		for _, tr := range all[round*per : (round+1)*per] {
			seen[tr.c.slug+"/"+tr.f.name] = true
			if tr.run != round+1 {
				t.Fatalf("run %d in round %d", tr.run, round+1)
			}
		}
		if len(seen) != per {
			t.Errorf("round %d: %d different trials, want %d", round+1, len(seen), per)
		}
	}
}

func TestReport(t *testing.T) {
	all := made()
	m := cells(all)
	h := header{commit: "abc1234", runs: 2, workers: 3, loadBefore: "0.10, 0.20"}
	md := markdown(h, all, m, []string{"etcd: not measured, no etcd here"})
	for _, want := range []string{"abc1234", "load 0.10, 0.20", "never 1×", "not measured 1×", "no etcd here", "4 changes of master without a fault", `\*`} {
		if !strings.Contains(md, want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(string(table(all)))).ReadAll()
	if err != nil || len(rows) != len(all)+1 {
		t.Errorf("%d lines of values, want %d: %v", len(rows), len(all)+1, err)
	}
	svg := plot(h, all, m)
	circles := 0
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != len(all)-2 {
		t.Errorf("%d dots, want one for each of %d runs", circles, len(all)-2)
	}
}

// TestVerdict: each promise can fail.
func TestVerdict(t *testing.T) {
	all := made()
	for _, tr := range all {
		tr.err, tr.never, tr.together, tr.took, tr.idle = nil, false, 0, time.Millisecond, time.Millisecond
	}
	good, broken := verdict(cells(all), true)
	if n := strings.Count(good, "| holds |"); n != 19 || len(broken) > 0 {
		t.Errorf("%d promises hold, want 19:\n%s", n, good)
	}
	for _, tr := range all {
		if tr.c.slug == "keepalived-1s-5" {
			tr.err = errors.New("it is not here")
		}
	}
	if _, broken := verdict(cells(all), true); len(broken) != 4 || !strings.Contains(broken[0], "keepalived-1s-5, partition: not measured") {
		t.Errorf("without a peer that is to be measured: %q", broken)
	}
	if some, broken := verdict(cells(all), false); len(broken) > 0 || strings.Count(some, "| holds |") != 15 {
		t.Errorf("without a peer: %q\n%s", broken, some)
	}
	for _, tr := range all {
		tr.err = nil
	}
	for _, tr := range all {
		if tr.c.ours {
			tr.together, tr.took, tr.idle = time.Second, time.Minute, time.Minute
		}
	}
	bad, broken := verdict(cells(all), true)
	if n := strings.Count(bad, "**does not hold**"); n != 19 || len(broken) != 19 {
		t.Errorf("%d promises do not hold, want 19:\n%s", n, bad)
	}
}
