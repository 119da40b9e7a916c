package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestRereadKeys(t *testing.T) {
	const other = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	dir := t.TempDir()
	in(t, map[string]string{"b.properties": "failover.key.file=key\n"})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(here, "key")
	write(t, name, testKey+"\n", 0o600)
	src := source()
	src.File = filepath.Join(here, "b.properties") // relative to the file, not to where we are
	s, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if s.KeyFile() != name {
		t.Errorf("KeyFile = %s, want %s", s.KeyFile(), name)
	}
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string // first bytes of the keys, or part of the error
	}{
		{testKey + "\n" + other, 0o600, "\x00\x01"},
		{other, 0o400, "\x01"},
		{"", 0o600, "there is no key"},
		{"rubbish", 0o600, "key 1 is not base64"},
		{testKey, 0o640, "chmod 600 " + name},
	} {
		if tt.mode == 0o640 && runtime.GOOS == "windows" {
			continue
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		write(t, name, tt.text, tt.mode)
		list, err := s.RereadKeys()
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), name) {
				t.Errorf("%q: %v, want %s", tt.text, err, tt.want)
			}
			continue
		}
		var got string
		for _, k := range list {
			got += string(k[:1])
		}
		if got != tt.want {
			t.Errorf("%q: keys %q, want %q", tt.text, got, tt.want)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RereadKeys(); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("no file: %v", err)
	}
	if len(s.Keys) != 1 || s.Keys[0][0] != 0 {
		t.Error("the settings changed")
	}
	for _, set := range [][]string{nil, {"failover.key=" + testKey}} {
		s, err := Load(source(set...))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RereadKeys(); err == nil || !strings.Contains(err.Error(), keyFileKey) {
			t.Errorf("%v: %v", set, err)
		}
	}
}
