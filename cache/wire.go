package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"time"
)

// A stream begins with 4 bytes, "ILHC" (with a key inside TLS), from who
// dialled. Then both sides send frames, PROTOCOL.md §10.2:
//
//	0  1  the next three, by XOR, and 0xa5: a length that is damaged would be
//	      waited for in vain
//	1  3  length of what follows the header
//	4  4  CRC-32C of the kind and of what follows
//	8  1  kind
const (
	streamMagic = "ILHC"
	frameHeader = 9
	// maxFrame bounds a frame: a segment, or one great record, and the header
	// of a live frame.
	maxFrame = recordHeader + MaxKey + maxRecordValue + 256 + liveHeader
	version  = 1
)

type frameKind uint8

const (
	frameHello    frameKind = 1 + iota // who I am, what I have, what I want
	frameWelcome                       // who I am, what you will get
	frameRefuse                        // why not
	frameGo                            // send it
	frameLive                          // records of the log
	frameSnapshot                      // entries, with their numbers
	frameSnapped                       // the snapshot is complete with record n
	framePing                          // nothing new; here is my digest
	frameEnd                           // there is no more (to a barrier)
	frameAck                           // I hold everything up to n
	frameNack                          // I have promised myself to a newer reign
	frameOrphans                       // entries that only a deposed master had
)

// mode is what who dialled wants.
type mode uint8

const (
	modeFollow mode = 1 // records for as long as you are master
	modePull   mode = 2 // what you have, once; and take no more from older masters
)

// What a stream can end with.
var (
	errMalformed = errors.New("cache: malformed")
	errChecksum  = errors.New("cache: checksum of a frame does not match")
	errCluster   = errors.New("cache: the peer belongs to another cluster")
	errVersion   = errors.New("cache: the peer speaks another version")
	errNoMaster  = errors.New("cache: the peer is not the master")
	errBusy      = errors.New("cache: the peer has too many connections")
	errSelf      = errors.New("cache: connected to itself")
)

// refusals are the codes of frameRefuse.
var refusals = []error{nil, errCluster, errVersion, errNoMaster, errBusy, errSelf, errMalformed}

func refusalCode(err error) byte {
	for i, r := range refusals {
		if r != nil && errors.Is(err, r) {
			return byte(i)
		}
	}
	return byte(len(refusals) - 1)
}

