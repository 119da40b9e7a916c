// Package e2e tests the built program from outside: real processes on the
// loopback interface, the command line, the API, the log.
//
// The default counts are small; `go test ./test/e2e -full` has the full ones.
package e2e
