package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// api answers requests. It holds no state of its own.
type api struct {
	node    Node
	caches  Caches // nil: none
	steps   Steps  // nil: none
	metrics func(*Metrics)
	log     zerolog.Logger
	routes  map[string]route
}

// route is the handler of each method of a path.
type route map[string]func(http.ResponseWriter, *http.Request) error

// newAPI makes the handlers; own adds the metrics of the server itself; may be
// nil.
func newAPI(cfg Config, own func(*Metrics)) *api {
	a := &api{node: cfg.Node, caches: cfg.Caches, steps: cfg.Steps, log: cfg.Log}
	a.metrics = func(m *Metrics) {
		if cfg.Metrics != nil {
			cfg.Metrics(m)
		}
		if own != nil {
			own(m)
		}
	}
	get := func(h func(http.ResponseWriter, *http.Request) error) route {
		return route{http.MethodGet: h, http.MethodHead: h}
	}
	post := func(h func(http.ResponseWriter, *http.Request) error) route {
		return route{http.MethodPost: h}
	}
	// Load balancers ask with OPTIONS too.
	probe := func(h func(http.ResponseWriter, *http.Request) error) route {
		return route{http.MethodGet: h, http.MethodHead: h, http.MethodOptions: h}
	}
	role := func(role string) route {
		return probe(func(w http.ResponseWriter, _ *http.Request) error { return a.isRole(w, role) })
	}
	a.routes = map[string]route{
		"/v1/status":       get(a.status),
		"/v1/events":       {http.MethodGet: a.events},
		"/v1/cache":        get(a.cacheStats),
		"/v1/in-flight":    get(a.inFlight),
		"/v1/steps":        post(a.report),
		"/v1/switchover":   post(a.switchover),
		"/v1/drain":        post(a.drain),
		"/v1/resume":       post(a.resume),
		"/v1/promote":      post(a.promote),
		"/v1/maintenance":  post(a.maintenance),
		"/v1/openapi.json": get(a.openAPI),
		"/metrics":         get(a.tellMetrics),
		"/healthz":         probe(a.healthz),
		"/readyz":          probe(a.readyz),
		"/master":          role(RoleMaster),
		"/primary":         role(RoleMaster),
		"/leader":          role(RoleMaster),
		"/slave":           role(RoleSlave),
		"/replica":         role(RoleSlave),
	}
	for path := range dashboardTypes {
		a.routes[path] = get(a.dashboard)
	}
	return a
}

// ServeHTTP finds the handler and tells its error as a problem.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			a.log.Error().Interface("panic", v).Str("path", r.URL.Path).Msg("admin request failed")
			writeProblem(w, &Error{Kind: KindInternal, Detail: "the request met a fault of interlok-ha; its log says more"})
		}
	}()
	methods, ok := a.routes[r.URL.Path]
	if !ok {
		methods, ok = a.cacheRoute(r.URL)
	}
	if !ok {
		writeProblem(w, &Error{Kind: KindUnknown, Detail: fmt.Sprintf("no such path: %s", r.URL.Path), Mend: "try /v1/status"})
		return
	}
	h, ok := methods[r.Method]
	if !ok {
		names := make([]string, 0, len(methods))
		for m := range methods {
			names = append(names, m)
		}
		slices.Sort(names)
		allow := strings.Join(names, ", ")
		w.Header().Set("Allow", allow)
		writeProblem(w, &Error{Kind: KindMethod, Detail: fmt.Sprintf("%s does not take %s", r.URL.Path, r.Method), Mend: "use " + allow})
		return
	}
	if err := h(w, r); err != nil {
		writeProblem(w, err)
	}
}

func (a *api) status(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, "application/json", a.node.Status().complete())
}

func (a *api) healthz(w http.ResponseWriter, _ *http.Request) error {
	s := a.node.Status()
	return writeJSON(w, http.StatusOK, "application/json", probeAnswer{Status: "ok", State: s.Instance.State})
}

func (a *api) isRole(w http.ResponseWriter, role string) error {
	s := a.node.Status()
	code := http.StatusServiceUnavailable
	if s.Instance.Role == role {
		code = http.StatusOK
	}
	return writeJSON(w, code, "application/json", probeAnswer{Role: s.Instance.Role, State: s.Instance.State})
}

