package httphook

import (
	"io"
	"net/http"
)

// A handler may ask its ResponseWriter for more than the interface says, and
// takes another way when the answer is no. So what it gets can do what the
// server's own can: that of HTTP/1, that of HTTP/2, one that only flushes, or
// none of these. http.ResponseController finds the rest through Unwrap.
type (
	flusher struct{ *recorder }
	writer1 struct {
		flusher
		http.Hijacker
	}
	writer2 struct {
		flusher
		http.Pusher
	}
)

func (w flusher) Flush() { _ = w.FlushError() }

// ReadFrom lets the kernel copy files, as the server's own does.
func (w writer1) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	// It may as well be src's error; which one, nobody can tell here.
	return n, w.wrote(err)
}

var _ io.ReaderFrom = writer1{}

func (rec *recorder) dressed() http.ResponseWriter {
	if _, ok := rec.ResponseWriter.(http.Flusher); !ok {
		return rec
	}
	f := flusher{rec}
	switch w := rec.ResponseWriter.(type) {
	case http.Hijacker:
		return writer1{f, w}
	case http.Pusher:
		return writer2{f, w}
	}
	return f
}
