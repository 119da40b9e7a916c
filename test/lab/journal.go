//go:build linux

package lab

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Journal is a file in which several processes say that they work.
type Journal struct{ f *os.File }

// OpenJournal makes the file if there is none.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Journal{f}, nil
}

// Write appends a line. A process that is killed leaves a whole one or none: a
// write is cut off only where a page of the file ends, and the length divides a
// page. O_APPEND keeps those of several processes apart.
func (j *Journal) Write(what, token string) {
	e := fmt.Sprintf("%s %s %s %d %d", what, os.Getenv("INTERLOK_HA_INSTANCE"), token, os.Getpid(), boottime.Now())
	fmt.Fprintf(j.f, "%-255s\n", e)
}

// Entry is one line of the journal. At is CLOCK_BOOTTIME, one clock for all.
type Entry struct {
	What, Name, Token string
	PID               int
	At                time.Duration
}

// Span is what one process of a command did: from its first line to its last.
type Span struct {
	Name, Token string
	PID         int
	From, To    time.Duration
	Ended       bool // it said so itself
}

// Spans reads the journal: one span for each process, in order of their starts.
func (c *Cluster) Spans() []Span {
	c.t.Helper()
	b, err := os.ReadFile(c.journal)
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	byPID := map[int]*Span{}
	var all []*Span
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		e, err := parseLine(strings.Split(strings.TrimRight(line, " \n"), " "))
		if err != nil {
			c.t.Fatalf("journal line %q: %v", line, err)
		}
		s := byPID[e.PID]
		if s == nil || e.What == "start" {
			s = &Span{Name: e.Name, Token: e.Token, PID: e.PID, From: e.At}
			byPID[e.PID] = s
			all = append(all, s)
		}
		s.To = e.At
		s.Ended = s.Ended || e.What == "end"
	}
	spans := make([]Span, len(all))
	for i, s := range all {
		spans[i] = *s
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return int(a.From - b.From) })
	return spans
}

// WaitSpans waits until the journal holds n processes.
func (c *Cluster) WaitSpans(n int) []Span {
	c.t.Helper()
	var spans []Span
	Wait(c.t, "commands in the journal", 15*time.Second, func() bool {
		spans = c.Spans()
		return len(spans) >= n
	})
	return spans
}

// NoOverlap fails the test if commands of two tokens ever ran at once, or if a
// later one has not the greater token.
func (c *Cluster) NoOverlap() {
	c.t.Helper()
	spans := c.Spans()
	for i, a := range spans {
		for _, b := range spans[i+1:] {
			if a.Token == b.Token {
				continue
			}
			if b.From <= a.To {
				c.t.Errorf("two commands at once: %s (pid %d) until %v, %s (pid %d) from %v: %v together",
					a.Name, a.PID, a.To, b.Name, b.PID, b.From, a.To-b.From)
			}
			if b.Token <= a.Token {
				c.t.Errorf("token of %s is %s, after %s of %s", b.Name, b.Token, a.Token, a.Name)
			}
		}
	}
}
