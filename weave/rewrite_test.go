//go:build unix

package weave

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestResults: the hook sees the error, however the results are written, and
// nothing else of the function changes.
func TestResults(t *testing.T) {
	const head = `-- main.go --
package main; import ("context"; "errors"; "fmt") // all on one line

var bad = errors.New("bad")

type M struct{ ID string }
`
	functions := []string{
		"func f(ctx context.Context, m M) error { return bad }",
		"func f(context.Context, M) error { return bad }",
		"func f(_ context.Context, _ M) (error) { return bad }",
		"func f(ctx context.Context, m M) (_ error) { return bad }",
		"func f(ctx, other context.Context, m, n M) (err error) { err = bad; return }",
		"func f(ctx context.Context, m M) (err error) { if err := bad; err != nil { return err }; return }",
		"func f(context.Context, ...M) error { return bad }",
		"func f(ctx context.Context, string M) error { return bad }",
		"func f(ctx context.Context, m M) error {\n\tdefer func() { recover() }()\n\treturn bad }",
	}
	archive, calls := goMod+head, ""
	for i, f := range functions {
		for j, mark := range []string{"x", "x producer fence"} {
			name := fmt.Sprintf("f%d%d", i, j)
			archive += "\n//profiler:step " + mark + "\n" + strings.Replace(f, "func f(", "func "+name+"(", 1) + "\n"
			args := "context.Background(), M{}"
			if strings.Contains(f, "other") {
				args = "context.Background(), nil, M{}, M{}"
			}
			calls += fmt.Sprintf("\tfmt.Println(%q, %s(%s))\n", name, name, args)
		}
	}
	dir := program(t, archive+"\nfunc main() {\n"+calls+"}\n")
	r := weaveFor(t, dir, false, "run", ".")
	if len(r.Points) != 2*len(functions) {
		t.Errorf("found %d of %d", len(r.Points), 2*len(functions))
	}
	out := mustRun(t, dir, environ(), "go", r.Args...)
	if strings.Count(out, " bad\n") != 2*len(functions) {
		t.Errorf("printed\n%s", out)
	}
	// Without an error among the results, and without a context.
	dir = program(t, goMod+head+`
//profiler:step a
func a(ctx context.Context, m M) (int, string) { return 1, "a" }

//profiler:step b
func b(m *M) (n int, _ error) { n = 2; return n, bad }

//profiler:step c workflow
func c() int { return 3 }

func main() { fmt.Println(a(context.Background(), M{})); fmt.Println(b(nil)); fmt.Println(c()) }
`)
	if out := mustRun(t, dir, environ(), "go", weaveFor(t, dir, false, "run", "main.go").Args...); out != "1 a\n2 bad\n3\n" {
		t.Errorf("printed %q", out)
	}
}

// TestPlaces: the compiler's errors name the lines and columns of the source.
func TestPlaces(t *testing.T) {
	dir := program(t, goMod+`-- main.go --
package main

import "context"

type M struct{ ID string }

type S struct{}

func (S) DoService(_ context.Context, m M) (error) { var x int = "a"
	var y int = "b"; return nil }; var z int = "c"

func main() { var u int }
`)
	_, want, _ := output(t, dir, environ(), "go", "build", ".")
	if strings.Count(want, "main.go:") != 6 {
		t.Fatalf("the source has other faults than it should: %s", want)
	}
	_, got, code := output(t, dir, environ(), "go", weaveFor(t, dir, false, "build", ".").Args...)
	// A variable that the faulty line declares may be unused, too: as in want.
	if got != want || code != 1 {
		t.Errorf("exit %d, %s\nwant %s", code, got, want)
	}
}

// TestLineComments: the places that a generator gave are left to it.
func TestLineComments(t *testing.T) {
	dir := program(t, goMod+`-- main.go --
package main

import "context"

type M struct{ ID string }

type S struct{}

//line grammar.y:100
func (S) DoService(_ context.Context, m M) error {
	panic("here")
}

func main() { S{}.DoService(context.Background(), M{}) }
`)
	_, got, _ := output(t, dir, environ(), "go", weaveFor(t, dir, false, "run", ".").Args...)
	if !regexp.MustCompile(`grammar\.y:101`).MatchString(got) {
		t.Errorf("the trace does not tell line 101 of the grammar:\n%s", got)
	}
}

// TestCallersOverlay: what the caller replaces is woven as he replaces it.
func TestCallersOverlay(t *testing.T) {
	dir := program(t, goMod+`-- main.go --
package main

func main() { println("source") }
-- other/main.txt --
package main

import ("context"; "os")

//profiler:step x
func x(ctx context.Context) { os.Stdout.WriteString("overlay\n") }

func main() { x(context.Background()) }
-- overlay.json --
{"Replace": {"main.go": "other/main.txt"}}
`)
	r := weaveFor(t, dir, false, "run", "-overlay", "overlay.json", ".")
	if out := mustRun(t, dir, environ(), "go", r.Args...); out != "overlay\n" || len(r.Points) != 1 {
		t.Errorf("printed %q, %d points", out, len(r.Points))
	}
}

// TestNothingWritten: the program's folder stays as it is.
func TestNothingWritten(t *testing.T) {
	dir := program(t, goMod+"-- p.go --\npackage p\n\nimport \"context\"\n\n//profiler:step x\nfunc X(ctx context.Context) {}\n")
	mustRun(t, dir, environ(), "go", weaveFor(t, dir, false, "build", "./...").Args...)
	mustRun(t, dir, environ(), "go", weaveFor(t, dir, false, "test", "./...").Args...)
	var names []string
	err := filepath.Walk(dir, func(name string, _ os.FileInfo, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil || len(names) != 3 {
		t.Errorf("%q, %v", names, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || "-- go.mod --\n"+string(b) != goMod {
		t.Errorf("go.mod is %q, %v", b, err)
	}
}
