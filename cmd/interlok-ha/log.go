package main

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/node"
)

// flushTime is how long the end of the program waits for its last lines.
const flushTime = time.Second

var logLevels = []string{"trace", "debug", "info", "warn", "error"}

// logger writes to standard error, as --log-format and --log-level say, and has
// nobody wait for whoever reads that. From then on errors go the same way.
func (a *app) logger() zerolog.Logger {
	direct := a.loggerTo(a.stderr)
	a.log = node.NewLogWriter(a.stderr, func(lines uint64) {
		direct.Error().Uint64("lines", lines).Msg("Lines of the log are missing here: whoever reads it stood still")
	})
	return a.loggerTo(a.log)
}

func (a *app) loggerTo(out io.Writer) zerolog.Logger {
	level, err := zerolog.ParseLevel(a.logLevel)
	if err != nil {
		level = zerolog.InfoLevel // checkFlags has refused it before
	}
	if a.logFormat == "json" {
		return zerolog.New(out).Level(level).Hook(timestamp{})
	}
	w := zerolog.ConsoleWriter{Out: out, TimeFormat: "15:04:05.000", NoColor: !bool(a.styleOf(a.stderr))}
	return zerolog.New(w).Level(level).Hook(timestamp{})
}

// errors is where the program's own errors go.
func (a *app) errors() io.Writer {
	if a.log != nil {
		return a.log
	}
	return a.stderr
}

// timestamp adds the time with milliseconds. zerolog's own has whole seconds
// unless a global variable of it is changed.
type timestamp struct{}

// Run adds the time to one line.
func (timestamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format("2006-01-02T15:04:05.000Z07:00"))
}
