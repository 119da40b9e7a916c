package kill

import (
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// books of entries such as "1a": message 1, by the master with the token a;
// "1a-" was refused as stale, "1a=" as a repeat.
func books(text string) (list []shop.Entry) {
	for word := range strings.FieldsSeq(text) {
		e := shop.Entry{Verdict: shop.Taken}
		switch {
		case strings.HasSuffix(word, "-"):
			e.Verdict = shop.Stale
		case strings.HasSuffix(word, "="):
			e.Verdict = shop.Repeat
		}
		word = strings.TrimRight(word, "-=")
		e.ID, e.Token = word[:1], word[1:]
		list = append(list, e)
	}
	return list
}

func takeover(token string, knows map[string]Knowledge) Takeover {
	return Takeover{Token: token, Instance: "of " + token, Knows: knows}
}

func TestJudge(t *testing.T) {
	type known = map[string]Knowledge
	for _, tt := range []struct {
		name      string
		books     string
		takeovers []Takeover
		want      Verdict // without Made, Published and Faults
	}{
		{"one master", "1a 2a 3a", []Takeover{takeover("a", nil)}, Verdict{}},
		{"the next one knows", "1a 2a 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Open})}, Verdict{}},
		{"the reports come in any order", "1a 2a 3b", []Takeover{takeover("b", known{"1": Done, "2": Published}), takeover("a", nil)}, Verdict{}},
		{"it knows nothing", "1a 2a 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done})}, Verdict{Unknown: 1, Nothing: 1}},
		{"it knows the message, not the publish", "1a 2a 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Begun})}, Verdict{Unknown: 1}},
		{"only the next one needs to know", "1a 2b 3c", []Takeover{takeover("a", nil), takeover("b", known{"1": Done}), takeover("c", known{"2": Done})}, Verdict{}},
		{"an open publish is repeated", "1a 2a 2b= 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Open})}, Verdict{Doubts: 1}},
		{"one that had ended is repeated", "1a 2a 2b= 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Published})}, Verdict{Twice: 1}},
		{"one that is done is repeated", "1a 2a 2b= 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Done})}, Verdict{Twice: 1}},
		{"one that was not known is repeated", "1a 2a 2b= 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done})}, Verdict{Unknown: 1, Nothing: 1, Twice: 1}},
		{"twice by one master", "1a 2a 2a= 3a", []Takeover{takeover("a", nil)}, Verdict{Twice: 1}},
		{"a frozen one publishes late", "1a 2b 2a- 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Open})}, Verdict{Doubts: 1}},
		{"it was not known", "1a 2b 2a- 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Begun})}, Verdict{Unknown: 1, Twice: 1}},
		{"three times", "1a 1b= 1c= 2c 3c", []Takeover{takeover("a", nil), takeover("b", known{"1": Open}), takeover("c", known{"1": Open})}, Verdict{Doubts: 1}},
		{"the third time without a report", "1a 1b= 1c= 2c 3c", []Takeover{takeover("a", nil), takeover("b", known{"1": Open}), takeover("c", known{"1": Done})}, Verdict{Doubts: 1, Twice: 1}},
		{"a token that grew", "1a 2a5 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Done})}, Verdict{}},
		{"lost", "1a 3a", []Takeover{takeover("a", nil)}, Verdict{Lost: 1}},
		{"refused is lost too", "1a 3b 2a-", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Open})}, Verdict{Lost: 1}},
		{"a sink that takes an id twice", "1a 2a 2b 3b", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Open})}, Verdict{Doubts: 1, TakenTwice: 1}},
		{"a sink that takes an old token", "1a 3b 2a", []Takeover{takeover("a", nil), takeover("b", known{"1": Done, "2": Open})}, Verdict{StaleTaken: 1}},
	} {
		got := judge(books(tt.books), tt.takeovers, 3)
		if clean := got.Unknown+got.Twice+got.Lost+got.TakenTwice+got.StaleTaken == 0; clean != (len(got.Faults) == 0) {
			t.Errorf("%s: %v, but the faults are %q", tt.name, got, got.Faults)
		}
		if got.Made != 3 || got.Published < 2 {
			t.Errorf("%s: %v", tt.name, got)
		}
		got.Made, got.Published, got.Faults = 0, 0, nil
		if got.String() != tt.want.String() {
			t.Errorf("%s:\n got %v\nwant %v", tt.name, got, tt.want)
		}
	}
}

func TestKnowledge(t *testing.T) {
	step := func(k profiler.Kind, p profiler.Phase) mirror.Step { return mirror.Step{Kind: k, Phase: p} }
	for _, tt := range []struct {
		steps []mirror.Step
		want  Knowledge
	}{
		{nil, Begun},
		{[]mirror.Step{step(profiler.Service, profiler.Started)}, Begun},
		{[]mirror.Step{step(profiler.Producer, profiler.Failed)}, Begun},
		{[]mirror.Step{step(profiler.Producer, profiler.Started)}, Open},
		{[]mirror.Step{step(profiler.Producer, profiler.Completed)}, Published},
		{[]mirror.Step{step(profiler.Producer, profiler.Completed), step(profiler.Producer, profiler.Started)}, Open},
	} {
		if got := knowledge(mirror.Message{Steps: tt.steps}); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.steps, got, tt.want)
		}
	}
}
