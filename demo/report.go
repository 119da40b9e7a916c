package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
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
	// Redone counts the orders that the old master had taken and not acknowledged.
	Redone int `json:"redone"`
	// HandOver is what the new master found in flight, and what it did with it.
	HandOver HandOver `json:"handOver"`
	Counts

	replayed int // stale writes by the demo itself
}

// Counts are the faults of a stretch of time, and what the sink refused in it.
type Counts struct {
	Lost           int `json:"lost"`
	Twice          int `json:"twice"`   // takings too many
	Doubled        int `json:"doubled"` // messages that were taken more than once
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
	// Once counts the messages that are at the sink exactly once.
	Once     int      `json:"once"`
	HandOver HandOver `json:"handOver"`
	Counts
}

// report reads the sink's books.
func (p *play) report() *Report {
	r := &Report{Seconds: (boottime.Now() - p.start).Round(10 * time.Millisecond).Seconds(), Wrong: []string{}}
	books := p.world.sink.Books()
	made, _ := p.world.source.Count()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.scenes {
		last, to := s.last, s.to
		if i == len(p.scenes)-1 { // the end belongs to the last act
			last, to = made, boottime.Now()
		}
		row := s.Row
		row.Counts = audit(books, s.first, last, s.from, to)
		for n, h := range p.handOvers {
			if h.scene == i && n > 0 {
				row.HandOver.add(h.count())
			}
		}
		r.Acts = append(r.Acts, row)
		r.Sums.Redone += row.Redone
		r.Sums.Replayed += row.replayed
		r.Sums.HandOver.add(row.HandOver)
	}
	r.Sums.Made = made
	r.Sums.Counts = audit(books, 1, made, 0, boottime.Now())
	for _, e := range books {
		if e.Verdict == shop.Taken {
			r.Sums.Taken++
		}
	}
	r.Sums.Once = made - r.Sums.Lost - r.Sums.Doubled
	r.Wrong = append(append(r.Wrong, p.wrong...), p.handOverFaults()...)
	r.judge()
	return r
}

// audit counts the faults in a sink's books: messages from first to last that
// were not taken, or more than once, and writes taken between two times under a
// smaller token than one before them. It trusts nothing that the sink believed.
// It also counts what was refused between those times.
func audit(books []shop.Entry, first, last int, from, to time.Duration) (c Counts) {
	times := map[string]int{}
	highest := ""
	for _, e := range books {
		within := e.At >= from && e.At < to
		switch {
		case e.Verdict == shop.Taken:
			times[e.ID]++
			if e.Token < highest && within {
				c.StaleTaken++
			}
			highest = max(highest, e.Token)
		case e.Verdict == shop.Stale && within:
			c.StaleRefused++
		case e.Verdict == shop.Repeat && within:
			c.RepeatsRefused++
		}
	}
	for n := first; n <= last; n++ {
		switch got := times[strconv.Itoa(n)]; {
		case got == 0:
			c.Lost++
		case got > 1:
			c.Twice += got - 1
			c.Doubled++
		}
	}
	return c
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
	fmt.Fprintln(w)
	columns(w, bold, rows, 3)
	fmt.Fprintf(w, `
no master: from what was done to the next reign, as the instances tell it
no write:  from the old master's last write to the new one's first, at the sink
stale:     writes under an old token, taken/refused; the demo itself made %d

`, r.Sums.Replayed)
	rows = [][]string{{"what the new master found", "in flight", "anew", "again", "had", "closed", "untold"}}
	for _, a := range r.Acts[min(1, len(r.Acts)):] {
		h := a.HandOver
		rows = append(rows, []string{a.Done, fmt.Sprint(h.InFlight), fmt.Sprint(h.Anew), fmt.Sprint(h.Again), fmt.Sprint(h.SinkHad), fmt.Sprint(h.Closed), fmt.Sprint(h.Untold)})
	}
	columns(w, bold, rows, 1)
	s := r.Sums
	fmt.Fprintf(w, `
anew:   nothing had been published, so it was done from the start
again:  the publish was open, so it was published again with the same id;
        had: the sink had it already, and refused the repeat
closed: it had been published; only the end of its workflow was missing
untold: handed to the old master when it could tell nobody any more: nothing
        was published, and the source handed it out again

%s made, %d at the sink exactly once: %d lost, %d twice.
%s refused there; under an old token %s refused, %d taken.
`,
		plural(s.Made, "message"), s.Once, s.Lost, s.Doubled,
		plural(s.RepeatsRefused, "repeat"), plural(s.StaleRefused, "write"), s.StaleTaken)
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

// columns writes rows under a heading. The first columns are words; those after
// them are numbers, and stand on the right.
func columns(w io.Writer, bold func(string) string, rows [][]string, words int) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
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
