package cache

import "unsafe"

// entry is one entry of a table: this header, and behind it, in the same
// memory, the key and room for a value. A lookup that has found the header has
// nearly fetched the rest, and the collector has no pointer to follow.
type entry struct {
	n        uint64 // of the record that wrote it; 0 = not in the log
	created  int64  // ms of the log's clock
	used     int64  // last read or write, likewise; reads count on the master only
	touched  uint64 // when it was used last, by table.touches
	slot     int32  // its index in table.slots; -1 = removed
	size     uint32 // of the value
	room     uint32 // for a value
	keySize  uint16
	inFlight bool
	due      bool // it stands in table.wheel
	reused   bool // since it came to the front of table.lru
	late     bool // it stands in table.late, and not in table.lru
}

const entryHeader = unsafe.Sizeof(entry{})

// newEntry returns an entry without a value that has room for one.
func newEntry(key string, room int) *entry {
	b := make([]byte, int(entryHeader)+len(key)+room)
	e := (*entry)(unsafe.Pointer(unsafe.SliceData(b))) // more than 8 bytes: aligned for the header
	e.room, e.keySize = uint32(room), uint16(len(key))
	copy(b[entryHeader:], key)
	return e
}

// key is the key. Its bytes are never written again.
func (e *entry) key() string {
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(e), entryHeader)), int(e.keySize))
}

// value is the value, which is rewritten in place: copy it before the lock is
// released.
func (e *entry) value() []byte {
	if e.size == 0 {
		return nil // behind the key may be another's memory
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e), entryHeader+uintptr(e.keySize))), int(e.size))
}

// fits reports whether the entry's memory does for a value of that size.
func (e *entry) fits(size int) bool {
	return size <= int(e.room) && int(e.room) <= 4*size+64
}

// setValue copies a value that fits.
func (e *entry) setValue(value []byte) {
	e.size = uint32(len(value))
	copy(e.value(), value)
}
