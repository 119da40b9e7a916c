//go:build !linux

package workload

import "time"

// KeeperMain is the whole life of a keeper process; there is none here.
func KeeperMain(_, _ []string) int { return 2 }

// Slim does nothing.
func Slim() {}

// BecomeSubreaper returns ErrUnsupported.
func BecomeSubreaper() error { return ErrUnsupported }

// Process is one run of COMMAND; there is none here.
type Process struct{}

// Start returns ErrUnsupported.
func Start(Config, Reign, time.Duration) (*Process, error) { return nil, ErrUnsupported }

// Prepare returns ErrUnsupported.
func Prepare(Config, Reign) (*Process, error) { return nil, ErrUnsupported }

// Begin does nothing and reports so.
func (*Process) Begin(uint64, time.Duration) bool { return false }

// StartBare returns ErrUnsupported.
func StartBare(Config, Reign) (*Process, error) { return nil, ErrUnsupported }

// Feed does nothing and reports so.
func (*Process) Feed(uint64, time.Duration) bool { return false }

// Stop does nothing.
func (*Process) Stop(time.Duration) {}

// Kill does nothing.
func (*Process) Kill() {}

// Started returns a channel that is never closed.
func (*Process) Started() <-chan struct{} { return nil }

// Pid returns 0.
func (*Process) Pid() int { return 0 }

// Done returns a channel that is never closed.
func (*Process) Done() <-chan struct{} { return nil }

// Result returns nothing.
func (*Process) Result() Result { return Result{} }

// LastEcho returns 0.
func (*Process) LastEcho() time.Duration { return 0 }
