package weave

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct{ args, list, pkgs, with string }{
		{"build", "", "", "build -overlay=O"},
		{"build -o x -v ./a ./b", "", "./a ./b", "build -overlay=O -o x -v ./a ./b"},
		{"build -C d -tags x -race -p 3 .", "-tags=x -race", ".", "build -C d -overlay=O -tags x -race -p 3 ."},
		{"build -C=d .", "", ".", "build -C=d -overlay=O ."},
		{"build -overlay mine.json .", "-overlay=mine.json", ".", "build -overlay=O ."},
		{"run -exec env . -n 3 ./x", "", ".", "run -overlay=O -exec env . -n 3 ./x"},
		{"run a.go b.go c -n", "", "a.go b.go", "run -overlay=O a.go b.go c -n"},
		{"run -- . x", "", "", "run -overlay=O -- . x"},
		{"test -c ./a", "", "./a", "test -overlay=O -vet=off -c ./a"},
		{"test -vet=all -run X ./a -count 1", "", "./a", "test -overlay=O -vet=off -run X ./a -count 1"},
	} {
		c, err := parse(strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		if got := strings.Join(c.list()[2:], " "); got != tt.list {
			t.Errorf("%s: go list has %q, want %q", tt.args, got, tt.list)
		}
		if got := strings.Join(c.pkgs, " "); got != tt.pkgs {
			t.Errorf("%s: packages %q, want %q", tt.args, got, tt.pkgs)
		}
		if got := strings.Join(c.with("O"), " "); got != tt.with {
			t.Errorf("%s: becomes %q, want %q", tt.args, got, tt.with)
		}
	}
	for args, want := range map[string]string{
		"":               "say what go is to do",
		"vet ./...":      "go vet builds nothing that could be woven",
		"build -tags":    "the flag -tags of go build needs a value",
		"build -v -C d":  "the flag -C has to be the first",
		"build -overlay": "needs a value",
		"mod tidy":       "go mod builds nothing",
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
