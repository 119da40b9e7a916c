package admin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

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

// A pair that could not be read is tried again, though its files look no
// younger; the log tells of it once.
func TestCertificateIsTriedAgain(t *testing.T) {
	cert, key, _ := writeCert(t)
	var log bytes.Buffer
	k := &keyPair{cert: cert, key: key, log: zerolog.New(&log)}
	get := func() *tls.Certificate {
		t.Helper()
		k.looked = time.Time{}
		pair, err := k.get(nil)
		if err != nil || pair == nil {
			t.Fatalf("no certificate: %v", err)
		}
		return pair
	}
	old := get()
	if get() != old {
		t.Error("read again without a change")
	}
	later := time.Now().Add(time.Minute)
	put := func(b []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(cert, b, 0o600), os.Chtimes(cert, later, later)); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	put([]byte("half of it"))
	for range 3 {
		if get() != old {
			t.Error("the old certificate does not stay")
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
	put(good)
	if get() == old {
		t.Error("what is good at last is not taken")
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
