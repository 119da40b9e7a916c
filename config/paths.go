package config

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// lookup finds the last variable of that name.
func lookup(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if n, v, ok := strings.Cut(environ[i], "="); ok && n == name {
			return v
		}
	}
	return ""
}

// stateHome is the folder for state that outlives a restart.
func (l *loader) stateHome() string {
	environ := l.src.Environ
	if l.src.Root {
		return "/var/lib"
	}
	// The XDG rules: a relative path is ignored.
	if dir := lookup(environ, "XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	for _, home := range []string{"HOME", "USERPROFILE"} {
		if dir := lookup(environ, home); filepath.IsAbs(dir) {
			return filepath.Join(dir, ".local", "state")
		}
	}
	if l.src.Home == nil {
		l.fault("default", "failover.state.dir", complain("set HOME, or write failover.state.dir=FOLDER", "there is no home directory to keep it in"))
		return ""
	}
	dir, lasts := l.src.Home()
	if !lasts {
		l.warn("failover.state.dir", "there is no home directory; in %s what it must remember may not outlive a restart of the machine", dir)
	}
	return dir
}

// Home is a folder for the state of a user whose environment names no home: in
// the one that the system knows, if there is one that can be written, else one in
// the temporary directory, which does not last.
//
// Anyone could have made the last one first: who uses it must check its owner.
func Home() (dir string, lasts bool) {
	uid := os.Geteuid()
	home := ""
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		home = u.HomeDir
	}
	return homeOr(home, uid, os.TempDir(), CanCreate)
}

func homeOr(home string, uid int, tempDir string, canCreate func(dir string) bool) (dir string, lasts bool) {
	if filepath.IsAbs(home) && canCreate(home) {
		return filepath.Join(home, ".local", "state"), true
	}
	return userTemp(uid, tempDir), false
}

// userTemp is the user's own folder in the temporary directory.
func userTemp(uid int, tempDir string) string {
	return filepath.Join(tempDir, "interlok-ha-"+strconv.Itoa(uid))
}

// SocketRoot is the folder under which each cluster has a folder with one Unix
// socket per instance: interlok-ha in $XDG_RUNTIME_DIR if that is set, else in
// /run if canCreate("/run/interlok-ha"), else interlok-ha-UID in tempDir.
//
// Whoever makes the last one must check that it belongs to the user and has mode
// 0700: anyone could have made it first.
func SocketRoot(environ []string, uid int, tempDir string, canCreate func(dir string) bool) string {
	if dir := lookup(environ, "XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "interlok-ha")
	}
	const system = "/run/interlok-ha"
	if canCreate(system) {
		return system
	}
	return userTemp(uid, tempDir)
}

// SocketDir is the folder of a cluster's sockets under root.
func SocketDir(root, cluster string) string { return filepath.Join(root, cluster) }

// SocketPath is the socket of an instance under root. It is an error if the
// system's addresses are too short for it.
func SocketPath(root, cluster, name string) (string, error) {
	path := filepath.Join(SocketDir(root, cluster), name+".sock")
	most := 107 // sun_path without its NUL
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		most = 103
	}
	if len(path) > most {
		return "", fmt.Errorf("socket path %s has %d bytes, the system takes %d: choose a shorter failover.name or failover.cluster", path, len(path), most)
	}
	return path, nil
}
