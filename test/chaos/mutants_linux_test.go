package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// mutant is the program, or this test, without one guard: one text in one file
// is another.
type mutant struct {
	name           string
	file, old, new string
	quorum         bool
	faults         string // by which it must show
	want           string // what is said then, a regular expression
}

const (
	ruleHolds = "return m.cfg.Off&r == 0 }"

	atOnce    = "two commands at once"
	noMaster  = "for one master that all follow"
	noFlow    = "for: messages to flow"
	lateWrite = "was taken under the old token"
	oldEpoch  = "began under"
)

// guards are what is taken out, one at a time.
var guards = []mutant{
	{
		"a master that hears from nobody works on", "election/machine.go",
		ruleHolds, "return m.cfg.Off&r == 0 && r != RuleGuard }",
		true, "cut off", atOnce,
	},
	{
		"the keeper lets the time pass", "workload/keeper_linux.go",
		"next := k.until", "next := k.until + 3600e9",
		true, "the node frozen", atOnce,
	},
	{
		"two masters do not give way", "election/machine.go",
		ruleHolds, "return m.cfg.Off&r == 0 && r != RuleYield && r != RuleMute }",
		false, "mute", noMaster,
	},
	{
		"nobody needs a vote", "election/claim.go",
		"return m.cfg.Quorum > 0 && !forced", "return m.cfg.Quorum > 0 && !forced && false",
		true, "cut off", atOnce,
	},
	{
		"a vote counts for longer than its giver keeps it", "election/quorum.go",
		"return b.at + m.lease()", "return b.at + 2*m.lease()",
		true, "cut off", atOnce,
	},
	{
		"voters elect whoever asks, and nobody says that the master lives", "election/machine.go",
		ruleHolds, "return m.cfg.Off&r == 0 && r&(RulePromise|RuleObject|RuleRelay) == 0 }",
		true, "two do not hear each other", atOnce,
	},
	{
		"who hands over does not wait for its work", "election/handover.go",
		"m.hand.deadline = 0\n", "m.hand.deadline = m.now\n",
		true, "handed over on purpose+clean stop", atOnce,
	},
	{
		"a command outlives its keeper", "workload/keeper_linux.go",
		"Setpgid: true, Pdeathsig: unix.SIGKILL", "Setpgid: true",
		true, "kill -9 of node and keeper", atOnce,
	},
	{
		"epochs do not grow", "election/machine.go",
		"min(m.disk.MaxEpoch+1, heartbeat.MaxEpoch)", "min(1, heartbeat.MaxEpoch)",
		false, "kill -9 of the node", noFlow + "|" + noMaster,
	},
	{
		"a restart forgets", "failover/store.go",
		"best, s.counter, good = st, counter, true", "_, s.counter, good = st, counter, true",
		true, "kill -9 of all", oldEpoch + "|" + noFlow,
	},
	{
		"another address is not seen", "internal/mcast/move.go",
		"if err == nil && !there {", "if err == nil && !there && false {",
		false, "another address", noMaster,
	},
	{
		"the store takes what comes late", inTest + "sink.go",
		"if token < s.highest {", "if token < s.highest && false {",
		true, "node and keeper frozen", lateWrite,
	},
}

// inTest is where the part of the guards lies that this test itself runs.
const inTest = "examples/orders/shop/"

// TestMutants shows that TestChaos would see it: each guard that is taken out
// must turn it red, and for the reason that is meant.
func TestMutants(t *testing.T) {
	needAll(t)
	for _, g := range guards[:min(*mutants, len(guards))] {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			test, program := self(t), ""
			if strings.HasPrefix(g.file, inTest) {
				test = g.build(t, "test", "-c")
			} else {
				program = g.build(t, "build")
			}
			cmd := exec.Command(test, "-test.v", "-test.run", fmt.Sprintf("^TestChaos$/^quorum_%v$", g.quorum),
				"-chaos", "-minutes=1", fmt.Sprintf("-seed=%d", *seed), "-only="+g.faults, "-program="+program)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			out, err := cmd.CombinedOutput()
			seen := regexp.MustCompile(".*(?:" + g.want + ").*").Find(out)
			if err == nil || seen == nil {
				t.Fatalf("it was not seen: %v\n%s", err, out)
			}
			t.Logf("%s", bytes.TrimSpace(seen))
		})
	}
}

// build builds the program, or this test, from a changed copy of the file.
func (g mutant) build(t *testing.T, verb ...string) string {
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
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "built")
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
	what := "github.com/interlok-ha/interlok-ha/cmd/interlok-ha"
	if verb[0] == "test" {
		what = "github.com/interlok-ha/interlok-ha/test/chaos"
	}
	cmd := exec.Command("go", append(verb, "-overlay", overlay, "-o", binary, what)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build without the guard: %v\n%s", err, out)
	}
	return binary
}
