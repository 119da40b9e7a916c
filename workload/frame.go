package workload

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

const (
	frameSize = 32
	maxSeq    = 1<<56 - 1
)

// kind says what a frame means; the numbers stand in the package comment.
type kind byte

const (
	kindFeed    kind = 0
	kindStop    kind = 1
	kindKill    kind = 2
	kindStarted kind = 16
	kindFailed  kind = 17
	kindEnded   kind = 18
)

// frame is what node and keeper tell each other, as drawn in the package
// comment.
type frame struct {
	instance [8]byte
	epoch    uint64
	kind     kind
	seq      uint64 // 56 bits
	value    uint64
}

// put writes the frame into b.
func (f frame) put(b *[frameSize]byte) {
	copy(b[0:8], f.instance[:])
	binary.BigEndian.PutUint64(b[8:16], f.epoch)
	binary.BigEndian.PutUint64(b[16:24], f.seq&maxSeq)
	b[16] = byte(f.kind)
	binary.BigEndian.PutUint64(b[24:32], f.value)
}

// parseFrame reads the frame that b starts with.
func parseFrame(b []byte) (frame, error) {
	if len(b) < frameSize {
		return frame{}, fmt.Errorf("parse frame of %d bytes: %w", len(b), io.ErrUnexpectedEOF)
	}
	return frame{
		instance: [8]byte(b[0:8]),
		epoch:    binary.BigEndian.Uint64(b[8:16]),
		kind:     kind(b[16]),
		seq:      binary.BigEndian.Uint64(b[16:24]) & maxSeq,
		value:    binary.BigEndian.Uint64(b[24:32]),
	}, nil
}

// lease is the keeper's memory of what it was fed: the greatest until of the
// current epoch.
type lease struct {
	instance [8]byte
	epoch    uint64
	until    time.Duration // CLOCK_BOOTTIME
	fed      bool          // false until the first feed: COMMAND may not start
}

// take remembers a frame and reports whether it counts. A frame of another
// instance or of an older epoch does not, whatever it says. A newer epoch
// replaces what the older one allowed.
func (l *lease) take(f frame) bool {
	if f.instance != l.instance || l.fed && f.epoch < l.epoch {
		return false
	}
	if f.kind != kindFeed {
		return true
	}
	until := time.Duration(min(f.value, 1<<63-1))
	if !l.fed || f.epoch > l.epoch || until > l.until {
		l.until = until
	}
	l.epoch, l.fed = f.epoch, true
	return true
}

// over reports whether work must have ended by now.
func (l *lease) over(now time.Duration) bool { return l.fed && now >= l.until }