// Bodies of the orders.
type (
	switchoverBody struct {
		To        string `json:"to,omitempty"`
		TimeoutMs int64  `json:"timeoutMs,omitempty"`
	}
	switchoverAnswer struct {
		Master string `json:"master"`
	}
	forceBody struct {
		Force bool `json:"force,omitempty"`
	}
	promoteBody struct {
		Force bool `json:"force,omitempty"`
		// Yes is taken from who writes what the command line wants, and says nothing.
		Yes bool `json:"yes,omitempty"`
	}
	maintenanceBody struct {
		On  bool   `json:"on"`
		For string `json:"for,omitempty"`
	}
)

func (a *api) switchover(w http.ResponseWriter, r *http.Request) error {
	var body switchoverBody
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	ctx := r.Context()
	if body.TimeoutMs < 0 {
		return usage("timeoutMs is negative", "leave it out for the instance's own")
	}
	if body.TimeoutMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(body.TimeoutMs, 24*60*60*1000))*time.Millisecond)
		defer cancel()
	}
	master, err := a.node.Switchover(ctx, body.To)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, "application/json", switchoverAnswer{master})
}

func (a *api) drain(w http.ResponseWriter, r *http.Request) error {
	var body forceBody
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	return a.ordered(w, r, a.node.Drain(r.Context(), body.Force))
}

func (a *api) resume(w http.ResponseWriter, r *http.Request) error {
	if err := readBody(w, r, &struct{}{}); err != nil {
		return err
	}
	return a.ordered(w, r, a.node.Resume(r.Context()))
}

func (a *api) promote(w http.ResponseWriter, r *http.Request) error {
	var body promoteBody
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	return a.ordered(w, r, a.node.Promote(r.Context(), body.Force))
}

func (a *api) maintenance(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		On  *bool  `json:"on"` // a body that was forgotten must not end what others rely on
		For string `json:"for"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	var d time.Duration
	switch {
	case body.On == nil:
		return usage("on is missing", `write {"on":true,"for":"`+DefaultMaintenance+`"} or {"on":false}`)
	case *body.On:
		var err error
		if d, err = ParseMaintenance(cmp.Or(body.For, DefaultMaintenance)); err != nil {
			return err
		}
	case body.For != "":
		return usage("for is given and on is false", `leave for out, or write "on":true`)
	}
	return a.ordered(w, r, a.node.Maintenance(r.Context(), d))
}

// DefaultMaintenance is how long maintenance lasts if nobody says it.
const DefaultMaintenance = "30m"

// maxMaintenance is in whole days what a packet can carry: milliseconds in 32 bits.
const maxMaintenance = 49 * 24 * time.Hour

// ParseMaintenance reads how long maintenance lasts, such as 30m: above zero,
// 49 days at most. Its error is an [Error] of [KindUsage].
func ParseMaintenance(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil && !strings.HasPrefix(text, "-") {
		// Does it have the form, and is only more than a Duration holds?
		zeros := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return '0'
			}
			return r
		}, text)
		if _, formErr := time.ParseDuration(zeros); formErr == nil {
			d, err = math.MaxInt64, nil
		}
	}
	switch {
	case err != nil || d <= 0:
		return 0, usage(fmt.Sprintf("%q is no time above zero", text), "write for example 30m or 2h")
	case d > maxMaintenance:
		return 0, usage(fmt.Sprintf("%q is too long; maintenance lasts 49 days, %.0fh, at most", text, maxMaintenance.Hours()), "write for example 30m or 2h, and give it again before it ends")
	}
	return d, nil
}

// ordered answers an order with the state after it.
func (a *api) ordered(w http.ResponseWriter, r *http.Request, err error) error {
	if err != nil {
		return err
	}
	return a.status(w, r)
}

// readBody reads an order. No body is an order with nothing said.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	b, err := readAll(w, r, maxBody)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return usage(fmt.Sprintf("the body is not the JSON expected here: %v", strings.TrimPrefix(err.Error(), "json: ")), "")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return usage("the body goes on after the JSON", "send one JSON object")
	}
	return nil
}

func usage(detail, mend string) error { return &Error{Kind: KindUsage, Detail: detail, Mend: mend} }

func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	_ = writeJSON(w, p.Status, "application/problem+json", p) // the caller is gone if this fails
}

func writeJSON(w http.ResponseWriter, code int, kind string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	writeBytes(w, code, kind, append(b, '\n'))
	return nil
}

func writeBytes(w http.ResponseWriter, code int, kind string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(code)
	_, _ = w.Write(b) // the caller is gone if this fails; nobody is left to tell
}
