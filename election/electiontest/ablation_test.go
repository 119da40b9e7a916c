package electiontest

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var search = flag.Uint64("search", 0, "try so many seeds for each ablation and print those that show it")

// TestAblations shows that each rule matters: one file for each in
// testdata/ablations. With the rule all is well; without it the invariant that
// the file names is violated, and no other before.
func TestAblations(t *testing.T) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			sc := load(t, filepath.Join("testdata", "ablations", r.name+".txt"))
			if sc.Rule != r.name {
				t.Fatalf("the file is about rule %q", sc.Rule)
			}
			if *search > 0 {
				searchSeeds(t, sc)
				return
			}
			with, without := both(t, sc)
			if len(with.Violations) > 0 {
				t.Errorf("with the rule: %v", with.Violations[0])
			}
			if len(without.Violations) == 0 {
				t.Fatalf("without the rule: nothing notices, want %s", sc.Missed)
			}
			v := without.Violations[0]
			if v.Invariant != sc.Missed {
				t.Errorf("without the rule: %v, want %s", v, sc.Missed)
			}
			t.Log(v)
		})
	}
}

// both runs a scenario with its rule and without.
func both(t *testing.T, sc *Scenario) (with, without *Report) {
	t.Helper()
	off, err := sc.Without(sc.Rule)
	if err != nil {
		t.Fatal(err)
	}
	return mustRun(t, sc), mustRun(t, off)
}

// searchSeeds is for whoever writes an ablation: which seeds show it, and what
// do the others show?
func searchSeeds(t *testing.T, sc *Scenario) {
	seen := map[string][]uint64{}
	for s := uint64(1); s <= *search; s++ {
		sc.Seed = s
		with, without := both(t, sc)
		what := fmt.Sprintf("with %s, without %s", invariants(with), invariants(without))
		seen[what] = append(seen[what], s)
	}
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%s: %d seeds, %v", what, len(seen[what]), seen[what][:min(8, len(seen[what]))])
	}
}

func invariants(r *Report) string {
	if len(r.Violations) == 0 {
		return "nothing"
	}
	return r.Violations[0].Invariant
}

// TestRulesHaveNames finds rules of package election that no ablation covers.
func TestRulesHaveNames(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "rules.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			for _, name := range v.Names {
				want = append(want, kebab(strings.TrimPrefix(name.Name, "Rule")))
			}
		}
		return true
	})
	var got []string
	for i, r := range rules {
		if r.lack != 0 {
			break
		}
		if r.off != 1<<i {
			t.Errorf("rule %s has bit %#x, want %#x", r.name, r.off, 1<<i)
		}
		got = append(got, r.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("rules here:     %v\nin election/rules.go: %v", got, want)
	}
	files, err := os.ReadDir(filepath.Join("testdata", "ablations"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, err := findRule(strings.TrimSuffix(f.Name(), ".txt")); err != nil {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}

// kebab turns AckAtOnce into ack-at-once.
func kebab(s string) string {
	var b strings.Builder
	for i, r := range s {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
