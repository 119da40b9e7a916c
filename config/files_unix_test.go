//go:build unix

package config

import (
	"errors"
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
}
