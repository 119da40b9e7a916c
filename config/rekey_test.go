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

func TestRereadToken(t *testing.T) {
	const other = "fedcba9876543210fedcba9876543210"
	name := filepath.Join(t.TempDir(), "token")
	write(t, name, testToken+"\n", 0o600)
	src := source()
	src.Sets = []string{"failover.admin.listen=127.0.0.1:0", "failover.admin.token.file=" + name}
	s, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string // the token, or part of the error
	}{
		{other + "\n", 0o600, other},
		{other, 0o644, "chmod 600 " + name},
		{"guessed", 0o600, "can be guessed"},
		{"", 0o600, "holds no token"},
	} {
		write(t, name, tt.text, tt.mode)
		got, err := s.RereadToken()
		if err != nil {
			got = err.Error()
		}
		if tt.want != got && (err == nil || !strings.Contains(got, tt.want) || !strings.Contains(got, name)) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
	if s.Admin.Token != testToken {
		t.Errorf("the settings have %q now", s.Admin.Token)
	}
	if s, err = Load(source()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RereadToken(); err == nil || !strings.Contains(err.Error(), "failover.admin.token.file") {
		t.Errorf("without a file: %v", err)
	}
}
