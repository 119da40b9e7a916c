package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// valve is a writer that takes lines only while it is open.
type valve struct {
	open chan struct{}
	text strings.Builder
	err  error
}

func (v *valve) Write(b []byte) (int, error) {
	<-v.open
	v.text.Write(b)
	return len(b), v.err
}

// Nobody waits for a log that stands still: what has room comes later, in order,
// and how much is missing is told where it is.
func TestLogStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &valve{open: make(chan struct{})}
		w := NewLogWriter(out, func(n uint64) { fmt.Fprintf(out, "missed %d\n", n) })
		line := strings.Repeat("x", logRoom/4-1)
		write := func(s string) {
			if n, err := w.Write([]byte(s + "\n")); n != len(s)+1 || err != nil {
				t.Fatal(n, err)
			}
		}
		write("first")
		synctest.Wait() // it stands in the valve
		for range 6 {
			write(line)
		}
		write("short, and there is no room for what comes before it")
		if w.Flush(time.Second) {
			t.Error("flushed a log that stands still")
		}
		if n := w.Dropped(); n != 3 {
			t.Errorf("%d lines dropped, want 3", n)
		}
		close(out.open)
		if !w.Flush(time.Second) {
			t.Error("not flushed")
		}
		write("last")
		if !w.Flush(time.Second) {
			t.Error("not flushed")
		}
		if want := "first\n" + strings.Repeat(line+"\n", 4) + "missed 3\nlast\n"; out.text.String() != want {
			t.Errorf("wrote %d bytes, want %d: ...%s", out.text.Len(), len(want), out.text.String()[max(0, out.text.Len()-40):])
		}
		if n := w.Dropped(); n != 3 {
			t.Errorf("%d lines dropped, want 3", n)
		}
	})
}

// A log that cannot be written is no fault of whoever logs, but is counted.
func TestLogFails(t *testing.T) {
	out := &valve{open: make(chan struct{}), err: errors.New("its reader has gone")}
	close(out.open)
	w := NewLogWriter(out, nil)
	line := []byte("line\n")
	if _, err := w.Write(line); err != nil {
		t.Error(err)
	}
	line[0] = 'x' // the caller's again
	if !w.Flush(time.Minute) {
		t.Error("not flushed")
	}
	if got := out.text.String(); got != "line\n" {
		t.Errorf("wrote %q", got)
	}
	if n := w.Dropped(); n != 1 {
		t.Errorf("%d lines dropped, want 1", n)
	}
}
