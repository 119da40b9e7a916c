package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/node"
)

// Exit codes. Scripts rely on them.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotReached = 3
	exitFaults     = 4 // config check
)

// ran marks an error of a verb that was understood; all others are cobra's,
// about usage.
type ran struct{ error }

func (r ran) Unwrap() error { return r.error }

// exit ends the program with a code. Its error is told unless it is nil.
type exit struct {
	code int
	err  error
	hint string
}

func (e *exit) Error() string {
	if e.err == nil {
		return "exit " + strconv.Itoa(e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func usageError(what, hint string) error {
	return &exit{code: exitUsage, err: errors.New(what), hint: hint}
}

// fail tells people what went wrong, in one line and one with what to do about
// it, and returns the exit code.
func (a *app) fail(err error) int {
	if _, ok := errors.AsType[ran](err); !ok {
		if e, ok := errors.AsType[*exit](err); ok {
			return a.tell(e.err, e.hint, e.code)
		}
		return a.tell(err, "`interlok-ha help` tells how each verb is used", exitUsage)
	}
	if e, ok := errors.AsType[*exit](err); ok {
		return a.tell(e.err, e.hint, e.code)
	}
	if e, ok := errors.AsType[*node.ExitError](err); ok {
		return e.Code
	}
	if faults, ok := errors.AsType[config.Faults](err); ok {
		fmt.Fprintln(a.errors(), faults.Error())
		return a.tell(errors.New(count(len(faults), "fault")+" in the settings"), "", exitUsage)
	}
	if e, ok := errors.AsType[*admin.Error](err); ok {
		code := exitFailed
		switch e.Kind {
		case admin.KindNotReached:
			code = exitNotReached
		case admin.KindAmbiguous, admin.KindUsage:
			code = exitUsage
		}
		return a.tell(err, e.Mend, code)
	}
	return a.tell(err, "", exitFailed)
}

func (a *app) tell(err error, hint string, code int) int {
	if err != nil {
		for line := range strings.Lines(strings.TrimSpace(err.Error())) {
			printLine(a.errors(), "interlok-ha: "+strings.TrimSuffix(line, "\n"))
		}
	}
	if hint != "" {
		printLine(a.errors(), "interlok-ha: hint: "+hint)
	}
	return code
}

func quoted(s string) string { return strconv.Quote(s) }

// count is "1 fault", "2 faults".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
