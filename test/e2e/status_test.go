//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// check holds a JSON value against a shape: "string", "number", "bool", "null",
// a []any of one shape for lists, a map for objects (more fields are allowed),
// or a *regexp.Regexp for strings.
func check(t *testing.T, at string, got, shape any) {
	t.Helper()
	kind := "null"
	switch got.(type) {
	case string:
		kind = "string"
	case float64:
		kind = "number"
	case bool:
		kind = "bool"
	}
	switch want := shape.(type) {
	case string:
		if kind != want {
			t.Errorf("%s is %v, want a %s", at, got, want)
		}
	case *regexp.Regexp:
		if s, ok := got.(string); !ok || !want.MatchString(s) {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	case []any:
		list, ok := got.([]any)
		if !ok {
			t.Errorf("%s is %v, want a list", at, got)
		}
		for i, v := range list {
			check(t, fmt.Sprintf("%s[%d]", at, i), v, want[0])
		}
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", at, got)
			return
		}
		for k, v := range want {
			if field, ok := object[k]; ok {
				check(t, at+"."+k, field, v)
			} else {
				t.Errorf("%s has no field %s", at, k)
			}
		}
	}
}

var (
	hexID  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	moment = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	addr   = regexp.MustCompile(`^127\.0\.0\.1:\d+$`)
	role   = regexp.MustCompile(`^(master|slave)$`)
	state  = regexp.MustCompile(`^(listening|slave|claiming|master|draining|drained|maintenance|fault)$`)
)

var statusShape = map[string]any{
	"schema": "number", "cluster": "string",
	"instance": map[string]any{
		"name": "string", "id": hexID, "role": role, "state": state, "position": "number", "epoch": "number", "since": moment,
	},
	"master": map[string]any{"name": "string", "id": hexID, "epoch": "number", "lastContactMs": "number"},
	"peers": []any{map[string]any{
		"name": "string", "id": hexID, "role": role, "position": "number", "epoch": "number",
		"lastContactMs": "number", "address": addr, "cacheSeq": "number",
	}},
	"settings": map[string]any{
		"design": regexp.MustCompile(`^3\.0\.6$`), "delayMs": "number", "retries": "number", "quorum": "number", "authenticated": "bool",
	},
}

// TestStatus checks the JSON of status: every field, on a master and a slave,
// before there is a master and when all agree.
func TestStatus(t *testing.T) {
	t.Parallel()
	c := lab.New(t, lab.Fast...)
	a := c.Start("a", c.Worker()...)
	a.WaitState(admin.StateListening, soon)
	early := map[string]any{}
	if err := json.Unmarshal([]byte(c.Do("status", "-o", "json")), &early); err != nil {
		t.Fatal(err)
	}
	if m, ok := early["master"]; !ok || m != nil && early["instance"].(map[string]any)["state"] == "listening" {
		t.Errorf("with no master known, master is %v, want null", m)
	}
	if p, ok := early["peers"].([]any); !ok || len(p) != 0 {
		t.Errorf("alone, peers is %v, want []", early["peers"])
	}

	c.Start("b", c.Worker()...)
	c.Start("c", c.Worker()...)
	m := c.Settled(soon)
	// Positions are agreed upon once all have heard of all, and hold the same log.
	for _, i := range c.Others(nil) {
		i.WaitStatus("two peers with names and the same log", soon, func(s admin.Status) bool {
			return len(s.Peers) == 2 && s.Cache != nil && s.Cache.Seq > 0 &&
				!slices.ContainsFunc(s.Peers, func(p admin.Peer) bool { return p.Name == "" || p.CacheSeq != s.Cache.Seq })
		})
	}
	epoch := m.MustStatus().Instance.Epoch
	positions := map[string][]int{}
	for _, i := range c.Others(nil) {
		out := c.Do("status", "-o", "json", "--instance", i.Name)
		var got any
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		check(t, i.Name, got, statusShape)
		var s admin.Status
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatal(err)
		}
		wantRole := admin.RoleSlave
		if i == m {
			wantRole = admin.RoleMaster
		}
		if s.Schema != 1 || s.Cluster != c.Name || s.Instance.Name != i.Name || s.Instance.Role != wantRole || s.Instance.Epoch != epoch {
			t.Errorf("%s: %+v", i.Name, s.Instance)
		}
		if s.Master == nil || s.Master.Name != m.Name || s.Master.Epoch != epoch || s.Master.LastContactMs > 1000 {
			t.Errorf("%s: master %+v", i.Name, s.Master)
		}
		if s.Settings != (admin.Settings{Design: "3.0.6", DelayMs: 100, Retries: 8}) {
			t.Errorf("%s: settings %+v", i.Name, s.Settings)
		}
	}
	lab.Wait(t, "all see the same places, 0 for the master, then 1 and 2", soon, func() bool {
		clear(positions)
		for _, i := range c.Others(nil) {
			var s admin.Status
			if err := json.Unmarshal([]byte(c.Do("status", "-o", "json", "--instance", i.Name)), &s); err != nil {
				t.Fatal(err)
			}
			positions[i.Name] = append(positions[i.Name], s.Instance.Position)
			for _, p := range s.Peers {
				positions[p.Name] = append(positions[p.Name], p.Position)
			}
		}
		var line []int
		for _, p := range positions {
			line = append(line, p[0])
			if slices.Min(p) != slices.Max(p) {
				return false
			}
		}
		slices.Sort(line)
		return slices.Equal(line, []int{0, 1, 2})
	})

	// The other forms hold the same.
	table := c.Do("status", "--instance", m.Name)
	for _, want := range []string{c.Name, "* " + m.Name, "master"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if strings.Contains(table, "\x1b") {
		t.Error("colours, and no terminal")
	}
	if y := c.Do("status", "--instance", m.Name, "-o", "yaml"); !strings.HasPrefix(y, "schema: 1\ncluster: "+c.Name+"\n") {
		t.Errorf("yaml begins %q", y[:min(60, len(y))])
	}
}
