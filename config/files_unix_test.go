//go:build unix

package config

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A pipe without a writer holds nobody up, and a device is not read without end.
func TestNotRegular(t *testing.T) {
	in(t, map[string]string{"pipe/b.properties": "", "b.properties": ""})
	for _, name := range []string{"fifo", "pipe/adp-profiler.properties"} {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"fifo", "/dev/zero", "/dev/null", "pipe/b.properties"} {
		src := source()
		src.File = name
		if _, err := Load(src); !errors.Is(err, errNotRegular) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, key := range []string{"failover.key.file", "failover.admin.token.file"} {
		_, err := Load(source(key + "=fifo"))
		if faults, ok := errors.AsType[Faults](err); !ok || len(faults) != 1 || faults[0].Key != key {
			t.Errorf("%s: got %v", key, err)
		}
	}
	if _, err := Load(source("failover.admin.listen=127.0.0.1:0", "failover.admin.tls.cert=fifo", "failover.admin.tls.key=fifo")); err == nil {
		t.Error("a pipe is taken for a certificate")
	}
}

// A token or a key that another user could replace is none.
func TestFilesOfAnother(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	in(t, map[string]string{"token": testToken, "key": testKey})
	for name, sets := range map[string][]string{
		"token": {"failover.admin.listen=127.0.0.1:0", "failover.admin.token.file=token"},
		"key":   {"failover.key.file=key"},
	} {
		if err := unix.Chown(name, 12345, -1); err != nil {
			t.Fatal(err)
		}
		_, err := Load(source(sets...))
		if err == nil || !strings.Contains(err.Error(), name+" belongs to user 12345") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
