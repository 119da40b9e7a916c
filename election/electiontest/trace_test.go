package electiontest

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var (
	replay = flag.String("replay", "", "file with a scenario to run with a trace")
	lines  = flag.Int("lines", 400, "how much of the end of the trace to show")
)

// TestReplay runs the scenario that a failure printed and shows what happened.
func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("give -replay FILE, the scenario that a failed run printed")
	}
	b, err := os.ReadFile(*replay)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := Parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Trace(sc)
	if err != nil {
		t.Fatal(err)
	}
	n := max(0, len(r.Trace)-*lines)
	t.Log(strings.Join(r.Trace[n:], "\n"))
	if len(r.Violations) > 0 {
		t.Errorf("%v", r.Violations)
	}
}
