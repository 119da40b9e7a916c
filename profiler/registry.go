package profiler

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// FailoverFactory is the factory class of the Java plugin; it means "failover".
const FailoverFactory = "com.adaptris.failover.plugin.FailoverInterlokPluginFactory"

// PluginConfig is what a factory is handed.
type PluginConfig struct {
	Name  string            // that the plugin was asked for by; set by Open
	Log   func(string)      // may be nil
	Given map[string]Plugin // plugins the caller made itself, by name; before the registered ones
}

// Factory makes a plugin.
type Factory func(PluginConfig) (Plugin, error)

var registry struct {
	sync.Mutex
	factories map[string]Factory
}

// Register makes a plugin known to Open, as database drivers are. It is meant
// for init functions. A name that is taken is an error.
func Register(name string, factory Factory) error {
	registry.Lock()
	defer registry.Unlock()
	if name == "" || factory == nil || strings.ContainsAny(name, ", \t\n") {
		return fmt.Errorf("profiler: register plugin %q: needs a name without spaces and commas, and a factory", name)
	}
	if _, taken := registry.factories[name]; taken {
		return fmt.Errorf("profiler: register plugin %q: the name is taken", name)
	}
	if registry.factories == nil {
		registry.factories = map[string]Factory{}
	}
	registry.factories[name] = factory
	return nil
}

// Open makes the plugins of a comma-separated list of names, each once, in its
// order. A name nobody knows is an error that tells the known ones.
func Open(names string, cfg PluginConfig) ([]Plugin, error) {
	var plugins []Plugin
	var done []string
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name == FailoverFactory {
			name = "failover"
		}
		if name == "" || slices.Contains(done, name) {
			continue
		}
		done = append(done, name)
		pl, err := open(name, cfg)
		if err != nil {
			return nil, err
		}
		plugins = append(plugins, pl)
	}
	return plugins, nil
}

func open(name string, cfg PluginConfig) (Plugin, error) {
	if pl := cfg.Given[name]; pl != nil {
		return pl, nil
	}
	registry.Lock()
	factory := registry.factories[name]
	known := make([]string, 0, len(registry.factories)+len(cfg.Given))
	for n := range registry.factories {
		known = append(known, n)
	}
	registry.Unlock()
	if factory == nil {
		for n := range cfg.Given {
			known = append(known, n)
		}
		slices.Sort(known)
		hint := ""
		if name == "otel" {
			hint = "; it is a module of its own: a Go program has it that imports github.com/interlok-ha/interlok-ha/profiler/otel"
		}
		return nil, fmt.Errorf("profiler: open plugin %q: no such plugin; known are %s%s", name, strings.Join(slices.Compact(known), ", "), hint)
	}
	cfg.Name = name
	pl, err := factory(cfg)
	if err != nil {
		return nil, fmt.Errorf("profiler: open plugin %q: %w", name, err)
	}
	if pl == nil {
		return nil, fmt.Errorf("profiler: open plugin %q: its factory made none", name)
	}
	return pl, nil
}
