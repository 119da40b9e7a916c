package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeygen(t *testing.T) {
	random := make([]byte, 32)
	for i := range random {
		random[i] = byte(i)
	}
	got, err := Keygen(bytes.NewReader(random))
	if err != nil || got != testKey {
		t.Fatalf("got %s, %v", got, err)
	}
	name := filepath.Join(t.TempDir(), "key")
	write(t, name, got+"\n", 0o600)
	list, err := ReadKeyFile(name)
	if err != nil || len(list) != 1 || !bytes.Equal(list[0][:], random) {
		t.Errorf("read back %d keys, %v", len(list), err)
	}
	if _, err := Keygen(bytes.NewReader(random[:31])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestReadKeyFile(t *testing.T) {
	const other = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	dir := t.TempDir()
	for i, tt := range []struct {
		text string
		want string // keys, or part of the error
	}{
		{testKey, "0"},
		{testKey + ";" + other, "0 1"},
		{testKey + "," + other + " " + testKey, "0 1 0"},
		{"# new\n" + other + "\r\n  # old\n" + testKey + "\n\n", "1 0"},
		{"", "there is no key"},
		{"# only\n", "there is no key"},
		{testKey + "\nAAAA", "key 2 has 3 bytes"},
		{strings.TrimRight(testKey, "="), "key 1 is not base64"},
		{strings.Repeat(testKey+"\n", maxFile/len(testKey)), "longer than"},
	} {
		name := filepath.Join(dir, fmt.Sprint(i))
		write(t, name, tt.text, 0o400)
		list, err := ReadKeyFile(name)
		var got []string
		for _, k := range list {
			got = append(got, fmt.Sprint(k[0])) // the two keys differ in the first byte
		}
		if text := strings.Join(got, " "); err == nil && text != tt.want || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: got %q, %v, want %s", tt.text, text, err, tt.want)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	s, err := Load(source("failover.key=" + testKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, s.Keys[0]); got != masked {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
