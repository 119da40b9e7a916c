//go:build linux

package lab

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	full = flag.Bool("full", false, "full counts and default settings, for nightly runs (tens of minutes)")

	// binary is the program under test; Main builds it before any test runs.
	binary string
)

// Full reports whether the tests run with full counts.
func Full() bool { return *full }

// Binary is the path of the program under test.
func Binary() string { return binary }

// Main builds the program and runs the tests, or, if this process was started
// as a command of an instance, is that command. It calls around before and
// after the tests. It returns the exit code.
func Main(m *testing.M, around ...func()) int {
	if len(os.Args) > 1 && os.Args[1] == workerVerb {
		return workerMain(os.Args[2:])
	}
	flag.Parse()
	parallel()
	dir, err := os.MkdirTemp("", "ilha-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "interlok-ha")
	build := exec.Command("go", "build", "-o", binary, "github.com/interlok-ha/interlok-ha/cmd/interlok-ha")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: build the program: %v\n%s", err, out)
		return 1
	}
	if err := readSources(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		return 1
	}
	for _, f := range around {
		f()
		defer f()
	}
	return m.Run()
}

// readSources opens every source file of the module: so `go test` knows that
// what the program is built from is an input of these tests too, and does not
// show an old result after a change.
func readSources() error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// parallel lets more tests run at once than there are cores, unless -parallel
// is given: they wait for leases to pass most of the time.
func parallel() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "10") // known, and a number
	}
}
