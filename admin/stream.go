package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// lines is an answer that goes on: a JSON object a line, or server-sent events
// where the caller accepts them.
type lines struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	sse bool
}

func newLines(w http.ResponseWriter, r *http.Request) *lines {
	l := &lines{w: w, rc: http.NewResponseController(w), sse: strings.Contains(r.Header.Get("Accept"), "text/event-stream")}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/x-ndjson")
	if l.sse {
		h.Set("Content-Type", "text/event-stream")
	}
	return l
}

// write adds one object; kind is its name as a server-sent event.
func (l *lines) write(kind string, b []byte) bool {
	// A reader that takes nothing for this long is gone.
	_ = l.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	var err error
	if l.sse {
		_, err = fmt.Fprintf(l.w, "event: %s\ndata: %s\n\n", oneLine(kind), b)
	} else {
		_, err = l.w.Write(append(b, '\n'))
	}
	return err == nil
}

func (l *lines) flush() bool {
	_ = l.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return l.rc.Flush() == nil
}

// events streams what happens until the reader hangs up, lags, or the server stops.
func (a *api) events(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	stream := a.node.Subscribe(ctx)
	out := newLines(w, r)
	write := func(e Event) bool {
		b, err := json.Marshal(e)
		return err == nil && out.write(e.Type, b) && out.flush()
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
