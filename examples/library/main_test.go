package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/node"
)

func TestRun(t *testing.T) {
	dir, err := os.MkdirTemp("", "lib") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := node.Config{
		Environ: []string{"HOME=" + dir},
		Set: []string{
			"failover.cluster=library", "failover.name=a", "failover.interface=lo", "failover.port=27129",
			"failover.delay=50", "failover.retries=10", "failover.state.dir=" + dir + "/state",
		},
		SocketPath: dir + "/a.sock",
	}
	var out strings.Builder
	if err := run(t.Context(), cfg, shop{strings.NewReader("o-1\no-2\n"), &out}); err != nil {
		t.Fatal(err)
	}
	if want := "handled o-1\nhandled o-2\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// The README shows the lines of run.
func TestReadme(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(source), "func run(ctx context.Context, cfg node.Config, orders shop) error {\n\t")
	body, _, closed := strings.Cut(rest, "\n}\n")
	if !ok || !closed {
		t.Fatal("there is no run in main.go")
	}
	if !strings.Contains(string(readme), "\n```go\n"+strings.ReplaceAll(body, "\n\t", "\n")+"\n```\n") {
		t.Errorf("the README's example is not\n%s", strings.ReplaceAll(body, "\n\t", "\n"))
	}
}
