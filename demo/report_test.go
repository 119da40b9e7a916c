package demo

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

func TestAudit(t *testing.T) {
	write := func(at time.Duration, message int, token string, verdict ...shop.Verdict) shop.Entry {
		e := shop.Entry{Write: shop.Write{ID: strconv.Itoa(message), Token: token}, Verdict: shop.Taken, At: at}
		if len(verdict) > 0 {
			e.Verdict = verdict[0]
		}
		return e
	}
	for _, c := range []struct {
		name  string
		books []shop.Entry
		want  Counts
	}{
		{"all there", []shop.Entry{write(1, 2, token1), write(2, 1, token1), write(3, 3, token9)}, Counts{}},
		{"one lost", []shop.Entry{write(1, 1, token1), write(2, 3, token1)}, Counts{Lost: 1}},
		{"one twice", []shop.Entry{write(1, 1, token1), write(2, 2, token1), write(3, 3, token1), write(4, 1, token9)}, Counts{Twice: 1, Doubled: 1}},
		{"one three times", []shop.Entry{write(1, 1, token1), write(2, 2, token1), write(3, 3, token1), write(4, 1, token9), write(5, 1, token9)}, Counts{Twice: 2, Doubled: 1}},
		{"an old token", []shop.Entry{write(1, 1, token9), write(2, 2, token10), write(3, 3, token9)}, Counts{StaleTaken: 1}},
		{"two old tokens in a row", []shop.Entry{write(1, 1, token9), write(2, 2, token1), write(3, 3, token1)}, Counts{StaleTaken: 2}},
		{"nothing", nil, Counts{Lost: 3}},
		{"refused", []shop.Entry{write(1, 1, token9), write(2, 2, token1, shop.Stale), write(3, 2, token9), write(4, 1, token9, shop.Repeat), write(99, 3, token9), write(99, 3, token9, shop.Repeat)}, Counts{StaleRefused: 1, RepeatsRefused: 1}},
		{"one that was never made", []shop.Entry{write(1, 1, token1), write(2, 2, token1), write(3, 3, token1), write(4, 4, token1)}, Counts{}},
		{"old, but not in this time", []shop.Entry{write(1, 1, token9), write(2, 2, token9), write(99, 3, token1)}, Counts{}},
		{"older than one of an earlier time", []shop.Entry{write(-1, 9, token9), write(1, 1, token1), write(2, 2, token9), write(3, 3, token9)}, Counts{StaleTaken: 1}},
	} {
		if got := audit(c.books, 1, 3, 0, 50); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		counts Counts
		want   string
	}{
		{Counts{StaleRefused: 3, RepeatsRefused: 2}, ""},
		{Counts{Lost: 1}, "1 message lost"},
		{Counts{Twice: 2}, "2 messages done twice"},
		{Counts{StaleTaken: 1}, "1 stale write taken"},
	} {
		r := &Report{Sums: Sums{Counts: c.counts}}
		r.judge()
		if got := strings.Join(r.Wrong, ", "); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.counts, got, c.want)
		}
	}
}

