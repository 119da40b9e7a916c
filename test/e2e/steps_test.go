//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// TestStepsExamples runs examples/steps-shell and examples/steps-python, kills
// the master in the middle of a publish, and has the next one go on.
func TestStepsExamples(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, needs, program string }{
		{"shell", "curl", "../../examples/steps-shell/orders.sh"},
		{"python", "python3", "../../examples/steps-python/orders.py"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tt.needs); err != nil {
				t.Skipf("the example needs %s: %v", tt.needs, err)
			}
			program, err := filepath.Abs(tt.program)
			if err != nil {
				t.Fatal(err)
			}
			stepsExample(t, program)
		})
	}
}

func stepsExample(t *testing.T, program string) {
	c := lab.New(t, lab.Fast...)
	dir := func(name string) string {
		d := filepath.Join(c.Dir, name)
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		return d
	}
	inbox, outbox := dir("inbox"), dir("outbox")
	put := func(id, text string) {
		tmp := filepath.Join(inbox, "."+id)
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(inbox, id)); err != nil {
			t.Fatal(err)
		}
	}
	// It takes each id once, writes down what comes again, and hangs once, when
	// o-3 is out and nobody knows yet.
	paused, repeats := filepath.Join(c.Dir, "paused"), filepath.Join(c.Dir, "repeats")
	sink := filepath.Join(c.Dir, "sink")
	script := fmt.Sprintf(`#!/bin/sh
if [ -e %[1]s/"$1" ]; then echo "$1" >>%[2]s; exit 0; fi
echo "$3" >%[1]s/."$1" && mv %[1]s/."$1" %[1]s/"$1"
if [ "$1" = o-3 ] && mkdir %[3]s; then exec sleep 1000; fi
`, outbox, repeats, paused)
	if err := os.WriteFile(sink, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		put(fmt.Sprintf("o-%d", i+1), "ten pieces")
	}
	put("o-0", "") // refused by the first step

	// The first is alone: its fence finds no slave, and it must try again until
	// one comes, in the same attempt.
	c.Start("a", program, inbox, sink)
	lab.Wait(t, "o-1 is at its fence", 3*soon, func() bool {
		e, err := admin.NewClient(c.Socket("a")).InFlight(context.Background(), "", admin.CacheQuery{})
		return err == nil && len(e.Entries) == 1 && e.Entries[0].Key == "o-1" && e.Entries[0].Step != "orders" && e.Entries[0].Step != ""
	})
	for _, name := range []string{"b", "c"} {
		c.Start(name, program, inbox, sink)
	}
	m := c.Settled(soon)
	lab.Wait(t, "o-3 is being published", 3*soon, func() bool { _, err := os.Stat(paused); return err == nil })
	others := c.Others(m)

	// Both slaves know which message is in flight, and at which step: the fence
	// let nobody publish before.
	for _, o := range others {
		e := inFlight(t, c, o.Name)
		if len(e) != 1 || e[0].Key != "o-3" || e[0].Workflow != "orders" || len(e[0].Open) != 1 || e[0].Open[0].Step != "publish" ||
			e[0].Open[0].Kind != admin.StepProducer || !slices.Equal(e[0].Doubt, []string{"publish"}) || len(e[0].Published) > 0 {
			t.Errorf("%s knows %+v, want o-3 at publish", o.Name, e)
		}
		if text := c.Do("cache", "in-flight", "--instance", o.Name); !strings.Contains(text, "o-3") || !strings.Contains(text, "publish") {
			t.Errorf("cache in-flight on %s:\n%s", o.Name, text)
		}
	}
	// A slave takes no steps.
	_, err := admin.NewClient(c.Socket(others[0].Name)).Report(context.Background(), 0, admin.Step{ID: "x", Kind: admin.StepWorkflow, Step: "orders", Phase: admin.StepStarted})
	if admin.KindOf(err) != admin.KindNotMaster || !strings.Contains(err.Error(), m.Name+" is") {
		t.Errorf("a step reported to a slave: %v", err)
	}

	m.KillHard()
	now := c.Settled(soon)
	now.WaitLog("left in flight", 1, soon)
	if now.Count("o-3") == 0 {
		t.Errorf("%s did not hear of o-3", now.Name)
	}
	lab.Wait(t, "all orders are out, and done", 3*soon, func() bool {
		left, err := filepath.Glob(filepath.Join(inbox, "o-*"))
		return err == nil && len(left) == 0 && len(inFlight(t, c, now.Name)) == 0
	})
	for i := range 5 {
		id := fmt.Sprintf("o-%d", i+1)
		token, err := os.ReadFile(filepath.Join(outbox, id))
		if err != nil {
			t.Errorf("%s is lost: %v", id, err)
		}
		if want := now.MustStatus().Instance.ID; strings.Contains(string(token), want) != (i > 2) {
			t.Errorf("%s was published under the token %s; the new master is %s", id, token, want)
		}
	}
	if b, err := os.ReadFile(repeats); err != nil || string(b) != "o-3\n" {
		t.Errorf("published twice: %q %v, want o-3 alone", b, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	for id, want := range map[string]struct {
		state    string
		attempts uint32
	}{"o-0": {"failed", 1}, "o-1": {"done", 1}, "o-3": {"done", 2}, "o-5": {"done", 1}} {
		i, err := admin.NewClient(c.Socket(now.Name)).CacheGet(ctx, admin.DefaultCache, id, false)
		if err != nil || i.Message == nil || i.Message.State != want.state || i.Message.Attempts != want.attempts {
			b, _ := json.Marshal(i)
			t.Errorf("%s: %s %v, want %+v", id, b, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(inbox, ".bad-o-0")); err != nil {
		t.Errorf("the empty order: %v", err)
	}
}

func inFlight(t *testing.T, c *lab.Cluster, name string) []admin.CacheEntry {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	p, err := admin.NewClient(c.Socket(name)).InFlight(ctx, "", admin.CacheQuery{})
	if err != nil {
		t.Errorf("what is in flight on %s: %v", name, err)
	}
	return p.Entries
}

// TestStepsBody has curl show what a script author meets first.
func TestStepsBody(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skipf("needs curl: %v", err)
	}
	c := lab.New(t, lab.Fast...)
	c.Start("a")
	c.Settled(soon)
	post := func(body string) (code, answer string) {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		cmd := exec.CommandContext(ctx, "curl", "-sS", "-w", "\n%{http_code}", "--unix-socket", c.Socket("a"), "-d", body, "http://instance/v1/steps")
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text := string(out)
		i := strings.LastIndexByte(text, '\n')
		return text[i+1:], text[:i]
	}
	const begun = `{"id":"m-1","kind":"workflow","step":"orders","phase":"started"}`
	for _, tt := range []struct{ body, code, says string }{
		{begun, "200", `{"taken":1,"late":0}`},
		{`[` + begun + `,{"id":"m-1","kind":"service","step":"validate","phase":"done"}]`, "400", `steps[1].phase is \"done\"`},
		{`{"id":"m-1"`, "400", "line 1, column 11: the body is no JSON"},
		// There is nobody who could know of it after a crash.
		{`{"id":"m-1","kind":"producer","step":"publish","phase":"started","fence":true}`, "503", `"kind":"no-replica"`},
		{`{"id":"m-2","kind":"service","step":"validate","phase":"started"}`, "200", `{"taken":1,"late":1}`},
		{`{"id":"m-1","kind":"workflow","step":"orders","phase":"completed"}`, "200", `{"taken":1,"late":0}`},
	} {
		if code, answer := post(tt.body); code != tt.code || !strings.Contains(answer, tt.says) {
			t.Errorf("%s\ngave %s %s\nwant %s %s", tt.body, code, answer, tt.code, tt.says)
		}
	}
	lab.Wait(t, "the message is done", soon, func() bool { return len(inFlight(t, c, "a")) == 0 })
}
