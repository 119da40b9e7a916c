//go:build linux

package lab

import (
	"testing"
	"time"
)

const poll = 5 * time.Millisecond

// Wait polls until ok, and fails the test, naming what it waited for, after the
// time given.
func Wait(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", within, what)
		}
		time.Sleep(poll)
	}
}

// Never watches for a time in which bad must stay false.
func Never(t testing.TB, what string, during time.Duration, bad func() bool) {
	t.Helper()
	for deadline := time.Now().Add(during); time.Now().Before(deadline); time.Sleep(poll) {
		if bad() {
			t.Fatalf("must not happen: %s", what)
		}
	}
}
