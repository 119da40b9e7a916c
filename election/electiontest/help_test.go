package electiontest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parse reads a scenario that a test wrote; a fault in it is one of the test.
func parse(format string, a ...any) *Scenario {
	sc, err := Parse(fmt.Sprintf(format, a...))
	if err != nil {
		panic(err)
	}
	return sc
}

// nodes are the lines of n plain nodes.
func nodes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "node %c\n", 'a'+i)
	}
	return b.String()
}

func mode(name string) Mode {
	for _, m := range Modes() {
		if m.Name == name {
			return m
		}
	}
	panic("no mode " + name)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(files))
	}
	return files
}

func load(t *testing.T, file string) *Scenario {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := Parse(string(b))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return sc
}

func mustRun(t *testing.T, sc *Scenario) *Report {
	t.Helper()
	r, err := Run(sc)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
