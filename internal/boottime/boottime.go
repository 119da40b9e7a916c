// Package boottime reads the clock that every deadline between processes of
// one host is measured on.
//
// Start with [Now]. On Linux it is CLOCK_BOOTTIME: it runs on while the host
// sleeps, no one can set it, and all processes of the host read the same
// value, so that a deadline may be handed from one to another. Elsewhere Now
// is the best monotonic clock at hand; on macOS it is shared by all processes,
// on other systems it counts from the start of this process and may stop
// while the host sleeps.
//
// The value means nothing on another host. It is not faked inside
// testing/synctest: code to be tested there takes the time as an argument.
package boottime

import "time"

// Now returns the time since the host started (or, where the system has no
// such clock, since this process started). It never goes back. Safe for
// concurrent use.
func Now() time.Duration { return now() }
