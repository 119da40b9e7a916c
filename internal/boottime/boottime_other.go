//go:build !linux && !darwin

package boottime

import "time"

// start is read once, so that Now counts from it on the runtime's monotonic
// clock.
var start = time.Now()

func now() time.Duration { return time.Since(start) }
