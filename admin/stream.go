package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// events streams what happens until the reader hangs up, lags, or the server stops.
func (a *api) events(w http.ResponseWriter, r *http.Request) error {
	sse := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	rc := http.NewResponseController(w)
	ctx := r.Context()
	stream := a.node.Subscribe(ctx)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/x-ndjson")
	if sse {
		h.Set("Content-Type", "text/event-stream")
	}

	write := func(e Event) bool {
		b, err := json.Marshal(e)
		if err != nil {
			return false
		}
		// A reader that takes nothing for this long is gone.
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if sse {
			_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", oneLine(e.Type), b)
		} else {
			_, err = w.Write(append(b, '\n'))
		}
		return err == nil && rc.Flush() == nil
	}

	var last Event
	for e := range stream {
		if !write(e) {
			return nil
		}
		last = e
	}
	if ctx.Err() == nil {
		last.Time, last.Type, last.Peer = Time{time.Now()}, EventCut, ""
		last.Detail = "the reader was too slow or the instance stops; events were lost"
		write(last)
	}
	return nil
}

// oneLine keeps a word from breaking out of its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
}
