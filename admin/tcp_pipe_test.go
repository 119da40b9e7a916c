//go:build unix

package admin

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A pipe in the place of the certificate holds up no handshake.
func TestCertificateIsPipe(t *testing.T) {
	cert, key, _ := writeCert(t)
	k := &keyPair{cert: cert, key: key, log: zerolog.Nop()}
	if err := k.load(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(cert, 0o600); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	go func() { loaded <- k.load() }()
	select {
	case err := <-loaded:
		if err == nil || !strings.Contains(err.Error(), "no regular file") || k.pair == nil {
			t.Errorf("%v, the old pair is kept: %v", err, k.pair != nil)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for who writes into the pipe")
		if w, err := os.OpenFile(cert, os.O_WRONLY, 0); err == nil {
			w.Close()
		}
		<-loaded
	}
}
