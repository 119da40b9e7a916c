//go:build unix

package weave

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestProgramOfTheDocs: what docs/hooks.md shows is woven, builds and runs.
func TestProgramOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\npackage main\n")
	source, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("docs/hooks.md has no program")
	}
	dir := program(t, goMod+"-- main.go --\npackage main\n"+source)
	r := weaveFor(t, dir, false, "build", "-o", "orders", ".")
	if len(r.Points) != 3 {
		t.Errorf("%d steps, want 3", len(r.Points))
	}
	mustRun(t, dir, environ(), "go", r.Args...)
	cmd := exec.Command("./orders")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, environ(), strings.NewReader("o-17 spoon\no-18\n")
	out, err := cmd.CombinedOutput()
	if want := "published o-17 spoon\norder o-18 failed: want: ID ITEM\n"; err != nil || string(out) != want {
		t.Errorf("printed %q, %v", out, err)
	}
}