func refusalError(code byte) error {
	if int(code) < len(refusals) && code > 0 {
		return refusals[code]
	}
	return errMalformed
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putHeader writes the header of a frame whose body is the parts.
func putHeader(b []byte, kind frameKind, parts ...[]byte) {
	n := 0
	b[8] = byte(kind)
	crc := crc32.Update(0, castagnoli, b[8:9])
	for _, p := range parts {
		n += len(p)
		crc = crc32.Update(crc, castagnoli, p)
	}
	binary.BigEndian.PutUint32(b, uint32(n))
	b[0] = b[1] ^ b[2] ^ b[3] ^ lengthMark
	binary.BigEndian.PutUint32(b[4:], crc)
}

// frame is a small frame in one piece.
func frame(kind frameKind, body []byte) []byte {
	b := make([]byte, frameHeader, frameHeader+len(body))
	putHeader(b, kind, body)
	return append(b, body...)
}

const lengthMark = 0xa5

// bodyLength reads the length of a frame from its header.
func bodyLength(b []byte) (length int, ok bool) {
	return int(binary.BigEndian.Uint32(b) & 0xffffff), b[0] == b[1]^b[2]^b[3]^lengthMark
}

// reader cuts a stream into frames.
type reader struct {
	conn  net.Conn
	buf   []byte
	r, w  int
	limit int // greatest body; small until the peer is known
}

const readBuffer = 512 << 10

func newReader(conn net.Conn, limit int) *reader {
	return &reader{conn: conn, buf: make([]byte, 4<<10), limit: limit}
}

// ready reports whether a whole frame has been read.
func (r *reader) ready() bool {
	have := r.w - r.r
	if have < frameHeader {
		return false
	}
	length, _ := bodyLength(r.buf[r.r:])
	return have >= frameHeader+length
}

// next returns the next frame. Its body is valid until the call after.
func (r *reader) next() (frameKind, []byte, error) {
	if err := r.fill(frameHeader); err != nil {
		return 0, nil, err
	}
	length, ok := bodyLength(r.buf[r.r:])
	if !ok {
		return 0, nil, errChecksum
	}
	if length > r.limit {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes, more than %d", ErrTooLarge, length, r.limit)
	}
	if err := r.fill(frameHeader + length); err != nil {
		return 0, nil, err
	}
	b := r.buf[r.r : r.r+frameHeader+length]
	r.r += len(b)
	if crc32.Update(0, castagnoli, b[8:]) != binary.BigEndian.Uint32(b[4:]) {
		return 0, nil, errChecksum
	}
	return frameKind(b[8]), b[frameHeader:], nil
}

// fill reads until n bytes are there.
func (r *reader) fill(n int) error {
	for r.w-r.r < n {
		if r.r > 0 && (r.r == r.w || len(r.buf)-r.r < n) {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		}
		if len(r.buf) < n || r.w == len(r.buf) {
			grown := make([]byte, min(max(2*len(r.buf), n), max(readBuffer, n)))
			r.w = copy(grown, r.buf[r.r:r.w])
			r.r, r.buf = 0, grown
		}
		got, err := r.conn.Read(r.buf[r.w:])
		r.w += got
		if err != nil {
			if errors.Is(err, io.EOF) && r.w > r.r {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// encoder appends fields; its zero value is empty.
type encoder struct{ b []byte }

func (e *encoder) u8(v uint8)   { e.b = append(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }
func (e *encoder) text(s string) {
	e.u8(uint8(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) reign(r Reign) {
	e.u64(r.Epoch)
	e.b = append(e.b, r.Instance[:]...)
}

func (e *encoder) history(h []span) {
	e.u8(uint8(len(h)))
	for _, s := range h {
		e.reign(s.reign)
		e.u64(s.from)
	}
}

// decoder takes fields off; after a fault it returns zeros.
type decoder struct {
	b    []byte
	fail bool
}

func (d *decoder) take(n int) []byte {
	if len(d.b) < n {
		d.fail = true
		return make([]byte, n)
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() uint8    { return d.take(1)[0] }
func (d *decoder) u64() uint64  { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) text() string { return string(d.take(int(d.u8()))) }
func (d *decoder) id() InstanceID {
	return InstanceID(d.take(16))
}
func (d *decoder) reign() Reign { return Reign{Epoch: d.u64(), Instance: d.id()} }

func (d *decoder) history() []span {
	h := make([]span, 0, 8)
	for range d.u8() {
		h = append(h, span{d.reign(), d.u64()})
	}
	if !slices.IsSortedFunc(h, func(a, b span) int { return int(min(max(int64(a.from-b.from), -1), 1)) }) {
		d.fail = true
	}
	return h
}

func (d *decoder) err() error {
	if d.fail {
		return errMalformed
	}
	return nil
}

// clusterTag keeps clusters apart before anything else is looked at.
func clusterTag(cluster string) [8]byte {
	sum := sha256.Sum256([]byte("interlok-ha/1 cache\x00" + cluster))
	return [8]byte(sum[:8])
}

// hello is what who dialled says first.
type hello struct {
	mode     mode
	cluster  [8]byte
	instance InstanceID
	name     string
	addr     string // of its own cache
	reign    Reign  // follow: whom; pull: the reign to come
	last     uint64
	anew     bool // wants a snapshot, whatever it has
	history  []span
}

func (h *hello) marshal() []byte {
	var e encoder
	e.u8(version)
	e.u8(uint8(h.mode))
	e.b = append(e.b, h.cluster[:]...)
	e.b = append(e.b, h.instance[:]...)
	e.text(h.name)
	e.text(h.addr)
	e.reign(h.reign)
	e.u64(h.last)
	e.u8(boolByte(h.anew))
	e.history(h.history)
	return e.b
}

func (h *hello) unmarshal(b []byte) error {
	d := decoder{b: b}
	if v := d.u8(); v != version && !d.fail {
		return fmt.Errorf("%w: %d", errVersion, v)
	}
	h.mode = mode(d.u8())
	h.cluster = [8]byte(d.take(8))
	h.instance = d.id()
	h.name = d.text()
	h.addr = d.text()
	h.reign = d.reign()
	h.last = d.u64()
	h.anew = d.u8() != 0
	h.history = d.history()
	return d.err()
}

// welcome is the answer to a hello.
type welcome struct {
	instance InstanceID
	name     string
	reign    Reign
	last     uint64 // of the sender's log
	snapshot bool   // else records from hello.last+1 on
	base     uint64 // of a snapshot: live records follow this one
	fork     uint64 // last record in common
	entries  uint64 // of a snapshot, about
	now      int64  // the log's clock, ms
	history  []span // up to base, or last
	index    []declared
	inStep   []InstanceID

	took time.Duration // until it came; not on the wire
}

type declared struct {
	name    string
	partial bool
}

func (w *welcome) marshal() []byte {
	var e encoder
	e.b = append(e.b, w.instance[:]...)
	e.text(w.name)
	e.reign(w.reign)
	e.u64(w.last)
	e.u8(boolByte(w.snapshot))
	e.u64(w.base)
	e.u64(w.fork)
	e.u64(w.entries)
	e.u64(uint64(w.now))
	e.history(w.history)
	e.u8(uint8(len(w.index)))
	for _, c := range w.index {
		e.text(c.name)
		e.u8(boolByte(c.partial))
	}
	e.u8(uint8(min(len(w.inStep), 255)))
	for _, id := range w.inStep[:min(len(w.inStep), 255)] {
		e.b = append(e.b, id[:]...)
	}
	return e.b
}

func (w *welcome) unmarshal(b []byte) error {
	d := decoder{b: b}
	w.instance = d.id()
	w.name = d.text()
	w.reign = d.reign()
	w.last = d.u64()
	w.snapshot = d.u8() != 0
	w.base = d.u64()
	w.fork = d.u64()
	w.entries = d.u64()
	w.now = int64(d.u64())
	w.history = d.history()
	for range d.u8() {
		w.index = append(w.index, declared{d.text(), d.u8() != 0})
	}
	for range d.u8() {
		w.inStep = append(w.inStep, d.id())
	}
	return d.err()
}

// live is what a live frame begins with, and all of a ping but its digest.
type live struct {
	epoch uint64
	first uint64 // number of the first record; of a ping: of the last one
	count uint64
	now   int64  // the log's clock, ms
	last  uint64 // of the sender's log
	echo  uint64 // the clock in the last ack that came
}

const liveHeader = 48

func (l *live) put(b []byte) {
	for i, v := range [...]uint64{l.epoch, l.first, l.count, uint64(l.now), l.last, l.echo} {
		binary.BigEndian.PutUint64(b[8*i:], v)
	}
}

func parseLive(b []byte) (l live, rest []byte, err error) {
	if len(b) < liveHeader {
		return l, nil, errMalformed
	}
	u := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	l = live{epoch: u(0), first: u(1), count: u(2), now: int64(u(3)), last: u(4), echo: u(5)}
	return l, b[liveHeader:], nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}
