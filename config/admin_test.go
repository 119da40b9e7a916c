package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testToken = "0123456789abcdef0123456789abcdef"

// writePair writes a certificate and its key into one file.
func writePair(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"ha.example"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for kind, der := range map[string][]byte{"CERTIFICATE": cert, "PRIVATE KEY": secret} {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, name, b.String(), 0o600)
}

// Each fault of the HTTP API's keys stops the start, names the key and the mend.
func TestAdminRelations(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("token"), testToken+"\n", 0o600)
	write(t, at("readonly"), testToken, 0o400)
	write(t, at("open"), testToken, 0o644)
	write(t, at("group"), testToken, 0o640)
	write(t, at("words"), "a b\n", 0o600)
	write(t, at("empty"), "\n", 0o600)
	write(t, at("key"), testKey, 0o600)
	writePair(t, at("pem"))
	writePair(t, at("pem2"))
	both, err := os.ReadFile(at("pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, at("openpem"), string(both), 0o604)
	write(t, at("grouppem"), string(both), 0o640)
	for _, tt := range []struct{ sets, want, warn string }{
		{"listen=127.0.0.1:1", "", ""},
		{"listen=10.0.0.1:1", "", "failover.admin.listen: anyone who reaches 10.0.0.1:1 can read the status"},
		{"listen=127.0.0.1:1 token.file=token", "", ""},
		{"listen=127.0.0.1:1 token.file=readonly", "", ""},
		{"listen=[::1]:1 token.file=token", "", ""},
		{"listen=localhost:1 token.file=token", "", ""},
		{"listen=:1 token.file=token", "failover.admin.token.file: without TLS the token would travel in clear text to :1; write failover.admin.tls.cert and failover.admin.tls.key", ""},
		{"listen=node-a:1 token.file=token", "without TLS", ""},
		{"listen=:1 token.file=token insecure=true", "", "failover.admin.insecure: whoever sees a request to :1 has the token"},
		{"listen=:1 token.file=token tls.cert=pem tls.key=pem", "", ""},
		{"listen=:1 token.file=token tls.cert=pem tls.key=grouppem", "", ""},
		{"listen=127.0.0.1:1 tls.cert=pem", "failover.admin.tls.key: missing, failover.admin.tls.cert needs it", ""},
		{"listen=127.0.0.1:1 tls.key=pem", "failover.admin.tls.cert: missing, failover.admin.tls.key needs it", ""},
		{"listen=127.0.0.1:1 tls.cert=none tls.key=pem", "failover.admin.tls.cert: there is no file", ""},
		{"listen=127.0.0.1:1 tls.cert=pem tls.key=pem2", "failover.admin.tls.cert: " + at("pem") + " and " + at("pem2") + " cannot be used: tls: private key does not match", ""},
		{"listen=127.0.0.1:1 tls.cert=key tls.key=key", "cannot be used", ""},
		{"listen=127.0.0.1:1 tls.cert=pem tls.key=openpem", "failover.admin.tls.key: others can read " + at("openpem") + " (mode 0604); run chmod o-rwx", ""},
		{"insecure=true", "", "failover.admin.insecure: it has no effect without failover.admin.listen"},
		{"hosts=a token.file=token", "", "failover.admin.hosts: it has no effect|failover.admin.token.file: it has no effect without failover.admin.listen"},
		{"listen=127.0.0.1:1 token.file=open", "failover.admin.token.file: others can read " + at("open") + " (mode 0644); run chmod 600 " + at("open"), ""},
		{"listen=127.0.0.1:1 token.file=group", "(mode 0640); run chmod 600", ""},
		{"listen=127.0.0.1:1 token.file=words", "holds more than one word", ""},
		{"listen=127.0.0.1:1 token.file=empty", "holds no token; make one with `interlok-ha keygen", ""},
	} {
		var sets []string
		for _, set := range strings.Fields(tt.sets) {
			key, value, _ := strings.Cut(set, "=")
			if strings.Contains(key, ".") { // a file
				value = at(value)
			}
			sets = append(sets, "failover.admin."+key+"="+value)
		}
		s, err := Load(source(sets...))
		var faults, warnings []string
		if err != nil {
			faults = strings.Split(err.Error(), "\n")
		} else {
			warnings = s.Warnings
		}
		if !match(faults, tt.want) || !match(warnings, tt.warn) {
			t.Errorf("%s\n\tfaults %q, want %q\n\twarnings %q, want %q", tt.sets, faults, tt.want, warnings, tt.warn)
		}
	}
}

// Of a token that is refused nothing is shown.
func TestCheckToken(t *testing.T) {
	guessed := "can be guessed"
	for token, want := range map[string]string{
		"":                         "no token",
		"a b":                      "more than one word",
		"schlüssel-schlüssel-lang": "more than one word",
		"s3cret":                   guessed,
		testToken:                  "",
		testToken[:31]:             guessed,
		"ABCDEFGHIJKLMNOPQRSTUV":   "", // 22
		"ABCDEFGHIJKLMNOPQRSTU":    guessed,
		strings.Repeat("x", 64):    guessed,
		strings.Repeat("0", 40):    guessed,
		strings.Repeat(testToken, 4096/len(testToken)):       "",
		strings.Repeat(testToken, 4096/len(testToken)) + "0": "4097 characters",
		"6ba7b810-9dad-11d1-80b4-00c04fd4":                   "",
	} {
		got := checkToken(token)
		if want == "" && got != "" || !strings.Contains(got, want) || token != "" && strings.Contains(got, token) {
			t.Errorf("%.80q: %q, want %q", token, got, want)
		}
	}
}
