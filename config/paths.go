package config

import (
	"fmt"
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
func stateHome(environ []string, root bool) (string, *complaint) {
	if root {
		return "/var/lib", nil
	}
	// The XDG rules: a relative path is ignored.
	if dir := lookup(environ, "XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	for _, home := range []string{"HOME", "USERPROFILE"} {
		if dir := lookup(environ, home); filepath.IsAbs(dir) {
			return filepath.Join(dir, ".local", "state"), nil
		}
	}
	return "", complain("set HOME, or write failover.state.dir=FOLDER", "there is no home directory to keep it in")
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
	return filepath.Join(tempDir, "interlok-ha-"+strconv.Itoa(uid))
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
