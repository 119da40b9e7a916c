//go:build unix

package weave

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
)

var (
	cold     = flag.Bool("cold", false, "measure what weaving adds to a build from an empty cache")
	full     = flag.Bool("full", false, "build with -race and -trimpath, too")
	orchPath = flag.String("orchestrated", "", "test this program, built of examples/woven by orchestrion, too")
)

const example = "../examples/woven"

// output runs a command, which dies with the test.
func output(t *testing.T, dir string, env []string, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out, fault bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &fault
	mortal(cmd)
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), fault.String(), cmd.ProcessState.ExitCode()
}

func mustRun(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, fault, code := output(t, dir, env, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s%s", name, strings.Join(args, " "), code, out, fault)
	}
	return out
}

// builds has what built made, for all tests.
var builds struct {
	sync.Mutex
	dir  string // empty until the first
	done map[string]bool
}

// built is the example as it is, and woven. Nobody writes to them.
func built(t *testing.T, fence bool, flags ...string) (plain, woven string) {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if builds.dir == "" {
		dir, err := os.MkdirTemp("", "weave-test-")
		if err != nil {
			t.Fatal(err)
		}
		builds.dir, builds.done = dir, map[string]bool{}
		tidy = append(tidy, func() { _ = os.RemoveAll(dir) })
	}
	name := strings.Join(flags, "")
	plain, woven = filepath.Join(builds.dir, "plain"+name), filepath.Join(builds.dir, fmt.Sprintf("woven-%v%s", fence, name))
	env := environ()
	if slices.Contains(flags, "-race") {
		env = append(env, "CGO_ENABLED=1")
	}
	if !builds.done[plain] {
		mustRun(t, example, env, "go", slices.Concat([]string{"build", "-o", plain}, flags, []string{"."})...)
		builds.done[plain] = true
	}
	if builds.done[woven] {
		return plain, woven
	}
	r, err := Weave(t.Context(), Config{Args: slices.Concat([]string{"build", "-o", woven}, flags, []string{"."}), Dir: example, Temp: t.TempDir(), Environ: env, Fence: fence})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, example, env, "go", r.Args...)
	builds.done[woven] = true
	return plain, woven
}

var (
	address  = regexp.MustCompile(`\(?(\{?0x[0-9a-f]+\}?\??|\.\.\.)[^)\n]*\)?`)
	offset   = regexp.MustCompile(` \+0x[0-9a-f]+`)
	sigcode  = regexp.MustCompile(`pc=0x[0-9a-f]+`)
	argument = regexp.MustCompile(`(?m)^([\w./*()\[\]]+?)\([^\n]*\)$`)
)

// trace is a stack trace without what changes from run to run.
func trace(text string) string {
	text = sigcode.ReplaceAllString(text, "pc")
	text = offset.ReplaceAllString(text, "")
	text = argument.ReplaceAllString(text, "$1")
	return address.ReplaceAllString(text, "")
}

// TestSameProgram: with nobody to report to, a woven program does what it did.
func TestSameProgram(t *testing.T) {
	plain, woven := built(t, false)
	for _, args := range [][]string{nil, {"-n", "3"}, {"-panic", "2"}} {
		out, fault, code := output(t, "", environ(), plain, args...)
		gotOut, gotFault, gotCode := output(t, "", environ(), woven, args...)
		if gotOut != out || gotCode != code {
			t.Errorf("%v: exit %d\n%s\nwant exit %d\n%s", args, gotCode, gotOut, code, out)
		}
		if trace(gotFault) != trace(fault) {
			t.Errorf("%v: another trace\n%s\nwant\n%s", args, gotFault, fault)
		}
		if len(args) == 2 && args[0] == "-panic" && !strings.Contains(gotFault, "orders/services.go:17") {
			t.Errorf("the trace does not tell line 17:\n%s", gotFault)
		}
	}
	twin := filepath.Join(t.TempDir(), "twin")
	mustRun(t, example, environ(), "go", weaveFor(t, example, false, "build", "-o", twin, ".").Args...)
	a, err := os.ReadFile(woven)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(twin)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two builds differ")
	}
}

