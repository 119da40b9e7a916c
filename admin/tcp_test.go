package admin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
			srv.Handler = newPorter(newAPI(cfg, s.ownMetrics), d)
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
		{"loopback, right, no type", true, false, []string{bearer}, 200, 200, 415, 200},
		{"loopback, right, form", true, false, []string{bearer, "Content-Type: application/x-www-form-urlencoded"}, 200, 200, 415, 200},
		{"loopback, right, text", true, false, []string{bearer, "Content-Type: text/plain; application/json"}, 200, 200, 415, 200},
		{"loopback, right, charset", true, false, []string{bearer, jsonType + "; charset=utf-8"}, 200, 200, 200, 200},
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

// A page whose name was made to point here calls us by its own name.
func TestRebinding(t *testing.T) {
	cert, key, _ := writeCert(t, "cert.example", "*.wild.example")
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	d, err := openTCP(TCP{Listen: "localhost:0", Hosts: []string{"HA.example"}, CertFile: cert, KeyFile: key}, 1, &tcpCounts{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p := newPorter(newAPI(Config{Node: newFakeNode()}, nil), d)
	for host, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST:80": true, "localhost.": true, "127.0.0.1": true, "127.0.0.1:8710": true, "[::1]:8710": true, "[::1]": true, "192.0.2.7": true,
		machine: true, machine + ":8710": true, "ha.example": true, "HA.example.:1": true, "cert.example": true, "a.wild.example": true,
		"evil.example": false, "evil.example:8710": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "0.0.0.0": false, "[::]:8710": false,
		"x.ha.example": false, "wild.example": false, "a.b.wild.example": false, "0": false, "2130706433": false, "127.1": false, "a b": false,
	} {
		if got := p.knows(host); got != want {
			t.Errorf("Host %q: %v, want %v", host, got, want)
		}
	}

	node := newFakeNode()
	s := serveTCP(t, Config{Node: node}, TCP{Token: token}, false, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST"} {
		for _, path := range []string{"/v1/status", "/master", "/v1/drain", "/v1/events", "/nowhere"} {
			resp, _ := s.do(method, path, "", "Host: evil.example", bearer, jsonType)
			if resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s %s: %d, want 421", method, path, resp.StatusCode)
			}
		}
	}
	if got := node.ordered(); got != nil {
		t.Errorf("the node was told %q", got)
	}
	if got := s.metric(`interlok_ha_admin_rejected_total{cause="host"}`); got != 20 {
		t.Errorf("%v were counted, want 20", got)
	}
}

// HTTP/1.0 may have no Host: some load balancers ask so, and no browser.
func TestProbeWithoutHost(t *testing.T) {
	s := serveTCP(t, Config{}, TCP{}, false, nil)
	c := s.dial()
	fmt.Fprint(c, "OPTIONS /master HTTP/1.0\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %v", resp, err)
	}
}

