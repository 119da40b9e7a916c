//go:build linux

// Package stamp writes the times at which a node of the bench acts as master.
// It is apart from the bench, so that what interlok-ha starts in order to act
// is a small program.
package stamp

import (
	"fmt"
	"os"
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

// Now says: I act, now. Lines of several processes stay whole, and so does that
// of one that is killed: a write is cut off only where a page of the file ends,
// and the length divides a page.
func (s *Stamper) Now() { s.At(boottime.Now()) }

// At says: I acted at that time.
func (s *Stamper) At(t time.Duration) {
	fmt.Fprintf(s.f, "%31d\n", int64(t))
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
