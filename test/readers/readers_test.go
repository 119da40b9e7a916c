package readers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/interlok-ha/interlok-ha/node"
)

// master runs an instance until it is master, with an entry in its cache and a
// message in flight, and hands back a client of its socket.
func master(t *testing.T) *http.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "ha")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).Port
	_ = free.Close()
	socket := filepath.Join(dir, "a.sock")
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Config{
			Environ: []string{"HOME=" + dir}, SocketPath: socket,
			Set: []string{
				"failover.cluster=readers", "failover.name=a", "failover.interface=lo", fmt.Sprint("failover.port=", port), "failover.delay=100",
				"failover.state.dir=" + dir + "/state", "failover.admin.listen=127.0.0.1:0", "com.adaptris.profiler.plugin.factory=failover,metrics",
			},
		}, func(ctx context.Context, m *node.Master) error {
			p := m.Profiler()
			err := p.Workflow("a \"name\"\\ with\nall").Do(ctx, "m-1", func(ctx context.Context) error {
				if err := p.Service("quick").Do(ctx, "", func(context.Context) error { return nil }); err != nil {
					return err
				}
				close(begun)
				<-ctx.Done()
				return nil
			})
			return err
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-begun:
	case err := <-ended:
		t.Fatalf("the instance ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("no mastership")
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func get(t *testing.T, c *http.Client, method, path, body string) (*http.Request, *http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://instance"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, resp, b
}

// Prometheus takes all of it, and has nothing to say about the names.
func TestMetrics(t *testing.T) {
	c := master(t)
	var text []byte
	for end := time.Now().Add(10 * time.Second); !bytes.Contains(text, []byte(`step="quick"`)) && time.Now().Before(end); {
		_, resp, b := get(t, c, "GET", "/metrics", "")
		if text = b; resp.StatusCode != 200 {
			t.Fatalf("%d: %s", resp.StatusCode, b)
		}
		if kind := resp.Header.Get("Content-Type"); expfmt.ResponseFormat(resp.Header).FormatType() != expfmt.TypeTextPlain {
			t.Fatalf("content type %q", kind)
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 50 {
		t.Errorf("only %d families", len(families))
	}
	for name := range families {
		if !strings.HasPrefix(name, "interlok_ha_") {
			t.Errorf("the family %s", name)
		}
	}
	steps := families["interlok_ha_steps_total"]
	if steps == nil || len(steps.GetMetric()) == 0 {
		t.Errorf("the steps are not told")
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A validator of OpenAPI takes the document, and each answer as it describes it.
func TestOpenAPI(t *testing.T) {
	c := master(t)
	_, _, b := get(t, c, "GET", "/v1/openapi.json", "")
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("application/problem+json", openapi3filter.RegisteredBodyDecoder("application/json"))
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	for _, try := range []struct{ method, path, body string }{
		{"GET", "/v1/status", ""}, {"GET", "/healthz", ""}, {"GET", "/readyz", ""}, {"GET", "/master", ""}, {"GET", "/slave", ""}, {"OPTIONS", "/leader", ""},
		{"GET", "/v1/cache", ""}, {"GET", "/v1/cache/FAILOVER_CACHE", ""}, {"GET", "/v1/in-flight", ""}, {"GET", "/v1/cache/FAILOVER_CACHE/m-1", ""},
		{"GET", "/v1/cache/FAILOVER_CACHE/none", ""}, {"GET", "/v1/cache/none", ""}, {"GET", "/v1/openapi.json", ""},
		{"POST", "/v1/steps", `{"id":"m-2","kind":"workflow","step":"w","phase":"started"}`}, {"POST", "/v1/steps", `[{"id":"m-2","kind":"workflow","step":"w","phase":"completed"}]`},
		{"POST", "/v1/drain", `{"force":false}`}, {"POST", "/v1/switchover", `{"to":"nobody"}`}, {"POST", "/v1/maintenance", `{"on":false}`}, {"POST", "/v1/resume", ""},
	} {
		r, resp, body := get(t, c, try.method, try.path, try.body)
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s %s: %v", try.method, try.path, err)
			continue
		}
		r.Body = io.NopCloser(strings.NewReader(try.body))
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s: the request: %v", try.method, try.path, err)
		}
		if resp.StatusCode >= 500 && resp.StatusCode != 503 || !json.Valid(body) {
			t.Errorf("%s %s: %d %s", try.method, try.path, resp.StatusCode, body)
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(body)), Options: options}
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
			t.Errorf("%s %s: %d: %v", try.method, try.path, resp.StatusCode, err)
		}
	}
}
