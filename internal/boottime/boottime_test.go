package boottime

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestNowNeverGoesBack(t *testing.T) {
	last := Now()
	for range 10000 {
		next := Now()
		if next < last {
			t.Fatalf("Now went back from %v to %v", last, next)
		}
		last = next
	}
}

// On Linux the clock must be the host's: /proc/uptime shows the same one.
func TestNowIsTheHostsClock(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shows its boot clock in a file")
	}
	uptime := func() time.Duration {
		text, err := os.ReadFile("/proc/uptime")
		if err != nil {
			t.Fatal(err)
		}
		seconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(seconds * float64(time.Second))
	}
	before, got, after := uptime(), Now(), uptime()
	// The file is cut to hundredths of a second.
	if slack := 20 * time.Millisecond; got < before-slack || got > after+slack {
		t.Errorf("Now() = %v, want between %v and %v", got, before, after)
	}
}
