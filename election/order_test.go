package election

import (
	"testing"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// TestOrderK: PROTOCOL.md §5, each part decides before those below it.
func TestOrderK(t *testing.T) {
	one, two := heartbeat.InstanceID{1}, heartbeat.InstanceID{2}
	for i, c := range []struct{ first, later key }{
		{key{heir: true, instance: two}, key{sure: true, position: 1, n: 9, instance: one}},
		{key{sure: true, instance: two}, key{position: 1, n: 9, instance: one}},
		{key{position: 1, instance: two}, key{position: 2, n: 9, instance: one}},
		{key{position: 65535, instance: two}, key{position: 0, n: 9, instance: one}},
		{key{n: 9, instance: two}, key{n: 8, instance: one}},
		{key{instance: one}, key{instance: two}},
	} {
		if compareKey(c.first, c.later) >= 0 || compareKey(c.later, c.first) <= 0 || compareKey(c.first, c.first) != 0 {
			t.Errorf("%d: %+v does not go before %+v", i, c.first, c.later)
		}
	}
	for i, c := range []struct{ greater, lower token }{
		{token{2, one}, token{1, two}},
		{token{2, two}, token{2, one}},
	} {
		if !c.greater.outranks(c.lower) || c.lower.outranks(c.greater) || c.lower.outranks(c.lower) {
			t.Errorf("%d: %+v does not outrank %+v", i, c.greater, c.lower)
		}
	}
}
