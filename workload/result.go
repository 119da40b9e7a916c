package workload

import (
	"errors"
	"fmt"
	"io/fs"
)

// Cause says why a run of COMMAND ended.
type Cause int

// The causes. Only the first three are the doing of COMMAND or of the host;
// the others are the node's own.
const (
	CauseExited     Cause = iota + 1 // COMMAND's own process ended by itself
	CauseNotStarted                  // COMMAND could not be started
	CauseKeeperLost                  // the keeper died before its time
	CauseStopped                     // [Process.Stop]
	CauseKilled                      // [Process.Kill]
	CauseExpired                     // not fed in time

	causeNodeGone // the pipe closed; nobody is left to be told
)

func (c Cause) String() string {
	switch c {
	case CauseExited:
		return "exited"
	case CauseNotStarted:
		return "not started"
	case CauseKeeperLost:
		return "keeper lost"
	case CauseStopped:
		return "stopped"
	case CauseKilled:
		return "killed"
	case CauseExpired:
		return "not fed in time"
	case causeNodeGone:
		return "node gone"
	}
	return fmt.Sprintf("cause %d", int(c))
}

// Result is how a run of COMMAND ended.
type Result struct {
	Cause  Cause
	Code   int   // exit code; 128 + Signal after a signal; -1 if it was never known
	Signal int   // the signal that ended COMMAND's own process, else 0
	Err    error // why COMMAND could not be started, else nil
}

// FailedStart is the Result of a COMMAND for which [Start] returned err. Its
// code is the one shells use: 127 for a program that is not there, 126 for one
// that cannot be run.
func FailedStart(err error) Result {
	code := 126
	if errors.Is(err, fs.ErrNotExist) {
		code = 127
	}
	return Result{Cause: CauseNotStarted, Code: code, Err: err}
}

// Failed reports whether COMMAND, or what it runs under, failed: neither a
// clean exit nor an end that the node wished.
func (r Result) Failed() bool {
	switch r.Cause {
	case CauseExited:
		return r.Code != 0
	case CauseNotStarted, CauseKeeperLost:
		return true
	}
	return false
}

func (r Result) String() string {
	switch {
	case r.Err != nil:
		return fmt.Sprintf("%v: %v", r.Cause, r.Err)
	case r.Signal != 0:
		return fmt.Sprintf("%v, signal %d", r.Cause, r.Signal)
	case r.Code >= 0:
		return fmt.Sprintf("%v, code %d", r.Cause, r.Code)
	}
	return r.Cause.String()
}

// noStatus stands for the wait status of a process that never was.
const noStatus = 1<<32 - 1
