package profiler_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/interlok-ha/interlok-ha/profiler"
)

func TestRegistry(t *testing.T) {
	made := new(tape)
	good := func(cfg profiler.PluginConfig) (profiler.Plugin, error) {
		if cfg.Name != "test-good" {
			t.Errorf("the factory hears of %q", cfg.Name)
		}
		return made, nil
	}
	bad := func(profiler.PluginConfig) (profiler.Plugin, error) { return nil, errors.New("no disk") }
	none := func(profiler.PluginConfig) (profiler.Plugin, error) { return nil, nil }
	for _, r := range []struct {
		name    string
		factory profiler.Factory
		want    string
	}{
		{"test-good", good, ""},
		{"test-bad", bad, ""},
		{"test-none", none, ""},
		{"test-good", bad, "taken"},
		{"", good, "needs a name"},
		{"a,b", good, "needs a name"},
		{"test-nil", nil, "needs a name"},
	} {
		if err := profiler.Register(r.name, r.factory); (err == nil) != (r.want == "") || err != nil && !strings.Contains(err.Error(), r.want) {
			t.Errorf("Register(%q): %v, want %q", r.name, err, r.want)
		}
	}

	given := new(tape)
	cfg := profiler.PluginConfig{Given: map[string]profiler.Plugin{"failover": given}}
	for _, test := range []struct {
		names, err string
		want       []profiler.Plugin
	}{
		{"", "", nil},
		{"test-good", "", []profiler.Plugin{made}},
		{" failover , test-good,failover,", "", []profiler.Plugin{given, made}},
		{profiler.FailoverFactory + ",failover", "", []profiler.Plugin{given}},
		{"test-good,otel", `open plugin "otel": no such plugin; known are failover, test-bad, test-good, test-none`, nil},
		{"test-bad", `open plugin "test-bad": no disk`, nil},
		{"test-none", "its factory made none", nil},
	} {
		got, err := profiler.Open(test.names, cfg)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("Open(%q): %v, want %q", test.names, err, test.err)
		}
		if err := profiler.Check(test.names, "failover"); (err != nil) != strings.Contains(test.err, "no such plugin") {
			t.Errorf("Check(%q): %v; Open: %q", test.names, err, test.err)
		}
		if len(got) != len(test.want) {
			t.Errorf("Open(%q): %d plugins, want %d", test.names, len(got), len(test.want))
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("Open(%q): plugin %d is another one", test.names, i)
			}
		}
	}
}
