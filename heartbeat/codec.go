package heartbeat

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"net/netip"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	version   = 1
	tagSize   = 16
	offKind   = 16
	offName   = 346
	minSize   = offName + 1 + 1 // an empty name, an empty heard list
	heardSize = 12

	// maxLease keeps sums and small multiples of a lease within int64 nanoseconds.
	maxLease = 365 * 24 * time.Hour
	// maxInterned is more names than one cluster has.
	maxInterned = 256
)

var magic = [4]byte{'I', 'L', 'H', 'A'}

// Why Open refuses a datagram. Callers count by them.
var (
	ErrShort    = errors.New("heartbeat: shorter than its fields")
	ErrMagic    = errors.New("heartbeat: not a packet of this protocol")
	ErrVersion  = errors.New("heartbeat: unknown version")
	ErrLength   = errors.New("heartbeat: length field does not match the datagram")
	ErrCluster  = errors.New("heartbeat: another cluster")
	ErrUnsigned = errors.New("heartbeat: not signed, but this cluster has a key")
	ErrKey      = errors.New("heartbeat: signed with a key this instance does not have")
	ErrForged   = errors.New("heartbeat: signature does not match")
	ErrField    = errors.New("heartbeat: a field has a value it cannot have")
)

// Key is one shared secret of the cluster.
type Key [32]byte

// Codec turns packets of one cluster into datagrams and back. It is not safe
// for concurrent use: give each goroutine its own.
type Codec struct {
	tag  [8]byte
	keys []codecKey // the first signs, all verify
	sum  [sha256.Size]byte

	names map[string]string // see intern
}

type codecKey struct {
	id  byte
	mac hash.Hash
}

// NewCodec makes the codec of a cluster. generation is raised by hand to leave
// a poisoned epoch behind. Without keys packets are not signed, and anyone on
// the network can forge them; with keys the first signs and all verify.
func NewCodec(cluster string, generation uint64, keys ...Key) (*Codec, error) {
	c := &Codec{names: make(map[string]string)}
	salt := binary.BigEndian.AppendUint64([]byte(cluster+"\x00"), generation)
	sum := sha256.Sum256(append([]byte("interlok-ha/1 cluster-tag\x00"), salt...))
	copy(c.tag[:], sum[:])
	for _, k := range keys {
		b, err := hkdf.Key(sha256.New, k[:], salt, "interlok-ha/1 hb-mac", 33)
		if err != nil {
			return nil, fmt.Errorf("heartbeat: derive the signing key: %w", err)
		}
		id := b[32]
		if id == 0 {
			id = 1
		}
		c.keys = append(c.keys, codecKey{id: id, mac: hmac.New(sha256.New, b[:32])})
	}
	return c, nil
}

// Signs reports whether the codec has a key.
func (c *Codec) Signs() bool { return len(c.keys) > 0 }

// ClusterTag is the label of the cluster in every packet.
func (c *Codec) ClusterTag() [8]byte { return c.tag }

// Seal appends the datagram of p to dst. It fails, with [ErrField], only for a
// packet that no instance should build: a name, heard list or number out of
// its range.
func (c *Codec) Seal(dst []byte, p *Packet) ([]byte, error) {
	if err := p.validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	b := append(dst, magic[:]...)
	b = append(b, version, 0, 0, 0)
	b = append(b, c.tag[:]...)
	b = p.append(b)
	if len(c.keys) > 0 {
		k := &c.keys[0]
		b[start+5] = k.id
		binary.BigEndian.PutUint16(b[start+6:], uint16(len(b)-start+tagSize))
		return append(b, c.mac(k, b[start:])...), nil
	}
	binary.BigEndian.PutUint16(b[start+6:], uint16(len(b)-start))
	return b, nil
}

// Open checks a datagram and fills p from it. It verifies before it parses,
// never panics, and keeps no reference to b. p may be used again and again:
// nothing of an earlier packet survives in it but the array of p.Heard, and
// after an error it is empty. The error is one of the Err variables of this
// package.
func (c *Codec) Open(b []byte, p *Packet) error {
	*p = Packet{Heard: p.Heard[:0]}
	body, err := c.verify(b)
	if err != nil {
		return err
	}
	if err := p.parse(body, c.intern); err != nil {
		*p = Packet{Heard: p.Heard[:0]}
		return err
	}
	return nil
}

