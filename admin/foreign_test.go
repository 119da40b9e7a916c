package admin

import (
	"net/http"
	"strings"
	"testing"
)

// A page of another site reads nothing: plain HTTP on a network is no place
// where a browser sends more than the origin.
func TestReadsOfOtherSites(t *testing.T) {
	s := serveTCP(t, Config{Node: newFakeNode()}, TCP{}, false, nil)
	for _, tt := range []struct {
		headers []string
		want    int
	}{
		{nil, 200},
		{[]string{"Origin: http://" + s.addr}, 200},
		{[]string{"Sec-Fetch-Site: same-origin", "Origin: http://" + s.addr}, 200},
		{[]string{"Origin: http://evil.example"}, 403},
		{[]string{"Origin: http://127.0.0.1:1"}, 403},
		{[]string{"Origin: null"}, 403},
		{[]string{"Origin: http://%zz"}, 403},
	} {
		if res, body := s.do(http.MethodGet, "/v1/status", "", tt.headers...); res.StatusCode != tt.want {
			t.Errorf("%v: %d %s, want %d", tt.headers, res.StatusCode, body, tt.want)
		}
	}
}

// A POST without a body changes nothing: it does not end maintenance.
func TestMaintenanceWithoutBody(t *testing.T) {
	for _, body := range []string{"", "{}", `{"for":"30m"}`, `{"on":null}`} {
		n := newFakeNode()
		w := ask(n, http.MethodPost, "/v1/maintenance", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "on is missing") {
			t.Errorf("%q: %d %s, want 400: on is missing", body, w.Code, w.Body)
		}
		if got := n.ordered(); len(got) > 0 {
			t.Errorf("%q: the node was told %q", body, got)
		}
	}
}
