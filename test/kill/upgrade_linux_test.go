package kill

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

var (
	oldCommit = flag.String("old", "", "commit of the version that TestUpgrade begins with; empty = no such test")
	// soaked is how long each mixture of versions works, at least: some changes
	// of version would be seen in the next lease only.
	soaked = flag.Duration("mixed", 3*time.Second, "how long TestUpgrade lets each mixture of versions work")
)

// TestUpgrade brings a new version out under load: instances of an earlier
// commit are replaced one at a time by those of this one, the master last. The
// mastership changes once, when the master is stopped. Then the same way back.
func TestUpgrade(t *testing.T) {
	if *oldCommit == "" {
		t.Skip("needs -old=COMMIT")
	}
	old := buildOld(t, *oldCommit)
	p := newPlay(t, scene{rate: *soakRate, program: old, set: calm})
	for _, version := range []string{"", old} {
		p.program = version
		p.replaceAll()
	}
	v := p.end()
	for _, fault := range v.Faults {
		t.Error(fault)
	}
	if v.Unknown+v.Twice+v.Lost+v.TakenTwice+v.StaleTaken > 0 {
		t.Errorf("%v", v)
	}
}

// replaceAll restarts each instance, now of p.program.
func (p *play) replaceAll() {
	p.t.Helper()
	before := len(p.m.audit.reports())
	for _, i := range append(p.Others(p.master), p.master) {
		last := i == p.master
		p.reigns = len(p.m.audit.reports())
		i.Signal(syscall.SIGTERM)
		if last {
			p.successor()
		}
		if code := i.Exit(soon); code != 0 {
			p.t.Errorf("%s exited with %d", i.Name, code)
		}
		p.startAs(i.Name)
		p.ready()
		lab.Never(p.t, "a change of master that nobody asked for", *soaked, func() bool {
			want := before
			if last {
				want++
			}
			return len(p.m.audit.reports()) != want
		})
	}
}

// buildOld builds this test at another commit: its processes are instances of
// that version.
func buildOld(t *testing.T, commit string) string {
	t.Helper()
	dir := t.TempDir()
	do := func(in, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	tar := filepath.Join(dir, "old.tar")
	do("../..", "git", "archive", "--output="+tar, commit)
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	do(source, "tar", "-xf", tar)
	program := filepath.Join(dir, fmt.Sprintf("kill-%s.test", filepath.Base(commit)))
	do(source, "go", "test", "-c", "-o", program, "./test/kill")
	return program
}
