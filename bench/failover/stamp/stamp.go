//go:build linux

// Package stamp writes the times at which a node of the bench acts as master.
// It is apart from the bench, so that what interlok-ha starts in order to act
// is a small program.
package stamp

import (
	"os"
	"strconv"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Beat is how often whoever acts as master says so.
const Beat = 5 * time.Millisecond

// Stamper appends times to a file, in nanoseconds of the boot clock, one a
// line. Not safe for concurrent use; several may write to one file.
type Stamper struct{ f *os.File }

// Open makes a Stamper of a file, which is made if there is none.
func Open(path string) (*Stamper, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &Stamper{f}, nil
}

// Now says: I act, now. It is one write of one line, so that lines of several
// processes stay whole.
func (s *Stamper) Now() { s.At(boottime.Now()) }

// At says: I acted at that time.
func (s *Stamper) At(t time.Duration) {
	_, _ = s.f.Write(append(strconv.AppendInt(nil, int64(t), 10), '\n'))
}

// Close closes the file.
func (s *Stamper) Close() error { return s.f.Close() }

// Follow stamps each Beat for as long as the last value it was handed is true.
// It returns when the channel is closed.
func (s *Stamper) Follow(acting <-chan bool) {
	tick := time.NewTicker(Beat)
	defer tick.Stop()
	on := false
	for {
		select {
		case now, ok := <-acting:
			if !ok {
				return
			}
			if on = now; on {
				s.Now()
			}
		case <-tick.C:
			if on {
				s.Now()
			}
		}
	}
}
