package demo

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// teller writes the story, one line per event. A goroutine of its own writes,
// so that a slow reader delays nothing but the lines.
type teller struct {
	colour bool
	lines  chan string
	done   chan struct{}
	broken atomic.Bool // a write has failed
}

// newTeller begins to write to out; failed is called once if that fails.
func newTeller(out io.Writer, colour bool, failed func(error)) *teller {
	t := &teller{colour: colour, lines: make(chan string, 4096), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for line := range t.lines {
			if t.broken.Load() {
				continue
			}
			if _, err := io.WriteString(out, line+"\n"); err != nil {
				t.broken.Store(true)
				failed(err)
			}
		}
	}()
	return t
}

// close returns when all is written.
func (t *teller) close() {
	close(t.lines)
	<-t.done
}

// failed reports whether nobody reads the story any more.
func (t *teller) failed() bool { return t.broken.Load() }

// tone is how much a line matters.
type tone string

const (
	plain tone = ""
	quiet tone = "2"
	title tone = "1"
	good  tone = "32"
	bad   tone = "31"
	harm  tone = "33" // done on purpose
)

func (t *teller) paint(c tone, text string) string {
	if !t.colour || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// say writes text that stands by itself.
func (t *teller) say(c tone, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		t.lines <- t.paint(c, line)
	}
}

// event writes one thing that happened at, to an instance or, with "", to the world.
func (t *teller) event(at time.Duration, who string, c tone, format string, args ...any) {
	if who == "" {
		who = "-"
	}
	t.lines <- fmt.Sprintf("%s  %s  %s", t.paint(quiet, fmt.Sprintf("%6.2fs", at.Seconds())), who, t.paint(c, fmt.Sprintf(format, args...)))
}