// intern is string(b) without an allocation for a name that came before. The
// map starts anew when it is full: names may be forged.
func (c *Codec) intern(b []byte) string {
	if s, ok := c.names[string(b)]; ok {
		return s
	}
	if len(c.names) >= maxInterned {
		clear(c.names)
	}
	s := string(b)
	c.names[s] = s
	return s
}

// verify checks the header and the tag, in this order: shape, cluster,
// signature. It returns the bytes from the kind to before the tag.
func (c *Codec) verify(b []byte) ([]byte, error) {
	switch {
	case len(b) < 4:
		return nil, ErrShort
	case [4]byte(b) != magic:
		return nil, ErrMagic
	case len(b) < offKind:
		return nil, ErrShort
	case b[4] != version:
		return nil, ErrVersion
	case len(b) > MaxSize || int(binary.BigEndian.Uint16(b[6:])) != len(b):
		return nil, ErrLength
	case [8]byte(b[8:]) != c.tag:
		return nil, ErrCluster
	}
	id := b[5]
	if len(c.keys) == 0 {
		if id != 0 {
			return nil, ErrKey
		}
		return b[offKind:], nil
	}
	if id == 0 {
		return nil, ErrUnsigned
	}
	if len(b) < offKind+tagSize {
		return nil, ErrShort
	}
	signed, tag := b[:len(b)-tagSize], b[len(b)-tagSize:]
	err := ErrKey
	for i := range c.keys {
		if c.keys[i].id != id {
			continue
		}
		if hmac.Equal(c.mac(&c.keys[i], signed), tag) {
			return signed[offKind:], nil
		}
		err = ErrForged
	}
	return nil, err
}

func (c *Codec) mac(k *codecKey, b []byte) []byte {
	k.mac.Reset()
	k.mac.Write(b)
	return k.mac.Sum(c.sum[:0])[:tagSize]
}

func (p *Packet) validate() error {
	ms := p.Delay.Milliseconds()
	switch {
	case p.Kind == 0 || p.Kind >= kindEnd,
		p.State == 0 || p.State >= stateEnd,
		p.Instance.IsZero(),
		p.Epoch > MaxEpoch || p.Asks > MaxEpoch || p.MaxEpoch > MaxEpoch,
		p.Master.Epoch > MaxEpoch || p.Promise.Epoch > MaxEpoch || p.Resigned.Epoch > MaxEpoch,
		p.Log.Epoch > MaxEpoch || p.Resigned.Log.Epoch > MaxEpoch,
		ms < 1 || ms > math.MaxUint32 || p.Retries == 0 || ms*int64(p.Retries) > maxLease.Milliseconds(),
		p.Maintenance.Left < 0 || p.Maintenance.Left.Milliseconds() > math.MaxUint32,
		len(p.Name) == 0 || len(p.Name) > MaxName || !cleanName(p.Name),
		len(p.Heard) > MaxHeard:
		return ErrField
	}
	return nil
}

// cleanName keeps what could forge a line of a log or a table out of names:
// control characters, line separators, and what turns the direction of writing.
func cleanName(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return false
		}
	}
	return true
}