// What a browser sends for a page of another site.
func TestCrossSite(t *testing.T) {
	node := newFakeNode()
	s := serveTCP(t, Config{Node: node}, TCP{Token: token}, false, nil)
	rejected := 0
	for _, tt := range []struct {
		method, path string
		headers      []string
		want         int
	}{
		{"POST", "/v1/drain", []string{"Origin: http://evil.example"}, 403},
		{"POST", "/v1/drain", []string{"Origin: null"}, 403},
		{"POST", "/v1/drain", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"POST", "/v1/drain", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"POST", "/v1/drain", []string{"Origin: http://127.0.0.1:1"}, 403},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k", []string{"Origin: http://evil.example"}, 403},
		{"GET", "/v1/events", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403},
		{"GET", "/v1/events", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 403},
		{"GET", "/v1/status", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"}, 403},
		{"GET", "/v1/status", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200},
		{"GET", "/v1/status", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"}, 200},
		{"GET", "/v1/status", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"}, 200},
		{"POST", "/v1/drain", []string{"Sec-Fetch-Site: same-origin", "Origin: http://" + s.addr}, 200},
		{"POST", "/v1/drain", []string{"Origin: http://" + s.addr}, 200},
	} {
		resp, body := s.do(tt.method, tt.path, "", append(tt.headers, bearer, jsonType)...)
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s %q: %d, want %d: %s", tt.method, tt.path, tt.headers, resp.StatusCode, tt.want, body)
		}
		if tt.want == 403 {
			rejected++
		}
		for name := range resp.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s lets other sites read: %s", tt.method, tt.path, name)
			}
		}
		for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy", "Cross-Origin-Resource-Policy"} {
			if resp.Header.Get(name) == "" {
				t.Errorf("%s %s: no %s", tt.method, tt.path, name)
			}
		}
	}
	if got := len(node.ordered()); got != 2 {
		t.Errorf("the node got %d orders, want the two of our own page", got)
	}
	if got := s.metric(`interlok_ha_admin_rejected_total{cause="cross-site"}`); got != float64(rejected) {
		t.Errorf("%v were counted, want %d", got, rejected)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A body of 1 GiB is refused after little of it, and kept nowhere.
func TestHugeBody(t *testing.T) {
	node := newFakeNode()
	s := serveTCP(t, Config{Node: node, Caches: newFakeCaches(), Steps: &fakeSteps{}}, TCP{Token: token}, false, nil)
	block := bytes.Repeat([]byte("x"), 64<<10)
	for _, tt := range []struct {
		method, path, length, header string
		want                         int
		most                         int // bytes that may be taken in, buffers of the kernel included
	}{
		{"POST", "/v1/drain", "Content-Length: 1073741824", bearer, 413, 32 << 20},
		{"POST", "/v1/drain", "Transfer-Encoding: chunked", bearer, 413, 32 << 20},
		{"POST", "/v1/drain", "Content-Length: 1073741824", "X-No: token", 401, 32 << 20},
		{"POST", "/v1/steps", "Content-Length: 1073741824", bearer, 413, 32 << 20},
		{"PUT", "/v1/cache/FAILOVER_CACHE/k", "Transfer-Encoding: chunked", bearer, 413, 32 << 20},
		{"GET", "/v1/status", "Content-Length: 1073741824", "X-No: token", 200, 32 << 20},
	} {
		before := heap()
		c := s.dial()
		if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s\r\n%s\r\n\r\n", tt.method, tt.path, jsonType, tt.length, tt.header); err != nil {
			t.Fatal(err)
		}
		code, sent := make(chan int, 1), 0
		go func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				code <- 0
				return
			}
			code <- resp.StatusCode
		}()
		for sent < 1<<30 {
			n, err := 0, error(nil)
			if strings.Contains(tt.length, "chunked") {
				if _, err = fmt.Fprintf(c, "%x\r\n", len(block)); err == nil {
					n, err = c.Write(append(block[:len(block):len(block)], "\r\n"...))
				}
			} else {
				n, err = c.Write(block)
			}
			sent += n
			if err != nil {
				break
			}
		}
		got := <-code
		c.Close()
		// A reset can overtake the answer; that nothing was taken in counts.
		if got != tt.want && got != 0 || sent > tt.most {
			t.Errorf("%s %s, %s: answer %d after %d bytes, want %d", tt.method, tt.path, tt.length, got, sent, tt.want)
		}
		if after := heap(); after > before+(8<<20) {
			t.Errorf("%s %s: the heap grew by %d bytes", tt.method, tt.path, after-before)
		}
	}
	if got := node.ordered(); got != nil {
		t.Errorf("the node was told %q", got)
	}
	if got := s.metric(`interlok_ha_admin_requests_total{code="413"}`); got != 4 {
		t.Errorf("%v answers of 413 were counted, want 4", got)
	}
}

