package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
)

// beats of words such as "a1@3-7": the command of a under epoch 1 ran from 3 to 7.
func beats(text string) (list []beat) {
	for n, word := range strings.Fields(text) {
		var from, to int
		who, when, _ := strings.Cut(word, "@")
		if _, err := fmt.Sscanf(when, "%d-%d", &from, &to); err != nil {
			panic(err)
		}
		for at := from; at <= to; at++ {
			list = append(list, beat{at == from, who[:1], who[1:] + "-" + who[:1], 100 + n, time.Duration(at)})
		}
	}
	slices.SortStableFunc(list, func(a, b beat) int { return int(a.At - b.At) })
	return list
}

func TestJudge(t *testing.T) {
	entry := func(id, token string, v shop.Verdict) shop.Entry {
		return shop.Entry{Write: shop.Write{ID: id, Token: token}, Verdict: v}
	}
	one := []shop.Entry{entry("1", "1-a", shop.Taken)}
	for _, tt := range []struct {
		name string
		r    record
		want string // of the first fault; empty: none
	}{
		{"nothing", record{}, ""},
		{"one after the other", record{Quorum: true, Beats: beats("a1@1-4 b2@5-9"), Books: one, Made: 1}, ""},
		{"again under the same token", record{Quorum: true, Beats: beats("a1@1-4 a1@5-9")}, ""},
		{"two at once", record{Quorum: true, Beats: beats("a1@1-5 b2@5-9")}, "two commands at once"},
		{"two of one instance at once", record{Quorum: true, Beats: beats("a1@1-5 a1@5-9")}, "two commands at once"},
		{"two without a quorum", record{Beats: beats("a1@1-5 b2@5-9")}, ""},
		{"two while keeper and node stood still", record{Quorum: true, Beats: beats("a1@1-5 b2@3-9"), Unguarded: []stretch{{"a", 2, 3}}}, ""},
		{"two while those of the later one did", record{Quorum: true, Beats: beats("a1@1-5 b2@3-9"), Unguarded: []stretch{{"b", 2, 3}}}, ""},
		{"long after they stood still", record{Quorum: true, Beats: beats("a1@1-90 b2@80-99"), Unguarded: []stretch{{"a", 2, 3}}}, "two commands at once"},
		{"they stood still before", record{Quorum: true, Beats: beats("a1@4-5 b2@5-9"), Unguarded: []stretch{{"a", 2, 3}}}, "two commands at once"},
		{"another stood still", record{Quorum: true, Beats: beats("a1@1-5 b2@5-9"), Unguarded: []stretch{{"c", 2, 3}}}, "two commands at once"},
		{"an epoch of two", record{Quorum: true, Beats: beats("a1@1-4 b1@5-9")}, "b began under 1-b after a"},
		{"an epoch that shrinks", record{Quorum: true, Beats: beats("a2@1-4 b1@5-9")}, "b began under 1-b after a"},
		{"calm", record{Beats: beats("a1@1-5 b2@3-9"), Calm: []stretch{{From: 6, To: 8}}}, ""},
		{"two in the calm", record{Beats: beats("a1@1-7 b2@3-9"), Calm: []stretch{{From: 6, To: 8}}}, "in the calm from 6ns to 8ns 2 commands ran"},
		{"none in the calm", record{Beats: beats("a1@1-5"), Calm: []stretch{{From: 6, To: 8}}}, "in the calm from 6ns to 8ns 0 commands ran"},
		{"a change in the calm", record{Quorum: true, Beats: beats("a1@1-6 b2@7-9"), Calm: []stretch{{From: 6, To: 8}}}, "in the calm from 6ns to 8ns 2 commands ran"},
		{"lost", record{Books: one, Made: 2}, "message 2 was taken 0 times"},
		{"taken twice", record{Books: append(one, entry("1", "1-a", shop.Taken)), Made: 1}, "message 1 was taken 2 times"},
		{"a repeat refused", record{Books: append(one, entry("1", "2-b", shop.Repeat)), Made: 1}, ""},
		{"an old token refused", record{Books: append(one, entry("1", "0-b", shop.Stale)), Made: 1}, ""},
		{"an old token taken", record{Books: append(one, entry("2", "0-b", shop.Taken)), Made: 2}, "message 2 was taken under the old token 0-b"},
	} {
		got := strings.Join(judge(tt.r), "; ")
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestOverlaps(t *testing.T) {
	a := []stretch{{"a", 1, 5}, {"b", 1, 5}, {"a", 8, 9}}
	b := []stretch{{"a", 3, 8}, {"c", 1, 9}}
	if got, want := overlaps(a, b), []stretch{{"a", 3, 5}, {"a", 8, 8}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseBeat(t *testing.T) {
	for line, want := range map[string]beat{
		"start n1 2-a 17 300": {true, "n1", "2-a", 17, 300},
		"end n2  18 301":      {false, "n2", "", 18, 301}, // no token in the 3.3 design
	} {
		if got, err := parseBeat(line); err != nil || got != want {
			t.Errorf("%q: got %v, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "start n1 2-a 17", "start n1 2-a x 300", "start n1 2-a 17 x"} {
		if got, err := parseBeat(line); err == nil {
			t.Errorf("%q: got %v, want an error", line, got)
		}
	}
}

func TestFate(t *testing.T) {
	draw := func(seed uint64, rules ...rule) string {
		chance := rand.New(rand.NewPCG(seed, 0))
		var b strings.Builder
		for n := range 400 {
			fmt.Fprint(&b, fate(rules, 1, 2, time.Duration(n)*time.Millisecond, chance))
		}
		return b.String()
	}
	through := strings.Repeat("[0s]", 400)
	for _, tt := range []struct {
		name  string
		rules []rule
		want  string
	}{
		{"no rule", nil, through},
		{"all lost", []rule{{Loss: 100}}, strings.Repeat("[]", 400)},
		{"other ports", []rule{{From: 2, Loss: 100}, {To: 1, Loss: 100}, {From: 1, To: 3, Loss: 100}}, through},
		{"these ports", []rule{{From: 1, To: 2, Loss: 100}}, strings.Repeat("[]", 400)},
		{"all doubled", []rule{{Double: 100}}, strings.Repeat("[0s 0s]", 400)},
		{"late", []rule{{Delay: time.Second}}, strings.Repeat("[1s]", 400)},
		{"bursts", []rule{{Burst: 200 * time.Millisecond}}, strings.Repeat(strings.Repeat("[0s]", 100)+strings.Repeat("[]", 100), 2)},
	} {
		if got := draw(1, tt.rules...); got != tt.want {
			t.Errorf("%s: got %s", tt.name, got)
		}
	}
	some := rule{Loss: 20, Double: 20, Jitter: time.Second}
	if n := strings.Count(draw(1, some), "[]"); n < 50 || n > 120 {
		t.Errorf("%d of 400 lost, want about 80", n)
	}
	if again := draw(1, some); draw(1, some) != again || draw(2, some) == again {
		t.Error("the seed does not decide")
	}
}
