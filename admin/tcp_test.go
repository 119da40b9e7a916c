package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
)

const token = "0123456789abcdef0123456789abcdef"

// tcpServer is a server with a TCP door on 127.0.0.1.
type tcpServer struct {
	*Server
	t    *testing.T
	addr string
	stop func() error
}

// serveTCP runs one until the test ends. remote: as if the door were on an
// address that other machines reach.
func serveTCP(t *testing.T, cfg Config, tcp TCP, remote bool, change func(*doorway, *http.Server)) *tcpServer {
	t.Helper()
	if cfg.Node == nil {
		cfg.Node = newFakeNode()
	}
	if tcp.Listen == "" {
		tcp.Listen = "127.0.0.1:0"
	}
	cfg.TCP = &tcp
	cfg.SocketPath = filepath.Join(shortDir(t), "c", "a.sock")
	if cfg.Log.GetLevel() == zerolog.DebugLevel { // the zero value's
		cfg.Log = zerolog.New(zerolog.NewTestWriter(t))
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.change = func(d *doorway, srv *http.Server) {
		if change != nil {
			change(d, srv)
		}
		if remote {
			d.loopback = false
			srv.Handler = newPorter(newUsher(newAPI(cfg, s.ownMetrics), s.conns), d)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatalf("server ended at once: %v", err)
	}
	_, addr, _ := strings.Cut(s.URL(), "://")
	ts := &tcpServer{Server: s, t: t, addr: addr}
	ts.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := ts.stop(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return ts
}

func (s *tcpServer) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// do sends one request, with headers NAME: VALUE.
func (s *tcpServer) do(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n", method, path, len(body))
	if !strings.Contains(strings.Join(headers, "\n"), "Host:") {
		headers = append(headers, "Host: "+s.addr)
	}
	for _, h := range headers {
		text.WriteString(h + "\r\n")
	}
	text.WriteString("\r\n" + body)
	c := s.dial()
	if _, err := io.WriteString(c, text.String()); err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(b)
}

// metric is a number that /metrics tells, or -1.
func (s *tcpServer) metric(sample string) float64 {
	s.t.Helper()
	_, text := s.do("GET", "/metrics", "")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

const (
	jsonType = "Content-Type: application/json"
	bearer   = "Authorization: Bearer " + token
)

// Who may do what over TCP.
func TestWhoMayWhat(t *testing.T) {
	caches := newFakeCaches()
	for _, tt := range []struct {
		name          string
		token, remote bool
		headers       []string
		open          int // GET /v1/status, /metrics, probes, the document
		inner         int // GET /v1/cache…, /v1/in-flight
		change        int // POST
		put           int // PUT /v1/cache/…
	}{
		{"loopback, none configured", false, false, []string{jsonType}, 200, 200, 403, 403},
		{"loopback, none configured, one given", false, false, []string{jsonType, bearer}, 200, 200, 403, 403},
		{"loopback, none given", true, false, []string{jsonType}, 200, 200, 401, 401},
		{"loopback, wrong", true, false, []string{jsonType, bearer + "0"}, 200, 200, 401, 401},
		{"loopback, right", true, false, []string{jsonType, bearer}, 200, 200, 200, 200},
		{"loopback, right, no type", true, false, []string{bearer}, 200, 200, 200, 200},
		{"loopback, none given, no type", true, false, nil, 200, 200, 401, 401},
		{"loopback, right, form", true, false, []string{bearer, "Content-Type: application/x-www-form-urlencoded"}, 200, 200, 200, 200},
		{"remote, none configured", false, true, []string{jsonType}, 200, 403, 403, 403},
		{"remote, none given", true, true, []string{jsonType}, 200, 401, 401, 401},
		{"remote, right", true, true, []string{jsonType, bearer}, 200, 200, 200, 200},
		{"remote, right, other letters", true, true, []string{jsonType, "authorization: bearer " + token}, 200, 200, 200, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := newFakeNode()
			tcp := TCP{Insecure: true}
			if tt.token {
				tcp.Token = token
			}
			s := serveTCP(t, Config{Node: node, Caches: caches, Steps: &fakeSteps{}}, tcp, tt.remote, nil)
			check := func(method, path string, want int) {
				t.Helper()
				body := ""
				if path == "/v1/steps" {
					body = oneStep
				}
				resp, text := s.do(method, path, body, tt.headers...)
				if resp.StatusCode != want {
					t.Errorf("%s %s: %d, want %d: %s", method, path, resp.StatusCode, want, text)
				}
				if got := resp.Header.Get("WWW-Authenticate") != ""; got != (resp.StatusCode == 401) {
					t.Errorf("%s %s: WWW-Authenticate is there: %v, status %d", method, path, got, resp.StatusCode)
				}
				if !json.Valid([]byte(text)) && method != "HEAD" && path != "/metrics" {
					t.Errorf("%s %s: no JSON: %s", method, path, text)
				}
			}
			for _, path := range []string{"/v1/status", "/metrics", "/healthz", "/readyz", "/master", "/v1/openapi.json"} {
				check("GET", path, tt.open)
				check("HEAD", path, tt.open)
			}
			check("OPTIONS", "/master", tt.open)
			for _, path := range []string{"/v1/cache", "/v1/cache/FAILOVER_CACHE", "/v1/in-flight", "/v1/%63ache"} {
				check("GET", path, tt.inner)
				check("HEAD", path, tt.inner)
			}
			// What nobody knows is closed too: a path that comes later is not open by
			// oversight.
			if want := map[bool]int{true: tt.inner, false: 404}[tt.inner != 200]; true {
				check("GET", "/v1/unheard-of", want)
			}
			for _, path := range []string{"/v1/switchover", "/v1/drain", "/v1/resume", "/v1/promote", "/v1/steps"} {
				check("POST", path, tt.change)
			}
			if want := map[bool]int{true: 400, false: tt.change}[tt.change == 200]; true { // without a body
				check("POST", "/v1/maintenance", want)
			}
			if got := len(node.ordered()); (got > 0) != (tt.change == 200) {
				t.Errorf("the node got %d orders", got)
			}
			check("PUT", "/v1/cache/FAILOVER_CACHE/k", tt.put)
			check("DELETE", "/v1/cache/FAILOVER_CACHE/k", tt.put)
			for _, method := range []string{"PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "BREW"} {
				if resp, text := s.do(method, "/v1/drain", "", tt.headers...); resp.StatusCode < 400 {
					t.Errorf("%s: %d %s", method, resp.StatusCode, text)
				}
			}
		})
	}
}

// The stream of events is read as the cache is.
func TestEventsNeedTokenFromOutside(t *testing.T) {
	for _, tt := range []struct {
		remote bool
		header string
		want   int
	}{{false, "", 200}, {true, "", 401}, {true, bearer, 200}} {
		s := serveTCP(t, Config{}, TCP{Token: token, Insecure: true}, tt.remote, nil)
		c := s.dial()
		fmt.Fprintf(c, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n%s\r\n", strings.TrimSuffix(tt.header+"\r\n", "\r\n\r\n"))
		if tt.header == "" {
			fmt.Fprint(c, "")
		} else {
			fmt.Fprint(c, "\r\n")
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != tt.want {
			t.Fatalf("remote %v, %q: %v, %v, want %d", tt.remote, tt.header, resp, err, tt.want)
		}
		if tt.want == 200 {
			line, err := bufio.NewReader(resp.Body).ReadString('\n')
			if err != nil || !strings.Contains(line, `"state"`) {
				t.Errorf("%q, %v", line, err)
			}
		}
		c.Close()
	}
}

// Every wrong token gets the same answer, byte for byte, and what is compared
// is of one length whatever was sent.
func TestWrongTokens(t *testing.T) {
	node := newFakeNode()
	s := serveTCP(t, Config{Node: node}, TCP{Token: token}, false, nil)
	var first string
	for _, headers := range [][]string{
		{},
		{"Authorization:"},
		{"Authorization: Bearer"},
		{"Authorization: Bearer "},
		{"Authorization: " + token},
		{"Authorization: Basic " + token},
		{"Authorization: Bearer x"},
		{"Authorization: Bearer " + token[:31]},
		{"Authorization: Bearer " + token[:31] + "0"},
		{"Authorization: Bearer " + token + "0"},
		{"Authorization: Bearer " + strings.ToUpper(token)},
		{"Authorization: Bearer " + token + " " + token},
		{"Authorization: Bearer " + strings.Repeat("x", 10_000)},
		{bearer, "Authorization: Bearer x"},
		{"Authorization: Bearer x", bearer},
		{"X-Token: " + token, "Cookie: token=" + token},
	} {
		resp, body := s.do("POST", "/v1/drain?token="+token, "", append(headers, jsonType)...)
		resp.Header.Del("Date")
		got := fmt.Sprint(resp.StatusCode, resp.Header, body)
		if first == "" {
			first = got
		}
		if resp.StatusCode != 401 || got != first || strings.Contains(body, token) {
			t.Errorf("%.80q: %s", headers, got)
		}
	}
	if got := node.ordered(); got != nil {
		t.Errorf("the node was told %q", got)
	}
	if got := s.metric(`interlok_ha_admin_rejected_total{cause="token"}`); got != 16 {
		t.Errorf("%v wrong tokens were counted, want 16", got)
	}
	// The compiler holds that both are 32 bytes; that nothing else compares:
	text, err := os.ReadFile("porter.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("p.token")); n != 1 || !bytes.Contains(text, []byte("subtle.ConstantTimeCompare(sum[:], want[:])")) {
		t.Errorf("the token is used in %d places; it is looked for, and compared in constant time, and no more", n)
	}
}

// From the moment that it is set only the new token counts.
func TestSetToken(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	s := serveTCP(t, Config{Node: newFakeNode()}, TCP{Token: token}, false, nil)
	for _, tt := range []struct {
		set, given string
		want       int
	}{{token, token, 200}, {other, token, 401}, {other, other, 200}, {"", other, 403}, {"", "", 403}, {token, token, 200}} {
		s.SetToken(tt.set)
		if resp, body := s.do("POST", "/v1/drain", "", jsonType, "Authorization: Bearer "+tt.given); resp.StatusCode != tt.want {
			t.Errorf("%q set, %q given: %d, want %d: %s", tt.set, tt.given, resp.StatusCode, tt.want, body)
		}
	}
}

// A token that is set before the API listens counts from its first request on.
func TestSetTokenEarly(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	s, err := New(Config{Node: newFakeNode(), SocketPath: filepath.Join(shortDir(t), "c", "a.sock"), TCP: &TCP{Listen: "127.0.0.1:0", Token: token}})
	if err != nil {
		t.Fatal(err)
	}
	s.SetToken(other)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-s.Ready()
	for given, want := range map[string]int{token: 401, other: 200} {
		r, err := http.NewRequest("POST", s.URL()+"/v1/drain", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+given)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", given, resp.StatusCode, want)
		}
	}
}
