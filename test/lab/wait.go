//go:build linux

package lab

import (
	"testing"
	"time"
)

// poll is how often the lab looks. Each look at a cluster is a request to every
// instance, and many tests look at once: more often, they would take the machine
// from those they wait for.
const poll = 20 * time.Millisecond

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
