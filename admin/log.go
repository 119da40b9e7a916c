package admin

import (
	"log"
	"strings"

	"github.com/rs/zerolog"
)

// stdLogger lets net/http speak through our log.
func stdLogger(to zerolog.Logger) *log.Logger {
	return log.New(lineWriter{to}, "", 0)
}

type lineWriter struct{ to zerolog.Logger }

func (w lineWriter) Write(p []byte) (int, error) {
	w.to.Debug().Str("detail", strings.TrimSpace(string(p))).Msg("admin server")
	return len(p), nil
}
