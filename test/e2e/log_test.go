//go:build linux

package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

// firstWords are the lines of a start, in order; CARD stands for the one that
// names the network card.
var firstWords = []string{
	"Creating listener...", "CARD", "Creating broadcaster...", "Started listener",
	"Started broadcaster", "Failover Manager has started",
}

var promotion = []string{"Promoted to Master node", "Failover Manager has been promoted"}

// TestLogLines checks the lines that users and scripts wait for, word for word,
// as they stand on a console.
func TestLogLines(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	a := c.Run(lab.Run{Name: "a", Console: true})
	c.Settled(soon)
	b := c.Run(lab.Run{Name: "b", Console: true})
	b.WaitLog("Failover Manager has started", 1, soon)
	c.Settled(soon)

	line := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} (INF|WRN) (.*)$`)
	said := func(i *lab.Instance, level string) (words []string) {
		for _, l := range i.Log() {
			m := line.FindStringSubmatch(l.Raw)
			if m == nil {
				t.Errorf("%s: line without time and level: %q", i.Name, l.Raw)
				continue
			}
			if m[1] == level {
				// Fields follow the words.
				text := regexp.MustCompile(`( [a-z]+=\S+)+$`).ReplaceAllString(m[2], "")
				if strings.Contains(m[2], "interface=lo") || strings.HasSuffix(text, " lo") {
					text = "CARD"
				}
				words = append(words, text)
			}
		}
		return words
	}
	// The card's line may come anywhere before "Started listener".
	normal := func(words []string) []string {
		card, started := slices.Index(words, "CARD"), slices.Index(words, "Started listener")
		if card < 0 || started < card {
			t.Errorf("no line names the card before the listener has started: %q", words)
			return words
		}
		words = slices.Delete(slices.Clone(words), card, card+1)
		return slices.Insert(words, 1, "CARD")
	}
	if got, want := normal(said(a, "INF")), slices.Concat(firstWords, promotion); !slices.Equal(got, want) {
		t.Errorf("the master says\n%q, want\n%q", got, want)
	}
	if got := normal(said(b, "INF")); !slices.Equal(got, firstWords) {
		t.Errorf("the slave says\n%q, want\n%q", got, firstWords)
	}
	// A slave that sits dormant says nothing more.
	n := len(said(b, "INF"))
	lab.Never(t, "a dormant slave says more at INFO", 2*time.Second, func() bool { return len(said(b, "INF")) > n })

	a.KillHard()
	b.WaitLog(promotion[1], 1, soon)
	if got := said(b, "INF")[n:]; !slices.Equal(got, promotion) {
		t.Errorf("on its promotion the slave says %q, want %q", got, promotion)
	}
}

// TestLogOrderInTime has the broadcaster's line after listening, and the
// promotion after that, in JSON too.
func TestLogOrderInTime(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	// A line is written at some time after what it tells: what must lie between
	// two things is counted from before the first.
	began := time.Now().Truncate(time.Millisecond)
	a := c.Start("a")
	c.Settled(soon)
	listener := a.WaitLog("Started listener", 1, soon)
	broadcaster := a.WaitLog("Started broadcaster", 1, soon)
	promoted := a.WaitLog(promotion[0], 1, soon)
	if broadcaster.Time.Before(listener.Time) || promoted.Time.Before(broadcaster.Time) {
		t.Errorf("listener %v, broadcaster %v, promotion %v: not in this order", listener.Time, broadcaster.Time, promoted.Time)
	}
	// It listens for a whole lease (800 ms) before it says a word.
	if d := broadcaster.Time.Sub(began); d < 800*time.Millisecond {
		t.Errorf("the broadcaster started %v after the process, want a lease at least", d)
	}
	if d := promoted.Time.Sub(began); d < 900*time.Millisecond {
		t.Errorf("promoted %v after the start of the process, want a lease and the window of one delay at least", d)
	}
	for _, l := range []lab.Line{listener, broadcaster, promoted} {
		if l.Level != "info" {
			t.Errorf("%q has level %q", l.Message, l.Level)
		}
	}
}