func (p *Packet) append(b []byte) []byte {
	be := binary.BigEndian
	sighting := func(s *Sighting) {
		b = append(b, s.Instance[:]...)
		b = be.AppendUint64(b, s.Epoch)
		b = be.AppendUint64(b, s.Seq)
	}
	log := func(l LogPos) {
		b = be.AppendUint64(b, l.Epoch)
		b = be.AppendUint64(b, l.N)
	}
	b = append(b, byte(p.Kind), byte(p.State))
	b = be.AppendUint16(b, uint16(p.Flags))
	b = append(b, p.Node[:]...)
	b = append(b, p.Instance[:]...)
	b = be.AppendUint64(b, p.Seq)
	b = be.AppendUint64(b, p.Epoch)
	b = be.AppendUint64(b, p.Asks)
	b = be.AppendUint64(b, p.MaxEpoch)
	sighting(&p.Master)
	sighting(&p.Promise)
	b = append(b, p.Resigned.Instance[:]...)
	b = be.AppendUint64(b, p.Resigned.Epoch)
	b = append(b, p.Resigned.Heir[:]...)
	log(p.Resigned.Log)
	b = append(b, p.Obituary.Instance[:]...)
	b = append(b, p.Obituary.Secret[:]...)
	log(p.Log)
	b = be.AppendUint16(b, p.Order.Position)
	b = be.AppendUint64(b, p.Order.N)
	b = be.AppendUint32(b, uint32(p.Delay.Milliseconds()))
	b = be.AppendUint16(b, p.Retries)
	b = append(b, p.Votes, p.Quorum)
	b = be.AppendUint16(b, p.Position)
	b = be.AppendUint32(b, p.Maintenance.Version)
	b = be.AppendUint32(b, uint32(p.Maintenance.Left.Milliseconds()))
	var ip [16]byte
	var port uint16
	if p.Cache.IsValid() {
		ip, port = p.Cache.Addr().As16(), p.Cache.Port()
	}
	b = append(b, ip[:]...)
	b = be.AppendUint16(b, port)
	b = append(b, p.ObitHash[:]...)
	b = append(b, byte(len(p.Name)))
	b = append(b, p.Name...)
	b = append(b, byte(len(p.Heard)))
	for i := range p.Heard {
		b = append(b, p.Heard[i].Instance[:]...)
		b = be.AppendUint32(b, p.Heard[i].Seq)
	}
	return b
}

// parse reads the bytes from the kind on. Lengths are checked first; then a
// cursor walks over fields that are surely there.
func (p *Packet) parse(b []byte, name func([]byte) string) error {
	if len(b) < minSize-offKind {
		return ErrShort
	}
	nameLen := int(b[offName-offKind])
	heardAt := offName - offKind + 1 + nameLen
	if len(b) < heardAt+1 {
		return ErrShort
	}
	heardLen := int(b[heardAt])
	if len(b) < heardAt+1+heardLen*heardSize {
		return ErrShort
	}
	if heardLen > MaxHeard || nameLen > MaxName {
		return ErrField
	}
	r := reader(b)
	p.Kind, p.State = Kind(r.u8()), State(r.u8())
	p.Flags = Flags(r.u16())
	p.Node = NodeID(r.bytes16())
	p.Instance = r.bytes16()
	p.Seq, p.Epoch, p.Asks, p.MaxEpoch = r.u64(), r.u64(), r.u64(), r.u64()
	p.Master = Sighting{r.bytes16(), r.u64(), r.u64()}
	p.Promise = Sighting{r.bytes16(), r.u64(), r.u64()}
	p.Resigned = Resignation{r.bytes16(), r.u64(), r.bytes16(), LogPos{r.u64(), r.u64()}}
	p.Obituary = Obituary{r.bytes16(), r.bytes32()}
	p.Log = LogPos{r.u64(), r.u64()}
	p.Order = Order{r.u16(), r.u64()}
	p.Delay = time.Duration(r.u32()) * time.Millisecond
	p.Retries = r.u16()
	p.Votes, p.Quorum = r.u8(), r.u8()
	p.Position = r.u16()
	p.Maintenance = Maintenance{r.u32(), time.Duration(r.u32()) * time.Millisecond}
	ip, port := netip.AddrFrom16(r.bytes16()).Unmap(), r.u16()
	if port != 0 {
		p.Cache = netip.AddrPortFrom(ip, port)
	}
	p.ObitHash = r.bytes32()
	r.u8()
	p.Name = name(r.next(nameLen))
	r.u8()
	for range heardLen {
		p.Heard = append(p.Heard, Heard{[8]byte(r.next(8)), r.u32()})
	}
	return p.validate()
}

// reader is a cursor over bytes whose length was checked before.
type reader []byte

func (r *reader) next(n int) []byte {
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}
func (r *reader) u8() byte          { return r.next(1)[0] }
func (r *reader) u16() uint16       { return binary.BigEndian.Uint16(r.next(2)) }
func (r *reader) u32() uint32       { return binary.BigEndian.Uint32(r.next(4)) }
func (r *reader) u64() uint64       { return binary.BigEndian.Uint64(r.next(8)) }
func (r *reader) bytes16() [16]byte { return [16]byte(r.next(16)) }
func (r *reader) bytes32() [32]byte { return [32]byte(r.next(32)) }