// story is what the example does with its orders, the last of which is too
// expensive. The consumer's start has no id yet to go with.
func story(fenced bool) (lines []string) {
	fence := ""
	if fenced {
		fence = " fenced"
	}
	for n := 1; n <= 4; n++ {
		id := fmt.Sprintf("order-%d ", n)
		end := "completed"
		if n == 4 {
			end = "failed: 120 is too much"
		}
		lines = append(lines, id+"consumer intake started", id+"workflow orders.Flow started")
		for _, s := range []string{"Validate", "Enrich", "Limited"} {
			lines = append(lines, id+"service orders."+s+" started", id+"service orders."+s+" completed")
		}
		lines = append(lines, id+"producer sink.Printer started"+fence, id+"producer sink.Printer "+end,
			id+"workflow orders.Flow "+end, id+"consumer intake "+end)
	}
	return lines
}

// TestStory: each step is told, in order, to the instance that the environment
// names.
func TestStory(t *testing.T) {
	if !canReport {
		t.Skip("hooks report on Linux")
	}
	plain, woven := built(t, false)
	_, fenced := built(t, true)
	i := startInstance(t)
	env := environ("INTERLOK_HA_SOCKET=" + i.socket)
	out := mustRun(t, "", env, plain, "-n", "4")
	if got := i.told(); len(got) > 0 {
		t.Fatalf("the plain program told %q", got)
	}
	for _, tt := range []struct {
		name, program string
		want          []string
	}{
		{"woven", woven, story(false)},
		{"fenced", fenced, story(true)},
		{"orchestrion", *orchPath, slices.DeleteFunc(story(false), func(line string) bool { return strings.Contains(line, "consumer") })},
	} {
		if tt.program == "" {
			continue
		}
		if got := mustRun(t, "", env, tt.program, "-n", "4"); got != out {
			t.Errorf("%s: printed\n%s\nwant\n%s", tt.name, got, out)
		}
		if got := i.told(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: told\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// TestPanicIsTold: before it ends the program, and with an untouched trace.
func TestPanicIsTold(t *testing.T) {
	if !canReport {
		t.Skip("hooks report on Linux")
	}
	plain, woven := built(t, false)
	i := startInstance(t)
	_, want, _ := output(t, "", environ(), plain, "-panic", "1")
	_, got, code := output(t, "", environ("INTERLOK_HA_SOCKET="+i.socket), woven, "-panic", "1")
	if code != 2 || trace(got) != trace(want) {
		t.Errorf("exit %d\n%s\nwant\n%s", code, got, want)
	}
	steps := []string{"order-1 consumer intake started", "order-1 workflow orders.Flow started",
		"order-1 service orders.Validate started", "order-1 service orders.Validate failed: panic",
		"order-1 workflow orders.Flow failed: panic", "order-1 consumer intake failed: panic"}
	if got := i.told(); !slices.Equal(got, steps) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(steps, "\n"))
	}
}

// TestNoFenceNoProducer: a producer that the instance refuses does not run.
func TestNoFenceNoProducer(t *testing.T) {
	if !canReport {
		t.Skip("hooks report on Linux")
	}
	_, woven := built(t, true)
	i := startInstance(t)
	env := environ("INTERLOK_HA_SOCKET=" + i.socket)
	for _, tt := range []struct {
		kind admin.Kind
		want string
	}{
		{admin.KindNoReplica, "order-1 failed: interlok-ha: sink.Printer must not run: because"},
		{admin.KindNotMaster, "order-1 failed: interlok-ha: sink.Printer must not run: because"},
		{admin.KindUnknown, "order-1 failed: interlok-ha: sink.Printer must not run: because"},
	} {
		i.failWith(func(s admin.Step) error {
			if s.Fence && s.ID == "order-1" {
				return &admin.Error{Kind: tt.kind, Detail: "because"}
			}
			return nil
		})
		out := mustRun(t, "", env, woven, "-n", "2")
		if want := tt.want + "\n1: order-2 to NO\n"; out != want {
			t.Errorf("%s: printed %q, want %q", tt.kind, out, want)
		}
		if got := strings.Join(i.told(), "\n"); strings.Contains(got, "order-1 producer") || !strings.Contains(got, "order-1 workflow orders.Flow failed: interlok-ha: sink.Printer must not run") {
			t.Errorf("%s: told\n%s", tt.kind, got)
		}
	}
	// An instance that is gone.
	out := mustRun(t, "", environ("INTERLOK_HA_SOCKET="+i.socket+"-gone"), woven, "-n", "1")
	if !strings.Contains(out, "order-1 failed: interlok-ha: report a fenced step: connect") {
		t.Errorf("printed %q", out)
	}
}

func TestRace(t *testing.T) {
	if !*full {
		t.Skip("needs -full")
	}
	if !canReport {
		t.Skip("hooks report on Linux")
	}
	if out, _, code := output(t, "", environ(), "go", "env", "CC"); code != 0 || !found(strings.TrimSpace(out)) {
		t.Skip("the race detector needs a C compiler")
	}
	_, woven := built(t, false, "-race")
	i := startInstance(t)
	out, fault, code := output(t, "", environ("INTERLOK_HA_SOCKET="+i.socket), woven, "-n", "20")
	if code != 0 || fault != "" || strings.Count(out, "\n") != 20 {
		t.Errorf("exit %d\n%s%s", code, out, fault)
	}
	if got := len(i.told()); got != 20*12 {
		t.Errorf("%d steps are told, want %d", got, 20*12)
	}
}

func found(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// TestBuildTime compares the CPU time of builds from an empty cache: the median
// of five pairs, since one build varies by a third on a busy machine. It takes
// two minutes.
func TestBuildTime(t *testing.T) {
	if !*cold {
		t.Skip("needs -cold")
	}
	var ratios []float64
	for i := range 5 {
		dir := t.TempDir()
		plain := func() time.Duration {
			return buildTime(t, environ("GOCACHE="+filepath.Join(dir, "a")), func([]string) []string {
				return []string{"build", "-o", filepath.Join(dir, "plain"), "."}
			})
		}
		woven := func() time.Duration {
			return buildTime(t, environ("GOCACHE="+filepath.Join(dir, "b")), func(env []string) []string {
				r, err := Weave(t.Context(), Config{Args: []string{"build", "-o", filepath.Join(dir, "woven"), "."}, Dir: example, Temp: t.TempDir(), Environ: env})
				if err != nil {
					t.Fatal(err)
				}
				return r.Args
			})
		}
		var p, w time.Duration
		if i%2 == 0 { // whoever comes second may find a warmer machine
			p, w = plain(), woven()
		} else {
			w, p = woven(), plain()
		}
		t.Logf("CPU time of a build: %v, woven %v", p, w)
		ratios = append(ratios, float64(w)/float64(p))
	}
	slices.Sort(ratios)
	t.Logf("woven / plain: %.3f", ratios)
	if ratios[2] > 1.10 {
		t.Errorf("weaving takes more than 10%%: %.3f", ratios)
	}
}

// buildTime is the CPU time of all commands, and of this process meanwhile.
func buildTime(t *testing.T, env []string, args func(env []string) []string) time.Duration {
	t.Helper()
	from := cpu(t)
	mustRun(t, example, env, "go", args(env)...)
	return cpu(t) - from
}

func cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// TestTrimmedPaths: -trimpath means the same for woven files.
func TestTrimmedPaths(t *testing.T) {
	if !*full {
		t.Skip("needs -full")
	}
	plain, woven := built(t, false, "-trimpath")
	_, want, _ := output(t, "", environ(), plain, "-panic", "1")
	_, got, _ := output(t, "", environ(), woven, "-panic", "1")
	if trace(got) != trace(want) || !strings.Contains(got, "\texample.com/woven/orders/services.go:17") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