// Headers that never end, bodies that drip: each ends by a deadline, and is seen.
func TestSlowLoris(t *testing.T) {
	node := newFakeNode()
	s := serveTCP(t, Config{Node: node}, TCP{Token: token}, false, func(d *doorway, srv *http.Server) {
		if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 10*time.Second || srv.IdleTimeout != 60*time.Second || srv.MaxHeaderBytes != 16<<10 || cap(d.places) != 128 {
			t.Errorf("limits: %v %v %v %d %d", srv.ReadHeaderTimeout, srv.ReadTimeout, srv.IdleTimeout, srv.MaxHeaderBytes, cap(d.places))
		}
		srv.ReadHeaderTimeout, srv.ReadTimeout = 100*time.Millisecond, 200*time.Millisecond
	})
	const each = 20
	var all sync.WaitGroup
	codes := make([]int, 2*each)
	for i := range 2 * each {
		c := s.dial()
		all.Go(func() {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err == nil {
					codes[i] = resp.StatusCode
					_, _ = io.Copy(io.Discard, resp.Body)
				}
			}()
			start := "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
			if i%2 == 1 {
				start = "POST /v1/drain HTTP/1.1\r\nHost: localhost\r\n" + jsonType + "\r\n" + bearer + "\r\nContent-Length: 10000\r\n\r\n"
			}
			_, err := io.WriteString(c, start)
			for tick := time.NewTicker(10 * time.Millisecond); err == nil; { // until it is cut off
				select {
				case <-tick.C:
					_, err = io.WriteString(c, " ")
				case <-ended:
					tick.Stop()
					return
				}
			}
			<-ended
		})
	}
	// Meanwhile others are answered.
	if resp, _ := s.do("GET", "/healthz", ""); resp.StatusCode != 200 {
		t.Errorf("another caller got %d", resp.StatusCode)
	}
	all.Wait()
	for i, code := range codes {
		if want := 408 * (i % 2); code != want && code != 0 {
			t.Errorf("slow caller %d got %d", i, code)
		}
	}
	if got := node.ordered(); got != nil {
		t.Errorf("the node was told %q", got)
	}
	if got := s.metric(`interlok_ha_admin_connections_dropped_total{cause="no-request"}`); got != each {
		t.Errorf("%v connections without a request were counted, want %d", got, each)
	}
	if got := s.metric(`interlok_ha_admin_requests_total{code="408"}`); got != each {
		t.Errorf("%v slow bodies were counted, want %d", got, each)
	}
}

func TestTCPHeaderLimit(t *testing.T) {
	s := serveTCP(t, Config{}, TCP{}, false, nil)
	for _, header := range []string{"X-Long: " + strings.Repeat("x", maxHeaders+4096), strings.Repeat("X-Many: x\r\n", 4000) + "X: x"} {
		c := s.dial()
		go fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", header)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %v, %v, want 431", resp, err)
		}
		c.Close()
	}
	awaitMetric(t, s, `interlok_ha_admin_connections_dropped_total{cause="no-request"}`, 2)
}

// awaitMetric waits for what the server does after it has hung up.
func awaitMetric(t *testing.T, s *tcpServer, sample string, want float64) {
	t.Helper()
	var got float64
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if got = s.metric(sample); got == want {
			return
		}
		time.Sleep(5 * time.Millisecond) // no one tells when
	}
	t.Errorf("%s is %v, want %v", sample, got, want)
}

// 128 callers are served at once; the next waits until one leaves.
func TestTCPConnectionLimit(t *testing.T) {
	s := serveTCP(t, Config{}, TCP{}, false, nil)
	ask := func(c net.Conn) error {
		if _, err := fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		return err
	}
	held := make([]net.Conn, maxConns)
	for i := range held {
		held[i] = s.dial()
		if err := ask(held[i]); err != nil {
			t.Fatalf("caller %d: %v", i, err)
		}
	}
	next := s.dial()
	_ = next.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if err := ask(next); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("caller %d: %v, want no answer yet", len(held), err)
	}
	// The Unix socket has places of its own.
	if _, err := NewClient(s.cfg.SocketPath).Status(t.Context()); err != nil {
		t.Errorf("the Unix socket: %v", err)
	}
	_ = next.SetDeadline(time.Time{})
	held[0].Close()
	resp, err := http.ReadResponse(bufio.NewReader(next), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("after a place was free: %v, %v", resp, err)
	}
}

