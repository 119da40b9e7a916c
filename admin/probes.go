package admin

import (
	_ "embed" // the OpenAPI document
	"fmt"
	"net/http"
)

//go:embed openapi.json
var openAPIDocument []byte

// openAPI answers with the description of all that is answered here.
func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) error {
	writeBytes(w, http.StatusOK, "application/json", openAPIDocument)
	return nil
}

func (a *api) tellMetrics(w http.ResponseWriter, _ *http.Request) error {
	var m Metrics
	a.metrics(&m)
	writeBytes(w, http.StatusOK, MetricsType, []byte(m.String()))
	return nil
}

// probeAnswer is what the paths for load balancers tell beside their status.
type probeAnswer struct {
	Role   string `json:"role,omitempty"`
	Status string `json:"status,omitempty"`
	State  string `json:"state"`
	// Reason says why it is not ready.
	Reason string `json:"reason,omitempty"`
}

// readyz says whether the instance does its part: it works as master, or could
// take over as a slave.
func (a *api) readyz(w http.ResponseWriter, _ *http.Request) error {
	s := a.node.Status()
	p := probeAnswer{Status: "ready", State: s.Instance.State, Reason: unready(s)}
	code := http.StatusOK
	if p.Reason != "" {
		p.Status, code = "not ready", http.StatusServiceUnavailable
	}
	return writeJSON(w, code, "application/json", p)
}

// unready is why an instance could not take over now; "" if it works or could.
func unready(s Status) string {
	switch s.Instance.State {
	case StateMaster:
		return ""
	case StateSlave, StateMaintenance:
	default:
		return "it is " + s.Instance.State
	}
	if s.Instance.Barred != "" {
		return s.Instance.Barred
	}
	if s.Instance.State == StateMaintenance {
		return "nobody may take over during maintenance"
	}
	if s.Master == nil {
		return "no master is known"
	}
	if s.Cache == nil || s.Cache.Copy == nil {
		return ""
	}
	switch c := s.Cache.Copy; {
	case !c.Connected:
		return "its cache does not follow the master"
	case c.Snapshot:
		return "its cache is being received"
	case c.Behind > 0 && !c.InStep:
		return fmt.Sprintf("its cache is %d records behind", c.Behind)
	}
	return ""
}

// ownMetrics are those of the server itself.
func (s *Server) ownMetrics(m *Metrics) {
	if s.cfg.TCP == nil {
		return
	}
	c := &s.counts
	m.Gauge("admin_connections", "Connections to the HTTP API over TCP.")
	m.Value(float64(c.open.Load()))
	m.Counter("admin_connections_accepted_total", "Connections to the HTTP API over TCP that were let in.")
	m.Value(float64(c.accepted.Load()))
	m.Counter("admin_connections_dropped_total", "Connections to the HTTP API over TCP that ended without an answer: one machine had too many, or no request came that could be read.")
	m.Value(float64(c.refused.Load()), "cause", "too-many")
	m.Value(float64(c.silent.Load()), "cause", "no-request")
	c.mu.Lock()
	defer c.mu.Unlock()
	m.Counter("admin_requests_total", "Requests to the HTTP API over TCP, by the status of the answer.")
	for _, code := range sortedKeys(c.answers) {
		m.Value(float64(c.answers[code]), "code", fmt.Sprint(code))
	}
	m.Counter("admin_rejected_total", "Requests over TCP that were turned away, by cause.")
	for _, cause := range []string{rejectHost, rejectSite, rejectToken, rejectBusy} {
		m.Value(float64(c.rejected[cause]), "cause", cause)
	}
}