// The books of a whole demo become rows: each message and refusal counts where
// it belongs, and what comes after the last act counts there.
func TestReportOfScenes(t *testing.T) {
	clock := time.Duration(0)
	k := shop.NewSink(func() time.Duration { return clock })
	s := shop.NewSource()
	for range 6 {
		s.Make()
	}
	p := &play{board: newBoard(), world: &world{source: s, sink: k}, scenes: []*scene{
		{Row: Row{Done: "0 start", Before: "-", After: "a", EpochAfter: 1}, first: 1, last: 2, from: 0, to: 10},
		{Row: Row{Done: "1 kill", Before: "a", After: "b", EpochBefore: 1, EpochAfter: 9, Redone: 2, replayed: 1}, first: 3, last: 4, from: 10, to: 20},
	}}
	b := &work{Attachment: shop.Attachment{Instance: "b", Token: token9}}
	p.handOvers = []*handOver{
		{scene: 0, to: &work{}, found: []finding{{"1", "price"}}}, // the first has no predecessor
		{scene: 1, to: b, found: []finding{{"2", "publish"}, {"3", "price"}}, settled: []shop.Settlement{{ID: "2", Did: shop.DidPublish, Answer: shop.Repeat}}},
		{scene: 1, to: b, settled: []shop.Settlement{{ID: "4", Did: shop.DidEnd}}},
	}
	for _, w := range []struct {
		at      time.Duration
		message string
		token   string
	}{
		{1, "2", token1}, {2, "2", token1}, // message 1 is lost, and a repeat refused
		{11, "3", token9}, {12, "4", token1}, // a stale write refused
		{13, "4", token9}, {25, "5", token9}, // after the last act; 6 is lost
	} {
		clock = w.at
		k.Write(shop.Write{ID: w.message, Token: w.token})
	}
	r := p.report()
	if got, want := r.Acts[0].Counts, (Counts{Lost: 1, RepeatsRefused: 1}); got != want {
		t.Errorf("first act: got %+v, want %+v", got, want)
	}
	if got, want := r.Acts[1].Counts, (Counts{Lost: 1, StaleRefused: 1}); got != want {
		t.Errorf("second act: got %+v, want %+v", got, want)
	}
	handOver := HandOver{InFlight: 2, Again: 1, SinkHad: 1, Closed: 1}
	if r.Acts[0].HandOver != (HandOver{}) || r.Acts[1].HandOver != handOver {
		t.Errorf("hand-overs: got %+v and %+v, want none and %+v", r.Acts[0].HandOver, r.Acts[1].HandOver, handOver)
	}
	want := Sums{Made: 6, Taken: 4, Redone: 2, Replayed: 1, Once: 4, HandOver: handOver, Counts: Counts{Lost: 2, StaleRefused: 1, RepeatsRefused: 1}}
	if r.Sums != want {
		t.Errorf("sums: got %+v, want %+v", r.Sums, want)
	}
	if len(r.Wrong) != 1 {
		t.Errorf("wrong: got %q, want the lost messages", r.Wrong)
	}
}

func TestTable(t *testing.T) {
	r := &Report{
		Seconds: 9.5,
		Acts: []Row{
			{Done: "0 start", Before: "-", After: "a", EpochAfter: 1, NoMasterMs: 620},
			{Done: "4 hand over on purpose", Before: "a", After: "b", EpochBefore: 1, EpochAfter: 12, NoMasterMs: 10100, NoWriteMs: 12345, Counts: Counts{Lost: 1234, Twice: 5, StaleTaken: 1, StaleRefused: 12}, HandOver: HandOver{InFlight: 12, Anew: 3, Again: 4, SinkHad: 2, Closed: 5, Untold: 1}},
		},
		Sums: Sums{Made: 123456, Once: 111111, Redone: 1, Replayed: 1, Counts: Counts{Lost: 12345, Doubled: 1234, StaleTaken: 1234, StaleRefused: 12345, RepeatsRefused: 1234}},
	}
	plain := func(s string) string { return s }
	text := func() string {
		var b strings.Builder
		r.Table(&b, plain, plain)
		return b.String()
	}
	good := text()
	for line := range strings.Lines(good) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"what was done           master  epoch   no master  no write  lost  twice  stale\n",
		"0 start                 - → a   - → 1      0.62 s         -     0      0    0/0\n",
		"4 hand over on purpose  a → b   1 → 12    10.10 s   12.35 s  1234      5   1/12\n",
		"what the new master found  in flight  anew  again  had  closed  untold\n",
		"4 hand over on purpose            12     3      4    2       5       1\n",
		"123456 messages made, 111111 at the sink exactly once: 12345 lost, 1234 twice.\n",
		"1234 repeats refused there; under an old token 12345 writes refused, 1234 taken.\n",
		"All went as it should, in 9.5 s.\n",
	} {
		if !strings.Contains(good, want) {
			t.Errorf("no line %q in:\n%s", want, good)
		}
	}
	r.Wrong = []string{"1 message lost", "two\nlines"}
	if wrong := text(); strings.Contains(wrong, "All went") || !strings.HasSuffix(wrong, "wrong: 1 message lost\nwrong: two\nwrong: lines\n") {
		t.Errorf("a failed demo ends with what went wrong:\n%s", wrong)
	}
}
