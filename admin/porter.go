package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// porter stands before the API at the TCP door and says who may do what.
type porter struct {
	api      http.Handler
	log      zerolog.Logger
	counts   *tcpCounts
	loopback bool // only this machine can reach the door
	token    *secret
	hosts    map[string]bool
	covers   func(host string) bool // names of the certificate; may be nil
	cross    *http.CrossOriginProtection
	lists    chan struct{} // places for those who walk through a cache
}

// maxLists is how many walk through a cache at once: each copies a part of it
// while the cache waits.
const maxLists = 2

// Why a request was turned away.
const (
	rejectHost  = "host"
	rejectSite  = "cross-site"
	rejectToken = "token"
	rejectBusy  = "busy"
)

// toldEvery bounds the log lines about one cause.
const toldEvery = time.Minute

// public is what anybody may read over TCP, from any address.
var public = map[string]bool{
	"/": true, "/dashboard.css": true, "/dashboard.js": true, "/v1/status": true, "/v1/openapi.json": true, "/metrics": true, "/healthz": true, "/readyz": true,
	"/master": true, "/primary": true, "/leader": true, "/slave": true, "/replica": true,
}

// probed is what anybody may ask under any name.
var probed = map[string]bool{
	"/healthz": true, "/readyz": true, "/master": true, "/primary": true, "/leader": true, "/slave": true, "/replica": true,
}

// orders are what the log tells of, whoever gave them.
var orders = map[string]bool{"/v1/switchover": true, "/v1/drain": true, "/v1/resume": true, "/v1/promote": true, "/v1/maintenance": true}

func newPorter(api http.Handler, d *doorway) *porter {
	p := &porter{
		api: api, log: d.log, counts: d.counts, loopback: d.loopback, cross: http.NewCrossOriginProtection(),
		hosts: map[string]bool{"localhost": true}, lists: make(chan struct{}, maxLists), token: &d.token,
	}
	own, _, _ := net.SplitHostPort(d.cfg.Listen)
	machine, _ := os.Hostname() // without it the name is not let in; the others are
	for _, name := range append([]string{own, machine}, d.cfg.Hosts...) {
		if name != "" {
			p.hosts[plainHost(name)] = true
		}
	}
	if d.keys != nil {
		p.covers = d.keys.covers
	}
	return p
}

// ServeHTTP asks for the name under which we are known, where the request comes
// from, and the token, in this order.
func (p *porter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v, ok := r.Context().Value(visitorKey{}).(*visitor); ok {
		v.asked.Store(true)
	}
	out := &tally{ResponseWriter: w}
	defer func() { p.counts.answer(out.code) }()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")

	leave := func() {}
	cause, err := p.judge(r)
	if err == nil && walks(r) {
		cause = rejectBusy
		leave, err = p.walk(r)
	}
	if err != nil {
		p.reject(cause, err, r)
		switch KindOf(err) {
		case KindUnauthorized:
			h.Set("WWW-Authenticate", `Bearer realm="interlok-ha"`)
		case KindBusy:
			h.Set("Retry-After", "1")
		}
		writeProblem(out, err)
		return
	}
	defer leave()
	p.api.ServeHTTP(out, r)
	if orders[r.URL.Path] && !safe(r.Method) {
		p.log.Info().Str("method", r.Method).Str("path", cut(r.URL.Path)).Str("from", r.RemoteAddr).Int("status", out.code).Msg("Order over TCP")
	}
}

// secret is the token's SHA-256; none: nobody has one.
type secret struct {
	sum atomic.Pointer[[sha256.Size]byte]
}

func (s *secret) set(token string) {
	if token == "" {
		s.sum.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(token))
	s.sum.Store(&sum)
}

// walk waits for a place among those who walk through a cache, until leave is
// called.
func (p *porter) walk(r *http.Request) (leave func(), err error) {
	patience := time.NewTimer(busyRetry)
	defer patience.Stop()
	select {
	case p.lists <- struct{}{}:
		return func() { <-p.lists }, nil
	case <-patience.C:
	case <-r.Context().Done(): // nobody reads the answer
	}
	return nil, &Error{Kind: KindBusy, Detail: "others are walking through the cache", Mend: "try again a little later, see Retry-After"}
}

