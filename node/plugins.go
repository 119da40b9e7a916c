package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// pluginKey is the setting that names the plugins.
const pluginKey = "com.adaptris.profiler.plugin.factory"

// CheckPlugins reports plugins that the settings name and nobody has made or
// registered, as [config.Faults]. plugins are those of Config.Plugins. It is
// not done by config.Load: which plugins there are depends on the program.
func CheckPlugins(s *config.Settings, plugins map[string]profiler.Plugin) error {
	given := slices.AppendSeq([]string{"failover", "metrics", "log"}, maps.Keys(plugins))
	var faults config.Faults
	for _, name := range s.Profiler.Plugins {
		unknown, ok := errors.AsType[*profiler.UnknownError](profiler.Check(name, given...))
		if !ok {
			continue
		}
		place, key := "settings", pluginKey
		for _, shown := range s.Show() {
			if shown.Key == pluginKey {
				place = shown.Origin
			}
		}
		if variable, ok := strings.CutPrefix(place, "environment "); ok {
			place, key = "environment", variable
		}
		faults = append(faults, config.Fault{
			Place: place, Key: key, Wrong: fmt.Sprintf("there is no plugin %.64q", unknown.Name), Instead: unknown.Instead(),
		})
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}
