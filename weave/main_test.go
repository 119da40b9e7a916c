package weave

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"
)

// tidy is done when all tests have ended.
var tidy []func()

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, f := range tidy {
			f()
		}
		os.Exit(code)
	}))
}

// program writes an archive to a folder of its own.
func program(t *testing.T, archive string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// environ is that of the go commands under test.
func environ(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "INTERLOK_HA_") && !strings.HasPrefix(v, "GOFLAGS=") {
			env = append(env, v)
		}
	}
	return append(append(env, "GOFLAGS=-buildvcs=false", "GOPROXY=off", "GOWORK=off"), more...)
}

func weaveFor(t *testing.T, dir string, fence bool, args ...string) *Result {
	t.Helper()
	r, err := Weave(t.Context(), Config{Args: args, Dir: dir, Temp: t.TempDir(), Environ: environ(), Fence: fence})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// instance is the real API over a Unix socket, with somebody behind it who
// writes down the steps.
type instance struct {
	socket string

	mu    sync.Mutex // guards the rest
	steps []admin.Step
	fails func(admin.Step) error
	fence *admin.StepsFence
}

func startInstance(t *testing.T) *instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "wv") // short, as a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	i := &instance{socket: filepath.Join(dir, "s"), fence: &admin.StepsFence{Token: "t", ForMs: 5000}}
	s, err := admin.New(admin.Config{Node: struct{ admin.Node }{}, Steps: i, SocketPath: i.socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the instance does not start")
	}
	return i
}

func (i *instance) Report(_ context.Context, steps []admin.Step) (a admin.StepsAnswer, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range steps {
		if i.fails != nil {
			if err := i.fails(s); err != nil {
				return a, err
			}
		}
		i.steps = append(i.steps, s)
		a.Taken++
		if s.Fence {
			a.Fence = i.fence
		}
	}
	return a, nil
}

// failWith makes the reports of some steps fail.
func (i *instance) failWith(f func(admin.Step) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = f
}

// told is what was reported, one line for each step.
func (i *instance) told() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var lines []string
	for _, s := range i.steps {
		line := s.ID + " " + s.Kind + " " + s.Step + " " + s.Phase
		if s.Fence {
			line += " fenced"
		}
		if s.Error != "" {
			line += ": " + s.Error
		}
		lines = append(lines, line)
	}
	i.steps = nil
	return lines
}
