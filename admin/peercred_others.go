//go:build !linux

package admin

import "net"

// dialler is not asked here; the modes of folder and socket keep others out.
func dialler(*net.UnixConn) (uid int, known bool, err error) { return 0, false, nil }
