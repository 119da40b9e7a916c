package cache

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"time"
)

// obituaryMagic begins what a dead instance's keeper says on the stream's port.
const obituaryMagic = "ILHO"

// 4 magic, 16 instance, 32 secret, 8 age in nanoseconds.
const obituarySize = 60

// ReadObituary reads what a dead instance's keeper tells whoever dials the
// instance's cache. A live instance says nothing before it was asked.
func ReadObituary(r io.Reader) (Obituary, error) { return readObituary(r) }

// readObituary reads what a keeper says, the magic included.
func readObituary(r io.Reader) (Obituary, error) {
	var b [obituarySize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Obituary{}, fmt.Errorf("read an obituary: %w", err)
	}
	if string(b[:4]) != obituaryMagic {
		return Obituary{}, fmt.Errorf("read an obituary: %w", errMalformed)
	}
	age := binary.BigEndian.Uint64(b[52:])
	if age > math.MaxInt64 {
		return Obituary{}, fmt.Errorf("read an obituary: %w: its age", errMalformed)
	}
	return Obituary{Instance: InstanceID(b[4:20]), Secret: [32]byte(b[20:52]), Age: time.Duration(age)}, nil
}

// obituaryError says that a keeper answered instead of its instance.
type obituaryError struct{ Obituary }

func (e *obituaryError) Error() string {
	return fmt.Sprintf("instance %v died %v ago, says its keeper", e.Instance, e.Age)
}
