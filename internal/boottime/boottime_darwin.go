package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

// CLOCK_MONOTONIC of macOS goes on while the host sleeps, unlike Linux's.
func now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}
