package admin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

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
		"evil.example": false, "evil.example:8710": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "0.0.0.0": false, "[::ffff:0.0.0.0]": false, "[::ffff:127.0.0.1]:80": true, "[::]:8710": false,
		"x.ha.example": false, "wild.example": false, "a.b.wild.example": false, "0": false, "2130706433": false, "127.1": false, "a b": false,
	} {
		if got := p.knows(host); got != want {
			t.Errorf("Host %q: %v, want %v", host, got, want)
		}
	}

	node := newFakeNode()
	s := serveTCP(t, Config{Node: node}, TCP{Token: token}, false, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST"} {
		for _, path := range []string{"/v1/status", "/master", "/v1/drain", "/v1/events", "/nowhere", "/healthz"} {
			want := http.StatusMisdirectedRequest
			if (path == "/master" || path == "/healthz") && method != "POST" { // a load balancer asks under any name
				want = http.StatusOK
			}
			for _, header := range []string{"X-No: token", bearer + "0"} {
				if resp, _ := s.do(method, path, "", "Host: evil.example", header, jsonType); resp.StatusCode != want {
					t.Errorf("%s %s: %d, want %d", method, path, resp.StatusCode, want)
				}
			}
		}
	}
	if resp, _ := s.do("GET", "/master", "", "Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a probe by a page of another site: %d", resp.StatusCode)
	}
	if got := node.ordered(); got != nil {
		t.Errorf("the node was told %q", got)
	}
	if got := s.metric(`interlok_ha_admin_rejected_total{cause="host"}`); got != 36 {
		t.Errorf("%v were counted, want 36", got)
	}
	// No such page has the token; who has it is told everything.
	for path, want := range map[string]int{"/v1/status": 200, "/v1/cache": 404} {
		if resp, _ := s.do("GET", path, "", "Host: ha.example", bearer); resp.StatusCode != want {
			t.Errorf("GET %s with the token: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if resp, _ := s.do("POST", "/v1/drain", "", "Host: ha.example", bearer); resp.StatusCode != 200 || len(node.ordered()) != 1 {
		t.Errorf("an order with the token: %d, %q", resp.StatusCode, node.ordered())
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

// OPTIONS * is a request as any other.
func TestGeneralOptions(t *testing.T) {
	s := serveTCP(t, Config{}, TCP{}, false, nil)
	for host, want := range map[string]int{"localhost": 404, "evil.example": 421} {
		if resp, _ := s.do("OPTIONS", "*", "", "Host: "+host); resp.StatusCode != want || resp.Header.Get("X-Content-Type-Options") == "" {
			t.Errorf("Host %s: %d, want %d", host, resp.StatusCode, want)
		}
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
	before := heap()
	var all sync.WaitGroup
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
		c := s.dial()
		if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s\r\n%s\r\n\r\n", tt.method, tt.path, jsonType, tt.length, tt.header); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
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
			// A reset can overtake the answer; that nothing was taken in counts.
			if got != tt.want && got != 0 || sent > tt.most {
				t.Errorf("%s %s, %s: answer %d after %d bytes, want %d", tt.method, tt.path, tt.length, got, sent, tt.want)
			}
		})
	}
	all.Wait()
	if after := heap(); after > before+(8<<20) {
		t.Errorf("the heap grew by %d bytes", after-before)
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
		if srv.ReadHeaderTimeout != 5*time.Second || srv.ReadTimeout != 10*time.Second || srv.IdleTimeout != 60*time.Second || srv.MaxHeaderBytes != 16<<10 || d.places.most != 128 {
			t.Errorf("limits: %v %v %v %d %d", srv.ReadHeaderTimeout, srv.ReadTimeout, srv.IdleTimeout, srv.MaxHeaderBytes, d.places.most)
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
	// On a busy machine a head may be late too, and then there is no body.
	silent, slow := s.metric(`interlok_ha_admin_connections_dropped_total{cause="no-request"}`), s.metric(`interlok_ha_admin_requests_total{code="408"}`)
	if silent+slow != 2*each || silent < each || slow < each/2 {
		t.Errorf("%v connections without a request and %v slow bodies were counted, want %d of both", silent, slow, each)
	}
}
