package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mutant is the program without one guard: one text in one file is another.
type mutant struct {
	name           string
	file, old, new string
	quorum         bool
	fault          string // by which it must show
	want           string // what the judge says
}

const ruleHolds = "return m.cfg.Off&r == 0 }"

// guards are what is taken out, one at a time.
var guards = []mutant{
	{
		"a master that hears from nobody works on", "election/machine.go",
		ruleHolds, "return m.cfg.Off&r == 0 && r != RuleGuard }",
		true, "cut off", "two commands at once",
	},
	{
		"two masters do not give way", "election/machine.go",
		ruleHolds, "return m.cfg.Off&r == 0 && r != RuleYield && r != RuleMute }",
		false, "mute", "for one master that all follow",
	},
	{
		"nobody needs a vote", "election/claim.go",
		"return m.cfg.Quorum > 0 && !forced", "return m.cfg.Quorum > 0 && !forced && false",
		true, "cut off", "two commands at once",
	},
	{
		"the keeper lets the time pass", "workload/keeper_linux.go",
		"next := k.until", "next := k.until + 3600e9",
		true, "the node frozen", "two commands at once",
	},
}

// TestMutants shows that TestChaos would see it: each guard that is taken out
// must turn it red, and for the reason that is meant.
func TestMutants(t *testing.T) {
	needAll(t)
	for _, g := range guards[:min(*mutants, len(guards))] {
		t.Run(g.name, func(t *testing.T) {
			cmd := exec.Command(self(t), "-test.v", "-test.run", fmt.Sprintf("^TestChaos$/^quorum_%v$", g.quorum),
				"-chaos", "-minutes=1", fmt.Sprintf("-seed=%d", *seed), "-only="+g.fault, "-program="+g.build(t))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), g.want) {
				t.Errorf("it was not seen: %v\n%s", err, out)
			}
		})
	}
}

// build builds the program from a changed copy of the file.
func (g mutant) build(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", g.file))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), g.old); n != 1 {
		t.Fatalf("%s has %d times what is to be changed, want 1: %s", g.file, n, g.old)
	}
	dir := t.TempDir()
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "interlok-ha")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(b), g.old, g.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "github.com/interlok-ha/interlok-ha/cmd/interlok-ha")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build without the guard: %v\n%s", err, out)
	}
	return binary
}
