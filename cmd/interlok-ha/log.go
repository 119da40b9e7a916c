package main

import (
	"time"

	"github.com/rs/zerolog"
)

var logLevels = []string{"trace", "debug", "info", "warn", "error"}

// logger writes to standard error, as --log-format and --log-level say.
func (a *app) logger() zerolog.Logger {
	level, err := zerolog.ParseLevel(a.logLevel)
	if err != nil {
		level = zerolog.InfoLevel // checkFlags has refused it before
	}
	if a.logFormat == "json" {
		return zerolog.New(a.stderr).Level(level).Hook(timestamp{})
	}
	w := zerolog.ConsoleWriter{Out: a.stderr, TimeFormat: "15:04:05.000", NoColor: !bool(a.styleOf(a.stderr))}
	return zerolog.New(w).Level(level).Hook(timestamp{})
}

// timestamp adds the time with milliseconds. zerolog's own has whole seconds
// unless a global variable of it is changed.
type timestamp struct{}

// Run adds the time to one line.
func (timestamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format("2006-01-02T15:04:05.000Z07:00"))
}