// One machine cannot take all places.
func TestPlacesPerMachine(t *testing.T) {
	d, err := openTCP(TCP{Listen: "127.0.0.1:0"}, maxConns, &tcpCounts{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	enter := func(ip string) bool { return d.enter(machine(netip.MustParseAddr(ip))) }
	for i := range maxPerHost {
		if !enter("192.0.2.1") || !enter("2001:db8::"+strconv.Itoa(i+1)) || !enter("127.0.0.1") || !enter("::1") {
			t.Fatalf("connection %d was refused", i)
		}
	}
	for ip, want := range map[string]bool{"192.0.2.1": false, "::ffff:192.0.2.1": false, "2001:db8::ffff": false, "192.0.2.2": true, "2001:db8:0:1::1": true, "127.0.0.1": true} {
		if got := enter(ip); got != want {
			t.Errorf("one more of %s: %v, want %v", ip, got, want)
		}
	}
	d.left(machine(netip.MustParseAddr("192.0.2.1")))
	if !enter("192.0.2.1") {
		t.Error("a place that was given back is not free")
	}
	for range maxPerHost {
		d.left(machine(netip.MustParseAddr("192.0.2.1")))
	}
	if len(d.from) != 3 {
		t.Errorf("%d machines are remembered, want 3", len(d.from))
	}
}

// A machine that has too many is counted and hung up on; the others come in.
func TestTooManyOfOne(t *testing.T) {
	s := serveTCP(t, Config{}, TCP{}, false, func(d *doorway, _ *http.Server) {
		d.perHost, d.counted = 2, func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") }
	})
	held := []net.Conn{s.dial(), s.dial()}
	for _, c := range held {
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
	}
	if third, err := net.Dial("tcp", s.addr); err == nil { // the reset may come sooner
		if b, err := io.ReadAll(third); err == nil {
			t.Errorf("the third got %q and no reset", b)
		}
		third.Close()
	}
	other := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}
	defer other.CloseIdleConnections()
	resp, err := other.RoundTrip(newRequest(t, "http://"+s.addr+"/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if want := `interlok_ha_admin_connections_dropped_total{cause="too-many"} 1` + "\n"; err != nil || !strings.Contains(string(b), want) {
		t.Errorf("another machine got %v, and not %q:\n%s", err, want, b)
	}
	held[0].Close()
	d := s.tcp.Load()
	left := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.from[netip.MustParseAddr("127.0.0.1")]
	}
	for end := time.Now().Add(10 * time.Second); left() != 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // no one tells when
	}
	if got := left(); got != 1 {
		t.Errorf("%d places are taken, want that of the one who stayed", got)
	}
}

func newRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Those who walk through a cache wait for each other, and not for ever.
func TestWalkersAreFew(t *testing.T) {
	caches := &slowCaches{fakeCaches: newFakeCaches(), let: make(chan struct{}), entered: make(chan struct{}, 16)}
	s := serveTCP(t, Config{Caches: caches}, TCP{}, false, nil)
	codes := make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := http.Get("http://" + s.addr + "/v1/cache/FAILOVER_CACHE")
			if err != nil {
				codes <- 0
				return
			}
			resp.Body.Close()
			codes <- resp.StatusCode
		}()
		<-caches.entered
	}
	for _, path := range []string{"/v1/in-flight", "/v1/cache/FAILOVER_CACHE?watch=0", "/v1/cache/FAILOVER_CACHE/k?orphan=1"} {
		resp, body := s.do("GET", path, "")
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s, one too many: %d %s", path, resp.StatusCode, body)
		}
	}
	for path, want := range map[string]int{"/v1/cache": 200, "/v1/cache/FAILOVER_CACHE/k": 404, "/v1/status": 200} {
		if resp, _ := s.do("GET", path, ""); resp.StatusCode != want {
			t.Errorf("%s, which does not walk: %d", path, resp.StatusCode)
		}
	}
	close(caches.let)
	for range 2 {
		if code := <-codes; code != 200 {
			t.Errorf("a walker got %d", code)
		}
	}
	if resp, _ := s.do("GET", "/v1/in-flight", ""); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
}

type slowCaches struct {
	*fakeCaches
	entered, let chan struct{}
}

func (s *slowCaches) List(cache string, q CacheQuery) ([]CacheEntry, error) {
	s.entered <- struct{}{}
	<-s.let
	return s.fakeCaches.List(cache, q)
}

