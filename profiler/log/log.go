package log

import (
	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Plugin writes events to a log. It may be used by several profilers.
type Plugin struct{ log zerolog.Logger }

var _ profiler.Plugin = (*Plugin)(nil)

// New makes the plugin.
func New(log zerolog.Logger) *Plugin { return &Plugin{log} }

// level is how important an event is.
func level(p profiler.Phase) zerolog.Level {
	switch p {
	case profiler.Started:
		return zerolog.TraceLevel
	case profiler.Completed:
		return zerolog.DebugLevel
	case profiler.Failed, profiler.Panicked, profiler.Exited:
	}
	return zerolog.WarnLevel
}

// Observe writes a line for each event.
func (p *Plugin) Observe(batch []profiler.Event) {
	for i := range batch {
		e := &batch[i]
		at := level(e.Phase)
		if at < p.log.GetLevel() {
			continue
		}
		line := p.log.WithLevel(at).Str("id", e.ID).Stringer("kind", e.Step.Kind()).Str("step", e.Step.Name())
		if instance := e.Step.Instance(); instance != "" {
			line = line.Str("instance", instance)
		}
		line = line.Uint32("order", e.Order).Uint16("attempt", e.Attempt)
		if e.Phase != profiler.Started {
			line = line.Dur("took", e.Took)
		}
		if e.Detail != nil && e.Detail.Err != "" {
			line = line.Str("error", e.Detail.Err)
		}
		line.Msg("Step " + e.Phase.String())
	}
}
