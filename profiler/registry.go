package profiler

import (
	"fmt"
	"maps"
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

// UnknownError says that nobody has registered or given a plugin of that name.
type UnknownError struct {
	Name  string
	Known []string // sorted
}

// Error tells the known names too.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("profiler: open plugin %q: no such plugin; %s", e.Name, e.Instead())
}

// Instead is what to write, or to do, in its place.
func (e *UnknownError) Instead() string {
	text := "known are " + strings.Join(e.Known, ", ")
	if e.Name == "otel" {
		text += "; otel is a module of its own: a Go program has it that imports github.com/interlok-ha/interlok-ha/profiler/otel"
	}
	return text
}

// Check reports the first name of the list that Open would not know, as an
// [*UnknownError], without making any plugin. given are the names in
// PluginConfig.Given.
func Check(names string, given ...string) error {
	for _, name := range split(names) {
		if slices.Contains(given, name) {
			continue
		}
		if _, err := lookUp(name, given); err != nil {
			return err
		}
	}
	return nil
}

// lookUp finds a registered factory. given is only for the error.
func lookUp(name string, given []string) (Factory, error) {
	registry.Lock()
	defer registry.Unlock()
	if factory := registry.factories[name]; factory != nil {
		return factory, nil
	}
	known := slices.AppendSeq(slices.Clone(given), maps.Keys(registry.factories))
	slices.Sort(known)
	return nil, &UnknownError{Name: name, Known: slices.Compact(known)}
}

// split is the names of a list, each once, the Java plugin by its short name.
func split(names string) []string {
	var list []string
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name == FailoverFactory {
			name = "failover"
		}
		if name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// Open makes the plugins of a comma-separated list of names, each once, in its
// order. A name nobody knows is an [*UnknownError].
func Open(names string, cfg PluginConfig) ([]Plugin, error) {
	var plugins []Plugin
	for _, name := range split(names) {
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
	factory, err := lookUp(name, slices.Collect(maps.Keys(cfg.Given)))
	if err != nil {
		return nil, err
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
