package admin

import (
	"strings"
	"testing"
)

// Ready is who works, or could.
func TestReady(t *testing.T) {
	for _, tt := range []struct {
		change func(*Status)
		want   string // "" = ready
	}{
		{func(*Status) {}, ""},
		{func(s *Status) { s.Instance.State = StateListening }, "listening"},
		{func(s *Status) { s.Instance.State = StateClaiming }, "claiming"},
		{func(s *Status) { s.Instance.State = StateDrained }, "drained"},
		{func(s *Status) { s.Instance.State = StateDraining }, "draining"},
		{func(s *Status) { s.Instance.State = StateFault }, "fault"},
		{func(s *Status) { s.Instance.State = StateSlave }, ""},
		{func(s *Status) { s.Instance.State = StateMaintenance }, "maintenance"},
		{func(s *Status) { s.Instance.State, s.Instance.Barred = StateSlave, "it is a witness" }, "it is a witness"},
		{func(s *Status) { s.Instance.State, s.Instance.Barred = StateMaintenance, "its health check fails" }, "its health check fails"},
		{func(s *Status) { s.Instance.State, s.Master = StateSlave, nil }, "no master"},
		{func(s *Status) { s.Instance.State, s.Cache = StateSlave, nil }, ""},
		{func(s *Status) { s.Instance.State, s.Cache.Copy = StateSlave, &CacheCopy{} }, "does not follow"},
		{func(s *Status) { s.Instance.State, s.Cache.Copy = StateSlave, &CacheCopy{Connected: true} }, ""},
		{func(s *Status) {
			s.Instance.State, s.Cache.Copy = StateSlave, &CacheCopy{Connected: true, Snapshot: true}
		}, "received"},
		{func(s *Status) { s.Instance.State, s.Cache.Copy = StateSlave, &CacheCopy{Connected: true, Behind: 9} }, "9 records behind"},
		{func(s *Status) {
			s.Instance.State, s.Cache.Copy = StateSlave, &CacheCopy{Connected: true, Behind: 9, InStep: true}
		}, ""},
	} {
		node := newFakeNode()
		tt.change(&node.status)
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			w := ask(node, method, "/readyz", "")
			want := map[bool]int{true: 200, false: 503}[tt.want == ""]
			if w.Code != want || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%s of %s: %d %s, want %d %q", method, node.status.Instance.State, w.Code, w.Body, want, tt.want)
			}
		}
	}
}
