package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketRoot(t *testing.T) {
	yes, no := func(string) bool { return true }, func(string) bool { return false }
	for _, tt := range []struct {
		environ []string
		can     func(string) bool
		want    string
	}{
		{[]string{"XDG_RUNTIME_DIR=/run/user/7"}, yes, "/run/user/7/interlok-ha"},
		{[]string{"XDG_RUNTIME_DIR="}, yes, "/run/interlok-ha"},
		{nil, func(dir string) bool { return dir == "/run/interlok-ha" }, "/run/interlok-ha"},
		{nil, no, "/tmp/interlok-ha-7"},
	} {
		if got := SocketRoot(tt.environ, 7, "/tmp", tt.can); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.environ, got, tt.want)
		}
	}
}

// Without HOME the state goes where the system says that the user lives, and
// where that cannot be written, to a folder that does not last. Only that is
// told of.
func TestHome(t *testing.T) {
	yes, no := func(string) bool { return true }, func(string) bool { return false }
	for _, tt := range []struct {
		home  string
		can   func(string) bool
		want  string
		lasts bool
	}{
		{"/home/u", yes, "/home/u/.local/state", true},
		{"/nonexistent", no, "/tmp/interlok-ha-7", false},
		{"", yes, "/tmp/interlok-ha-7", false},
	} {
		dir, lasts := homeOr(tt.home, 7, "/tmp", tt.can)
		if dir != tt.want || lasts != tt.lasts {
			t.Errorf("home %q: got %s, %v, want %s, %v", tt.home, dir, lasts, tt.want, tt.lasts)
		}
		s, err := Load(Source{Hostname: "h", Home: func() (string, bool) { return dir, lasts }})
		if err != nil || s.StateDir != dir+"/interlok-ha/default/h" {
			t.Errorf("home %q: %+v, %v", tt.home, s, err)
			continue
		}
		if told := len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], "failover.state.dir: there is no home directory"); told == lasts {
			t.Errorf("home %q: warnings %q", tt.home, s.Warnings)
		}
	}
}

func TestSocketPath(t *testing.T) {
	got, err := SocketPath("/run/interlok-ha", "default", "a")
	if err != nil || got != "/run/interlok-ha/default/a.sock" {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := SocketPath("/r", "c", strings.Repeat("x", 107-len("/r/c/.sock"))); err != nil {
		t.Error(err)
	}
	if _, err := SocketPath("/r", "c", strings.Repeat("x", 108-len("/r/c/.sock"))); err == nil {
		t.Error("108 bytes are taken")
	}
}

func TestCanCreate(t *testing.T) {
	dir := t.TempDir()
	if !CanCreate(dir) || !CanCreate(filepath.Join(dir, "new")) {
		t.Error("a folder of our own cannot be written")
	}
	if CanCreate(filepath.Join(dir, "no", "new")) {
		t.Error("a folder in a folder that is not there can be written")
	}
	if os.Getuid() == 0 {
		return // root may write everywhere
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if CanCreate(dir) {
		t.Error("a folder without write permission can be written")
	}
}
