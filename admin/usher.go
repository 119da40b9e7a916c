package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// usher stands before the API at each door, and keeps those who stay long from
// taking all of its places: streams, which last, and what waits for the slaves.
// An order then finds a place.
type usher struct {
	api     http.Handler
	streams chan struct{} // places for streams
	long    chan struct{} // for streams and waits together
}

// newUsher makes one for a door with so many places: half of them for streams,
// and an eighth for neither streams nor waits.
func newUsher(api http.Handler, places int) *usher {
	return &usher{api: api, streams: make(chan struct{}, max(1, places/2)), long: make(chan struct{}, max(1, places-places/8))}
}

func (u *usher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, places := range u.needs(r) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", strconv.FormatInt(int64(busyRetry/time.Second), 10))
			writeProblem(w, crowded(r, cap(places)))
			return
		}
	}
	u.api.ServeHTTP(w, r)
}

func crowded(r *http.Request, most int) *Error {
	if r.Method == http.MethodGet {
		return &Error{Kind: KindFull, Detail: fmt.Sprintf("%d others read streams or wait here already", most), Mend: "end one of them, or ask /v1/status now and then"}
	}
	return &Error{Kind: KindBusy, Detail: fmt.Sprintf("%d others wait here already", most), Mend: "try again a little later, see Retry-After"}
}

// needs are the places that a request takes, beside that of its connection.
func (u *usher) needs(r *http.Request) []chan struct{} {
	stream, wait := []chan struct{}{u.streams, u.long}, []chan struct{}{u.long}
	rest, cache := strings.CutPrefix(r.URL.EscapedPath(), cachePath)
	switch {
	case r.URL.Path == "/v1/events" && r.Method == http.MethodGet:
		return stream
	case r.URL.Path == "/v1/steps" && r.Method == http.MethodPost:
		return wait
	case cache && strings.Contains(rest, "/") && !safe(r.Method):
		return wait
	case cache && !strings.Contains(rest, "/") && r.Method == http.MethodGet:
		q := query{Values: r.URL.Query()}
		if q.flag("watch") {
			return stream
		}
	}
	return nil
}
