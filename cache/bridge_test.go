package cache

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestBridge(t *testing.T) {
	for _, tt := range []struct{ in, level, text string }{
		{"[DEBUG] memberlist: Stream connection from=1.2.3.4:5", "debug", "Stream connection from=1.2.3.4:5"},
		{"[INFO] memberlist: Suspect 00ff has failed, no acks received", "debug", "Suspect 00ff has failed, no acks received"},
		{"[WARN] memberlist: Got invalid checksum for UDP packet: 1, 2", "warn", "Got invalid checksum"},
		{"[WARN] memberlist: Refuting a suspect message (from: x)", "debug", "Refuting"},
		{"[ERR] memberlist: Failed to decode ping request: EOF", "warn", "Failed to decode ping request"},
		{"[ERR] memberlist: Failed to send gossip to 1.2.3.4:5: no route", "debug", "Failed to send gossip"},
		{"[ERROR] memberlist: Failed to compress payload", "warn", "Failed to compress"},
		{"[ERR] memberlist: bad \x1b[2J\x07 name \xff", "warn", "bad ?[2J? name ?"},
		{"Err: Could not set the deadline", "debug", "Err: Could not"},
		{"", "debug", ""},
	} {
		log := &gossipLog{}
		b := &bridge{lines: newLimiter(zerolog.New(log)), count: &counters{}}
		b.logger().Print(tt.in)
		got := log.buf.String()
		if !strings.Contains(got, `"level":"`+tt.level+`"`) || !strings.Contains(got, tt.text) || strings.Count(got, "\n") != 1 {
			t.Errorf("%q became %q", tt.in, got)
		}
	}
}

func TestBridgeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &gossipLog{}
		b := &bridge{lines: newLimiter(zerolog.New(log)), count: &counters{}}
		l := b.logger()
		for i := range 1000 {
			l.Printf("[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.%d:%d", i%250, i)
			l.Printf("[ERR] memberlist: Failed to decode ping request: %d", i)
			l.Printf("[ERR] memberlist: %s", strings.Repeat("long ", 1000))
		}
		if w := log.warnings(t); len(w) != 3 || len(strings.Join(w, "")) > 3*(lineLen+200) {
			t.Errorf("%d lines: %s", len(w), w)
		}
		if got := b.count.RefusedKey.Load(); got != 1000 {
			t.Errorf("RefusedKey is %d", got)
		}
		time.Sleep(linesEvery)
		l.Print("[ERR] memberlist: Failed to decode ping request: again")
		w := log.warnings(t)
		if last := w[len(w)-1]; len(w) != 4 || !strings.Contains(last, `"left_out":999`) {
			t.Errorf("after a while: %s", last)
		}
		for i := range 10 * lineKinds { // a flood of kinds
			l.Printf("[ERR] memberlist: %s went wrong", strings.Repeat(string(rune('a'+i%26)), 1+i/26%12))
		}
		if got := len(b.lines.kinds); got > lineKinds+1 {
			t.Errorf("%d kinds are kept", got)
		}
		if got := len(log.warnings(t)); got > 4+lineKinds+1 {
			t.Errorf("%d lines", got)
		}
	})
}

func TestKindOf(t *testing.T) {
	for _, tt := range [][2]string{
		{"Decrypt packet failed: no from=1.2.3.4:5", "Decrypt packet failed no"},
		{"Suspect 0123456789abcdef0123456789abcdef has failed, no acks", "Suspect has failed no"},
		{"Push/Pull with 0123456789abcdef0123456789abcdef failed: x", "Push/Pull with failed x"},
		{`discarding stream with unacceptable label "x"`, "discarding stream with unacceptable label"},
	} {
		if got := kindOf(tt[0]); got != tt[1] {
			t.Errorf("%q: %q, want %q", tt[0], got, tt[1])
		}
	}
	if a, b := kindOf(fmt.Sprint("went wrong ", 1)), kindOf(fmt.Sprint("went wrong ", 2)); a != b {
		t.Errorf("%q and %q differ", a, b)
	}
}
