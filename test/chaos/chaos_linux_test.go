package chaos

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

var (
	wanted  = flag.Bool("chaos", false, "make network namespaces and break things")
	minutes = flag.Float64("minutes", 0.5, "how long each of the two plays lasts")
	seed    = flag.Uint64("seed", 1, "of the driver and of the switch")
	only    = flag.String("only", "", "the only faults to make, by their names with + between; ends at the first red round")
	program = flag.String("program", "", "in place of the one that is built from this source")
	mutants = flag.Int("mutants", 0, "how many guards to take out, from the first of the list on")
)

// TestMain runs no tests in a process that was started as something else.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case workerVerb:
			os.Exit(workerMain(os.Args[2:]))
		case switchVerb:
			os.Exit(switchMain(os.Args[2:]))
		case plainVerb:
			os.Exit(plainMain(os.Args[2:]))
		}
	}
	flag.Parse()
	if !*wanted && len(flag.Args()) == 0 {
		os.Exit(m.Run()) // what is not skipped needs no program
	}
	os.Exit(lab.Main(m, lab.SweepNamespaces))
}

func needAll(t *testing.T) {
	t.Helper()
	if !*wanted || !lab.IsRoot() {
		t.Skip("chaos needs root, and makes network namespaces: as root, make chaos")
	}
	for _, tool := range []string{"ip", "nsenter", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here (Debian: iproute2, util-linux)", tool)
		}
	}
}

// TestChaos is the promise, without a quorum and with one.
func TestChaos(t *testing.T) {
	needAll(t)
	for _, quorum := range []bool{false, true} {
		t.Run(fmt.Sprintf("quorum %v", quorum), func(t *testing.T) {
			t.Parallel()
			kinds := kinds
			if *only != "" {
				names := strings.Split(*only, "+")
				kinds = slices.DeleteFunc(slices.Clone(kinds), func(f fault) bool { return !slices.Contains(names, f.name) })
				if len(kinds) != len(names) {
					t.Fatalf("not all of these are faults: %q", names)
				}
			}
			p := newPlay(t, cmp.Or(*program, lab.Binary()), quorum, *seed)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*minutes*float64(time.Minute)))
			defer cancel()
			p.run(ctx, kinds, *only != "")
			for _, fault := range p.end() {
				t.Error(fault)
			}
		})
	}
}
