package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Report is what a demo came to.
type Report struct {
	Acts []Row `json:"acts"`
	Sums Sums  `json:"sums"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
	// Wrong is what did not go as it should.
	Wrong []string `json:"wrong"`
}

// Row is one act.
type Row struct {
	Done        string `json:"done"` // what was done
	Before      string `json:"before"`
	EpochBefore uint64 `json:"epochBefore"`
	After       string `json:"after"`
	EpochAfter  uint64 `json:"epochAfter"`
	// NoMasterMs is from the blow to the next promotion, as the instances tell it.
	NoMasterMs int64 `json:"noMasterMs"`
	// NoWriteMs is from the last write of the old master to the first one of the
	// new, as the sink sees it; 0 for the first act.
	NoWriteMs int64 `json:"noWriteMs"`
	// Redone counts the messages that the old master had begun and not written.
	Redone int `json:"redone"`
	Counts

	replayed int // stale writes by the demo itself
}

// Counts are the faults of a stretch of time, and what the sink refused in it.
type Counts struct {
	Lost           int `json:"lost"`
	Twice          int `json:"twice"`
	StaleTaken     int `json:"staleTaken"`
	StaleRefused   int `json:"staleRefused"`
	RepeatsRefused int `json:"repeatsRefused"`
}

// Sums are those of the whole demo.
type Sums struct {
	Made     int `json:"made"`
	Taken    int `json:"taken"`
	Redone   int `json:"redone"`
	Replayed int `json:"replayed"` // stale writes by the demo itself
	Counts
}

// report reads the sink's books.
func (p *play) report() *Report {
	r := &Report{Seconds: (boottime.Now() - p.start).Round(10 * time.Millisecond).Seconds(), Wrong: []string{}}
	journal, stale, repeats := p.world.sink.books()
	made, _ := p.world.source.count()
	for i, s := range p.scenes {
		last, to := s.last, s.to
		if i == len(p.scenes)-1 { // the end belongs to the last act
			last, to = made, boottime.Now()
		}
		row := s.Row
		row.Counts = audit(journal, s.first, last, s.from, to)
		row.StaleRefused = within(stale, s.from, to)
		row.RepeatsRefused = within(repeats, s.from, to)
		r.Acts = append(r.Acts, row)
		r.Sums.Redone += row.Redone
		r.Sums.Replayed += row.replayed
	}
	r.Sums.Made, r.Sums.Taken = made, len(journal)
	r.Sums.Counts = audit(journal, 1, made, 0, boottime.Now())
	r.Sums.StaleRefused, r.Sums.RepeatsRefused = len(stale), len(repeats)
	p.mu.Lock()
	r.Wrong = append(r.Wrong, p.wrong...)
	p.mu.Unlock()
	r.judge()
	return r
}

// audit counts the faults in a journal: messages from first to last that are
// not there, or more than once, and writes between two times under a smaller
// token than one before them. It trusts nothing that the sink believed.
func audit(journal []entry, first, last int, from, to time.Duration) (c Counts) {
	times := map[int]int{}
	highest := ""
	for _, e := range journal {
		times[e.Message]++
		if e.Token < highest && e.at >= from && e.at < to {
			c.StaleTaken++
		}
		highest = max(highest, e.Token)
	}
	for n := first; n <= last; n++ {
		switch {
		case times[n] == 0:
			c.Lost++
		case times[n] > 1:
			c.Twice += times[n] - 1
		}
	}
	return c
}

func within(list []entry, from, to time.Duration) (n int) {
	for _, e := range list {
		if e.at >= from && e.at < to {
			n++
		}
	}
	return n
}

// judge adds to what went wrong.
func (r *Report) judge() {
	if n := r.Sums.Lost; n > 0 {
		r.Wrong = append(r.Wrong, plural(n, "message")+" lost")
	}
	if n := r.Sums.Twice; n > 0 {
		r.Wrong = append(r.Wrong, plural(n, "message")+" done twice")
	}
	if n := r.Sums.StaleTaken; n > 0 {
		r.Wrong = append(r.Wrong, plural(n, "stale write")+" taken")
	}
}

// Table writes the report for people, at most 80 columns wide. bold and red
// paint text.
func (r *Report) Table(w io.Writer, bold, red func(string) string) {
	rows := [][]string{{"what was done", "master", "epoch", "no master", "no write", "lost", "twice", "stale"}}
	for _, a := range r.Acts {
		noWrite := "-"
		if a.NoWriteMs > 0 {
			noWrite = seconds(time.Duration(a.NoWriteMs) * time.Millisecond)
		}
		rows = append(rows, []string{
			a.Done, a.Before + " → " + orDash(a.After), number(a.EpochBefore) + " → " + number(a.EpochAfter),
			seconds(time.Duration(a.NoMasterMs) * time.Millisecond), noWrite,
			fmt.Sprint(a.Lost), fmt.Sprint(a.Twice), fmt.Sprintf("%d/%d", a.StaleTaken, a.StaleRefused),
		})
	}
	const words = 3 // columns of words come first; numbers stand on the right
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	fmt.Fprintln(w)
	for n, row := range rows {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i < words {
				c += pad
			} else {
				c = pad + c
			}
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString("  ")
			}
		}
		line := b.String()
		if n == 0 {
			line = bold(line)
		}
		fmt.Fprintln(w, line)
	}
	s := r.Sums
	fmt.Fprintf(w, `
no master: from what was done to the next reign, as the instances tell it
no write:  from the old master's last write to the new one's first, at the sink
stale:     writes under an old token, taken/refused; the demo itself made %d

%s made, %d taken, %d lost, %d done twice at the sink.
%s begun by one master, not finished, and done by the next.
%s under an old token taken, %d refused; %s refused.
`,
		s.Replayed, plural(s.Made, "message"), s.Taken, s.Lost, s.Twice,
		plural(s.Redone, "message"), plural(s.StaleTaken, "write"), s.StaleRefused, plural(s.RepeatsRefused, "repeat"))
	if len(r.Wrong) == 0 {
		fmt.Fprintf(w, "All went as it should, in %.1f s.\n", r.Seconds)
		return
	}
	for _, text := range r.Wrong {
		for line := range strings.Lines(text) {
			fmt.Fprintln(w, red("wrong: "+strings.TrimSuffix(line, "\n")))
		}
	}
}

func number(epoch uint64) string {
	if epoch == 0 {
		return "-"
	}
	return strconv.FormatUint(epoch, 10)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
