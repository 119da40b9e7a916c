package position

import (
	"os"
	"regexp"
	"testing"
)

// TestRulesListed compares PROTOCOL.md §11.5 with the rules.
func TestRulesListed(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rules := regexp.MustCompile(`(?m)^\tRule\w+ .*// (.*)$`).FindAllStringSubmatch(read("rules.go"), -1)
	listed := regexp.MustCompile("(?m)^\\| P\\d+ \\| `([a-z]+)`: ([^|]*) \\|.*\\| (\\w+) \\|$").FindAllStringSubmatch(read("../../PROTOCOL.md"), -1)
	shown := read("positiontest/rules_test.go")
	if len(rules) < 10 || len(rules) != len(listed) {
		t.Fatalf("%d rules, PROTOCOL.md §11.5 has %d", len(rules), len(listed))
	}
	for i, row := range listed {
		if row[2] != rules[i][1] {
			t.Errorf("%q, but rules.go says %q", row[2], rules[i][1])
		}
		name := regexp.MustCompile(`Rule\w+`).FindString(rules[i][0])
		if !regexp.MustCompile(`position\.` + name + `, "` + row[3] + `"`).MatchString(shown) {
			t.Errorf("no scenario shows that %s is noticed by %q", name, row[3])
		}
	}
}