// writeCert makes a certificate that signs itself.
func writeCert(t *testing.T, names ...string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	for name, b := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

func TestTLS(t *testing.T) {
	cert, key, pool := writeCert(t)
	s := serveTCP(t, Config{}, TCP{Token: token, CertFile: cert, KeyFile: key}, true, nil)
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("URL %s", s.URL())
	}
	get := func(pool *x509.CertPool, most uint16) (*http.Response, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: most}, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		req, _ := http.NewRequest("GET", s.URL()+"/v1/in-flight", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Client{Transport: tr}).Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return resp, err
	}
	if resp, err := get(pool, 0); err != nil || resp.StatusCode != 404 || resp.ProtoMajor != 1 { // it keeps no cache
		t.Errorf("with the token: %v, %v", resp, err)
	}
	if _, err := get(pool, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	// In clear text nothing is told, the token least of all.
	c := s.dial()
	fmt.Fprintf(c, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if b, _ := io.ReadAll(c); strings.Contains(string(b), "schema") {
		t.Errorf("clear text got %s", b)
	}
	// A new certificate is taken without a restart.
	cert2, key2, pool2 := writeCert(t)
	for from, to := range map[string]string{cert2: cert, key2: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	d := s.tcp.Load()
	d.keys.mu.Lock()
	d.keys.looked = time.Time{}
	d.keys.mu.Unlock()
	if resp, err := get(pool2, 0); err != nil || resp.StatusCode != 404 {
		t.Errorf("with the new certificate: %v, %v", resp, err)
	}
	// A broken one is not; the old one stays.
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.keys.mu.Lock()
	d.keys.looked = time.Time{}
	d.keys.mu.Unlock()
	if resp, err := get(pool2, 0); err != nil || resp.StatusCode != 404 {
		t.Errorf("after a broken certificate: %v, %v", resp, err)
	}
}

// What makes the start impossible says what to change.
func TestDoorErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		tcp       TCP
		says, fix string
	}{
		{TCP{Listen: taken.Addr().String()}, "address already in use", "failover.admin.listen"},
		{TCP{Listen: "192.0.2.1:1"}, "cannot assign requested address", "failover.admin.listen"},
		{TCP{Listen: "127.0.0.1:0", CertFile: "/nowhere", KeyFile: "/nowhere"}, "no such file", "failover.admin.tls.cert"},
		{TCP{Listen: "0.0.0.0:0", Token: token}, "clear text", "failover.admin.tls.cert"},
		{TCP{Listen: ":0", Token: token}, "clear text", "failover.admin.insecure=true"},
	} {
		s, err := New(Config{Node: newFakeNode(), SocketPath: filepath.Join(shortDir(t), "c", "a.sock"), TCP: &tt.tcp})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Kind != KindBadListen || !strings.Contains(e.Detail, tt.says) || !strings.Contains(e.Mend, tt.fix) {
			t.Errorf("%+v: %v", tt.tcp, err)
		}
		if _, err := os.Lstat(s.cfg.SocketPath); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: the socket is left behind", tt.tcp)
		}
	}
	for _, tcp := range []TCP{{Listen: "0.0.0.0:0"}, {Listen: "0.0.0.0:0", Token: token, Insecure: true}, {Listen: "localhost:0", Token: token}} {
		d, err := openTCP(tcp, 1, &tcpCounts{}, zerolog.Nop())
		if err != nil {
			t.Errorf("%+v: %v", tcp, err)
			continue
		}
		if d.loopback != (tcp.Listen == "localhost:0") {
			t.Errorf("%+v: loopback %v", tcp, d.loopback)
		}
		d.Close()
	}
}

// A stream that is open over TCP does not keep Run from ending.
func TestStopWithOpenStream(t *testing.T) {
	s := serveTCP(t, Config{}, TCP{}, false, nil)
	c := s.dial()
	fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the reader got %v", err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("it still listens")
	}
}

// What is turned away is in the log once a minute for each cause, what is
// ordered each time.
func TestLogOfStrangers(t *testing.T) {
	var lines lockedBuffer
	s := serveTCP(t, Config{Steps: &fakeSteps{}, Log: zerolog.New(&lines).Level(zerolog.InfoLevel)}, TCP{Token: token}, false, nil)
	for range 5 {
		s.do("GET", "/v1/status", "", "Host: evil.example"+strings.Repeat("x", 5000))
		s.do("POST", "/v1/drain", "", jsonType, bearer)
		s.do("POST", "/v1/steps", oneStep, jsonType, bearer) // of these there may be very many
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	text := lines.String()
	if n := strings.Count(text, `"cause":"host"`); n != 1 {
		t.Errorf("%d lines about the host, want 1:\n%s", n, text)
	}
	if n := strings.Count(text, "Order over TCP"); n != 5 {
		t.Errorf("%d orders, want 5:\n%s", n, text)
	}
	if strings.Contains(text, token) || len(text) > 4000 {
		t.Errorf("the log has the token, or %d bytes:\n%s", len(text), text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

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
		{func(s *Status) { s.Instance.State = StateMaintenance }, ""},
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
