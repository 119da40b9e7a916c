package positiontest

import (
	"flag"
	"strings"
	"testing"
)

var (
	runs  = flag.Int("runs", 0, "seeds for each mix of instances; 0 = one, and clusters of up to 4")
	first = flag.Uint64("seed", 1, "first seed")
)

// chaos runs seeds for every mix of 2 to 5 instances.
func chaos(t *testing.T, faults Faults, most int) {
	t.Helper()
	seeds := *runs
	if seeds == 0 {
		seeds, most = 1, 4
	}
	bad := 0
	checked := map[string]int{}
	for n := 2; n <= most; n++ {
		for _, mix := range Mixes(n) {
			for i := range uint64(seeds) {
				seed := *first + i
				sc := Chaos(seed*1000+uint64(n)*100+uint64(mix), n, mix, faults)
				rep := Run(sc)
				for check, n := range rep.Checked {
					checked[check] += n
				}
				if !rep.Failed("") {
					continue
				}
				if bad++; bad > 3 {
					t.Fatal("and more")
				}
				tail := rep.Trace
				if len(tail) > 120 {
					tail = tail[len(tail)-120:]
				}
				t.Errorf("%s seed %d: %v\n%s\n%s", MixName(n, mix), seed, rep.Violations, sc, strings.Join(tail, "\n"))
			}
		}
	}
	t.Log("checked:", checked)
	for _, check := range []string{"settle", "takeover", "handover", "heal"} {
		if checked[check] < 3 && (check != "heal" || faults&(Partitions|Losses) != 0) {
			t.Errorf("%q was checked %d times: this test finds nothing", check, checked[check])
		}
	}
}

// Random scenarios; PROTOCOL.md §11.6 says what is checked.
func TestCalm(t *testing.T)       { chaos(t, 0, 5) }
func TestFreezes(t *testing.T)    { chaos(t, Freezes, 5) }
func TestPartitions(t *testing.T) { chaos(t, Partitions, 5) }
func TestLosses(t *testing.T)     { chaos(t, Losses, 5) }
func TestInStep(t *testing.T)     { chaos(t, Partitions|Freezes|InStep, 5) }

// TestReplay: the same scenario gives the same run.
func TestReplay(t *testing.T) {
	sc := Chaos(7, 4, 0b0101, Freezes|Partitions)
	a, b := Run(sc), Run(sc)
	if a.Hash != b.Hash || a.Promotions == 0 {
		t.Fatalf("hashes %x and %x, %d promotions", a.Hash, b.Hash, a.Promotions)
	}
}