// judge says why a request is turned away; nil: it is not.
func (p *porter) judge(r *http.Request) (cause string, err error) {
	// A page that has a name pointed here has no token; the probes tell it which
	// role we have, and no more.
	stranger := p.authorize(r)
	if stranger != nil && !p.knows(r.Host) && !(probed[r.URL.Path] && safe(r.Method)) {
		return rejectHost, &Error{Kind: KindMisdirected, Detail: fmt.Sprintf("%q is not a name of this instance", cut(r.Host)),
			Mend: "use its IP address, or name it in failover.admin.hosts"}
	}
	if err := p.cross.Check(r); err != nil {
		return rejectSite, &Error{Kind: KindForbidden, Detail: "the request comes from another site", Err: err}
	}
	// A page of another site cannot read the answer, but it could hold
	// connections and learn from times. To follow a link is no harm.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "": // a browser says it only to whom it trusts, by https or on its own machine; it names the origin to all
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Host != r.Host {
				return rejectSite, &Error{Kind: KindForbidden, Detail: "the request comes from another site"}
			}
		}
	case "cross-site", "same-site":
		if r.Header.Get("Sec-Fetch-Mode") != "navigate" || !public[r.URL.Path] {
			return rejectSite, &Error{Kind: KindForbidden, Detail: "the request comes from another site"}
		}
	}
	// The token is in a header that no form and no image of another site can send.
	if stranger != nil && (!safe(r.Method) || !p.loopback && !public[r.URL.Path]) {
		return rejectToken, stranger
	}
	return "", nil
}

// authorize wants the token. What is compared has always the same length, and
// every wrong token is told the same.
func (p *porter) authorize(r *http.Request) error {
	want := p.token.sum.Load()
	if want == nil {
		return &Error{Kind: KindForbidden, Detail: "this needs a token, and none is configured here", Mend: "set failover.admin.token.file, or use the Unix socket"}
	}
	given := r.Header.Values("Authorization")
	if len(given) == 1 {
		scheme, token, _ := strings.Cut(given[0], " ")
		sum := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
			return nil
		}
	}
	return &Error{Kind: KindUnauthorized, Detail: "this needs the token of failover.admin.token.file", Mend: "send the header Authorization: Bearer TOKEN"}
}

// knows reports whether a request may call us by this Host. A page whose name
// was made to point here (DNS rebinding) calls us by its own name. An IP address
// is nobody's name; none at all comes from HTTP/1.0, which no browser speaks.
func (p *porter) knows(host string) bool {
	if host == "" {
		return true
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = plainHost(host)
	if a, err := netip.ParseAddr(host); err == nil {
		return !a.Unmap().IsUnspecified()
	}
	return p.hosts[host] || p.covers != nil && p.covers(host)
}

// plainHost is a host without what two spellings of it differ in.
func plainHost(h string) string {
	h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
	return strings.ToLower(strings.TrimSuffix(h, "."))
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// walks reports whether a request goes through a whole cache.
func walks(r *http.Request) bool {
	if r.URL.Path == "/v1/in-flight" {
		return true
	}
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), cachePath)
	if !ok || !safe(r.Method) {
		return false
	}
	q := query{Values: r.URL.Query()}
	if strings.Contains(rest, "/") { // one key, but an orphan has to be looked for
		return q.flag("orphan")
	}
	return !q.flag("watch")
}

func (p *porter) reject(cause string, err error, r *http.Request) {
	if p.counts.reject(cause, time.Now()) {
		p.log.Warn().Str("cause", cause).Str("from", r.RemoteAddr).Str("method", cut(r.Method)).Str("path", cut(r.URL.Path)).
			Str("detail", err.Error()).Msg("Turned away at the HTTP API; more of this cause are only counted for a while")
	}
}

// cut keeps what strangers send from filling the log.
func cut(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// reject counts, and says whether it should be told.
func (c *tcpCounts) reject(cause string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rejected == nil {
		c.rejected, c.told = map[string]uint64{}, map[string]time.Time{}
	}
	c.rejected[cause]++
	if last, ok := c.told[cause]; ok && now.Sub(last) < toldEvery {
		return false
	}
	c.told[cause] = now
	return true
}

func sortedKeys(m map[int]uint64) []int { return slices.Sorted(maps.Keys(m)) }

func (c *tcpCounts) answer(code int) {
	if code == 0 { // net/http answers so for a handler that says nothing
		code = http.StatusOK
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = map[int]uint64{}
	}
	c.answers[code]++
}

// tally notes how a request was answered.
type tally struct {
	http.ResponseWriter
	code int // 0: not at all
}

func (t *tally) WriteHeader(code int) {
	if t.code == 0 {
		t.code = code
	}
	t.ResponseWriter.WriteHeader(code)
}

func (t *tally) Write(b []byte) (int, error) {
	if t.code == 0 {
		t.code = http.StatusOK
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (t *tally) Unwrap() http.ResponseWriter { return t.ResponseWriter }
