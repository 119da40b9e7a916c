package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// Keygen makes a key of 32 random bytes as failover.key and key files take it.
// It returns the error of random, which is crypto/rand.Reader but in tests.
func Keygen(random io.Reader) (string, error) {
	var b Secret
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read 32 random bytes: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b[:]), nil
}

// ReadKeyFile reads the keys of a file: one or more, with ; , space or line ends
// between them; lines that start with # are comments. The first signs, all
// verify. A file that others can read, or that belongs to another user, is an error.
func ReadKeyFile(name string) ([]Secret, error) {
	list, bad := readKeyFile(name)
	if bad != nil {
		return nil, fmt.Errorf("read keys: %s; %s", bad.wrong, bad.instead)
	}
	return list, nil
}

func keyFile(field func(*Settings) *[]Secret) kind {
	return kind{name: "path", paths: true, reads: true, set: func(s *Settings, v string) *complaint {
		list, bad := readKeyFile(v)
		if bad != nil {
			return bad
		}
		*field(s) = list
		return nil
	}}
}

func readKeyFile(name string) ([]Secret, *complaint) {
	b, info, err := readFile(name)
	if err != nil {
		return nil, complain("name a file made with `interlok-ha keygen`", "%v", err)
	}
	if mode, ok := forOthers(info.Mode()); ok {
		return nil, complain("run chmod 600 "+name, "others can read %s (mode %04o)", name, mode)
	}
	if bad := ofAnother(name, info); bad != nil {
		return nil, bad
	}
	var text strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			text.WriteString(line)
		}
	}
	list, bad := parseKeys(text.String())
	if bad != nil {
		bad.wrong = name + ": " + bad.wrong
	}
	return list, bad
}

// readFile reads a regular file of bounded size, and tells its mode and owner.
func readFile(name string) ([]byte, fs.FileInfo, error) {
	// Looked at before it is opened too: to open a pipe is to wait for its writer.
	if info, err := os.Stat(name); err == nil {
		if err := regular(name, info); err != nil {
			return nil, nil, err
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err // says what was tried on which file
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if err := regular(name, info); err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(b) > maxFile {
		return nil, nil, fmt.Errorf("read %s: %w", name, errTooLong)
	}
	return b, info, nil
}

func regular(name string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("read %s: %w", name, errIsDir)
	case !info.Mode().IsRegular():
		return fmt.Errorf("read %s: %w", name, errNotRegular)
	}
	return nil
}

var (
	errIsDir      = errors.New("is a directory")
	errNotRegular = errors.New("not a regular file")
)

// forOthers reports whether the group or others have any right to a file of this
// mode. Windows keeps such rights elsewhere.
func forOthers(mode fs.FileMode) (fs.FileMode, bool) {
	return mode.Perm(), runtime.GOOS != "windows" && mode.Perm()&0o077 != 0
}

// ofAnother complains of a file that belongs to neither this user nor root.
func ofAnother(name string, info fs.FileInfo) *complaint {
	if uid, ok := ownerOf(info); ok && uid != 0 && uid != os.Geteuid() {
		return complain("run chown for the user that interlok-ha runs as", "%s belongs to user %d, who could change it", name, uid)
	}
	return nil
}

func openToOthers(name string) (fs.FileMode, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	return forOthers(info.Mode())
}

func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
