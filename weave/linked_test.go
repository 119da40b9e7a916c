//go:build unix

package weave

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinked: a program whose module requires ours gets our package and no
// copy, and its steps tell its own profiler.
func TestLinked(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(mod), "\n")
	const ours = "github.com/interlok-ha/interlok-ha"
	dir := program(t, "-- go.mod --\nmodule m\n"+rest+"\nrequire "+ours+" v0.0.0\n\nreplace "+ours+" => "+root+`
-- main.go --
package main

import (
	"context"
	"fmt"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/weave/hook"
)

type say struct{}

func (say) Observe(batch []profiler.Event) {
	for _, e := range batch {
		fmt.Println(e.ID, e.Step, e.Phase)
	}
}

type M struct{ ID string }

type S struct{}

func (S) DoService(ctx context.Context, m M) error { return nil }

func main() {
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{say{}}})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	S{}.DoService(hook.Context(ctx, p), M{"m-1"})
	cancel()
	<-done
}
`)
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600); err != nil {
		t.Fatal(err)
	}
	r := weaveFor(t, dir, false, "run", "-mod=mod", ".")
	if out := mustRun(t, dir, environ(), "go", r.Args...); out != "m-1 SERVICE S completed\n" {
		t.Errorf("printed %q", out)
	}
}
