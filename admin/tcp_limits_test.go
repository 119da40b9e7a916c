package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

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
	var waiting sync.WaitGroup
	for _, path := range []string{"/v1/in-flight", "/v1/cache/FAILOVER_CACHE?watch=0", "/v1/cache/FAILOVER_CACHE/k?orphan=1"} {
		waiting.Go(func() {
			resp, err := http.Get("http://" + s.addr + path)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s, one too many: %d", path, resp.StatusCode)
			}
		})
	}
	waiting.Wait()
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
