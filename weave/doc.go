// Package weave puts the hooks of package profiler into a program while it is
// built, without a change of its sources or of its go.mod.
//
// Start with [Weave]: it is told what `go build`, `go test` or `go run` is going
// to build, looks through those packages of the main module, and writes a file
// for the option -overlay of the go command. `interlok-ha weave go ...` does
// that and then runs the go command.
//
// What is woven: a method that makes its type implement an interface called
// Workflow, Service or Producer, with a context and a message that has an id as
// its parameters and an error as its last result; a method DoService, Produce
// or OnMessage of that shape; and any function with the comment
//
//	//profiler:step NAME [workflow|service|producer|consumer|channel] [fence]
//
// The comment //profiler:skip keeps a function as it is. All that is inserted
// stands on the line of a function's opening brace, so that stack traces,
// breakpoints and compiler errors show the lines, and the columns, of the
// source.
//
// The woven program finds package hook, which stands below this one, as a
// package of its own module, and reports to the socket that INTERLOK_HA_SOCKET
// names. Without that variable the hooks do nothing.
//
// It does not promise to find a step that is a function value, lies in another
// module, or starts work that goes on after it returned: those call package
// profiler themselves. Files that use cgo are left alone.
package weave
