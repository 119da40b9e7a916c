package cache

import (
	"encoding/binary"
	"unsafe"
)

// A record of the log, PROTOCOL.md §10.3, big endian:
//
//	 0  1  operation
//	 1  1  index of the named cache
//	 2  1  flags: 1 = in flight
//	 3  2  length of the key
//	 5  4  length of the value
//	 9  6  when it was written, in ms of the log's clock
//	15  …  key, value
const recordHeader = 15

// The operations that only replicas see; the others are exported.
const (
	opDropOrphan Op = 7  // the orphans of a key are forgotten
	opReign      Op = 16 // key: instance; value: epoch. The records after it are this master's
	opDeclare    Op = 17 // key: name; value: flags, 1 = not all of it is replicated. The index means this cache
	opInStep     Op = 18 // value: the instances that a synchronous put waits for from here on
)

const flagInFlight = 1

// record is one parsed record. Its key and value belong to the buffer it was
// parsed from.
type record struct {
	op      Op
	cache   uint8
	flags   uint8
	created int64 // ms of the log's clock
	key     []byte
	value   []byte
	hash    uint64 // of the key, once it was fetched
}

// size is the record's length in bytes.
func (r *record) size() int { return recordHeader + len(r.key) + len(r.value) }

// text is the key as a string that lives only as long as the buffer.
func (r *record) text() string { return unsafe.String(unsafe.SliceData(r.key), len(r.key)) }

// put writes the record into b, which has room for it.
func (r *record) put(b []byte) {
	b[0], b[1], b[2] = byte(r.op), r.cache, r.flags
	binary.BigEndian.PutUint16(b[3:], uint16(len(r.key)))
	binary.BigEndian.PutUint32(b[5:], uint32(len(r.value)))
	binary.BigEndian.PutUint16(b[9:], uint16(r.created>>32))
	binary.BigEndian.PutUint32(b[11:], uint32(r.created))
	copy(b[recordHeader:], r.key)
	copy(b[recordHeader+len(r.key):], r.value)
}

// parse reads the record that b starts with and returns what follows it.
func (r *record) parse(b []byte) (rest []byte, err error) {
	if len(b) < recordHeader {
		return nil, errMalformed
	}
	key, value := int(binary.BigEndian.Uint16(b[3:])), int(binary.BigEndian.Uint32(b[5:]))
	if value > maxRecordValue || len(b)-recordHeader < key+value {
		return nil, errMalformed
	}
	r.op, r.cache, r.flags, r.hash = Op(b[0]), b[1], b[2], 0
	r.created = int64(binary.BigEndian.Uint16(b[9:]))<<32 | int64(binary.BigEndian.Uint32(b[11:]))
	r.key = b[recordHeader : recordHeader+key]
	r.value = b[recordHeader+key : recordHeader+key+value]
	return b[recordHeader+key+value:], nil
}

// maxRecordValue leaves room for what an orphan's value begins with.
const maxRecordValue = MaxValue + orphanHeader
