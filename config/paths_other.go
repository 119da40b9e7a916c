//go:build !unix

package config

// CanCreate reports whether the process may create files in dir. The folders it
// is asked about exist on Unix only.
func CanCreate(string) bool { return false }
