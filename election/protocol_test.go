package election_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func protocol(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRowsComplete compares the rows of PROTOCOL.md §3 with the tests.
func TestRowsComplete(t *testing.T) {
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| (T\d+) \|`).FindAllStringSubmatch(protocol(t), -1) {
		if slices.Contains(listed, m[1]) {
			t.Errorf("PROTOCOL.md has two rows %s", m[1])
		}
		listed = append(listed, m[1])
		if rows[m[1]] == nil {
			t.Errorf("no test stands for row %s of PROTOCOL.md", m[1])
		}
	}
	for name := range rows {
		if !slices.Contains(listed, name) {
			t.Errorf("PROTOCOL.md has no row %s", name)
		}
	}
}

// TestRulesComplete compares PROTOCOL.md §8 with the rules, and what it says
// of each with the scenario that shows it.
func TestRulesComplete(t *testing.T) {
	source, err := os.ReadFile("rules.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^\tRule\w+ .*// (.*)$`).FindAllStringSubmatch(string(source), -1)
	listed := regexp.MustCompile("(?m)^\\| R(\\d+) \\| `([a-z-]+)`: ([^|]*) \\|.*\\| (\\w+) \\|$").FindAllStringSubmatch(protocol(t), -1)
	if len(rules) < 30 || len(rules) != len(listed) {
		t.Fatalf("%d rules, PROTOCOL.md §8 has %d", len(rules), len(listed))
	}
	for i, row := range listed {
		if row[3] != rules[i][1] {
			t.Errorf("R%s: %q, but rules.go says %q", row[1], row[3], rules[i][1])
		}
		scenario, err := os.ReadFile("electiontest/testdata/ablations/" + row[2] + ".txt")
		if err != nil {
			t.Error(err)
		} else if want := "\nrule " + row[2] + " " + row[4] + "\n"; !strings.Contains(string(scenario), want) {
			t.Errorf("R%s: the scenario does not say %q", row[1], strings.TrimSpace(want))
		}
	}
}

// TestSectionsExist follows what the code cites of PROTOCOL.md.
func TestSectionsExist(t *testing.T) {
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ §([\d.]+) `).FindAllStringSubmatch(protocol(t), -1) {
		sections[m[1]] = true
	}
	cited := map[string]bool{}
	for _, dir := range []string{"../heartbeat", "."} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`PROTOCOL\.md §(\d+(?:\.\d+)?)`).FindAllStringSubmatch(string(text), -1) {
				cited[m[1]] = true
				if !sections[m[1]] {
					t.Errorf("%s cites §%s, which PROTOCOL.md does not have", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if len(cited) < 5 {
		t.Errorf("only %v cited: this test finds nothing", slices.Sorted(maps.Keys(cited)))
	}
}
