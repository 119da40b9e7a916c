package heartbeat

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sizes of the ping of the 3.3 design, PROTOCOL.md §11.1.
const (
	PingSize    = 70
	PingMaxHost = 40
	PingMaxPort = 6

	pingPort     = PingMaxHost
	pingID       = pingPort + PingMaxPort
	pingType     = pingID + 16
	pingPosition = pingType + 4
)

// The types of a ping.
const (
	PingMaster uint32 = 1
	PingSlave  uint32 = 2
)

// Ping is the packet of the 3.3 design, in memory.
type Ping struct {
	Host     string // of the sender: 1 to 40 bytes of text
	Port     uint16 // where it takes pings over TCP; 0 = it does not
	Instance InstanceID
	Type     uint32 // PingMaster or PingSlave
	Position int32  // place in the line, from 1; 0 = master, or none yet
}

func (p *Ping) validate() error {
	switch {
	case !cleanHost(p.Host),
		p.Instance.IsZero(),
		p.Type != PingMaster && p.Type != PingSlave,
		p.Position < 0:
		return ErrField
	}
	return nil
}

func cleanHost(s string) bool {
	if len(s) == 0 || len(s) > PingMaxHost || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

// AppendBinary appends the 70 bytes of p to dst. It fails, with [ErrField],
// for a field that has a value it cannot have.
func (p *Ping) AppendBinary(dst []byte) ([]byte, error) {
	if err := p.validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	b := append(dst, make([]byte, PingSize)...)
	f := b[start:]
	copy(f, p.Host)
	copy(f[pingPort:], portText(p.Port))
	copy(f[pingID:], p.Instance[:])
	binary.BigEndian.PutUint32(f[pingType:], p.Type)
	binary.BigEndian.PutUint32(f[pingPosition:], uint32(p.Position))
	return b, nil
}

// UnmarshalBinary fills p from exactly 70 bytes. It is strict, for nothing in a
// ping says that it is one: the text fields must be text and then zeros, the
// type a known one, the position not negative. The error is [ErrShort],
// [ErrLength] or [ErrField], and p is then empty.
func (p *Ping) UnmarshalBinary(b []byte) error {
	*p = Ping{}
	switch {
	case len(b) < PingSize:
		return ErrShort
	case len(b) > PingSize:
		return ErrLength
	}
	host, ok := padded(b[:pingPort])
	port, isText := padded(b[pingPort:pingID])
	n, isPort := parsePort(port)
	if !ok || !isText || !isPort {
		return ErrField
	}
	q := Ping{
		Host: string(host), Port: n, Instance: InstanceID(b[pingID:pingType]),
		Type:     binary.BigEndian.Uint32(b[pingType:]),
		Position: int32(binary.BigEndian.Uint32(b[pingPosition:])),
	}
	if err := q.validate(); err != nil {
		return err
	}
	*p = q
	return nil
}

// padded takes the text of a field that is filled up with zeros.
func padded(b []byte) (text []byte, ok bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return b, true
	}
	for _, c := range b[i:] {
		if c != 0 {
			return nil, false
		}
	}
	return b[:i], true
}

func portText(n uint16) string { return strconv.Itoa(int(n)) }

func parsePort(b []byte) (uint16, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return uint16(n), len(b) > 0 && n <= math.MaxUint16
}

// Name is host:port, the host in brackets if it is an IPv6 address.
func (p *Ping) Name() string {
	if strings.Contains(p.Host, ":") {
		return "[" + p.Host + "]:" + portText(p.Port)
	}
	return p.Host + ":" + portText(p.Port)
}

// PingInstance makes the id of an instance of this program in the 3.3 design
// from 128 random bits: a UUID of version 8, while the Java instances' have
// version 4. One bit more tells the others of its kind that its position is
// configured, so that they leave it that place. A Java instance takes any UUID.
func PingInstance(random [16]byte, configured bool) InstanceID {
	id := InstanceID(random)
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	id[7] &^= 1
	if configured {
		id[7] |= 1
	}
	return id
}

// IsPingInstance reports whether an id was made by [PingInstance], and
// configured whether that instance's position is configured.
func IsPingInstance(id InstanceID) (ours, configured bool) {
	ours = id[6]>>4 == 8 && id[8]>>6 == 2
	return ours, ours && id[7]&1 == 1
}

// UUID is the id in the usual writing, 8-4-4-4-12 hexadecimal digits. Compared
// as text, ids have the same order as compared as bytes.
func (id InstanceID) UUID() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// PingCodec is to pings what [Codec] is to packets: who sends and receives
// packets can do so in the 3.3 design too. Of a packet only the instance, the
// state and the position travel; a state that reigns makes a master's ping. It
// is not safe for concurrent use: give each goroutine its own.
type PingCodec struct {
	host  string
	port  uint16
	seq   uint64
	names map[Ping]string // by host and port alone
}

// NewPingCodec makes a codec whose pings tell this host and port; the port is
// 0 when pings travel by multicast.
func NewPingCodec(host string, port uint16) (*PingCodec, error) {
	if !cleanHost(host) {
		return nil, fmt.Errorf("heartbeat: the host %q must be 1 to %d bytes of text: %w", host, PingMaxHost, ErrField)
	}
	return &PingCodec{host: host, port: port, names: make(map[Ping]string)}, nil
}

// Name is the name under which the others see this instance: host:port.
func (c *PingCodec) Name() string {
	return (&Ping{Host: c.host, Port: c.port}).Name()
}

// Signs reports that pings carry no signature.
func (*PingCodec) Signs() bool { return false }

// Seal appends the ping of p to dst. It fails, with [ErrField], only for a
// packet without an instance.
func (c *PingCodec) Seal(dst []byte, p *Packet) ([]byte, error) {
	q := Ping{Host: c.host, Port: c.port, Instance: p.Instance, Type: PingSlave, Position: int32(p.Position)}
	if p.State.Reigns() {
		q.Type, q.Position = PingMaster, 0
	}
	return q.AppendBinary(dst)
}

// Open fills p from a ping: kind heartbeat, state master or slave, the name
// host:port. A ping has no sequence number; the codec counts what it opens and
// puts that number there, so that none looks older than the one before. A
// position above 65535 becomes 65535. After an error p is empty.
func (c *PingCodec) Open(b []byte, p *Packet) error {
	*p = Packet{Heard: p.Heard[:0]}
	var q Ping
	if err := q.UnmarshalBinary(b); err != nil {
		return err
	}
	c.seq++
	p.Kind, p.State, p.Flags = KindHeartbeat, StateSlave, FlagCandidate
	if q.Type == PingMaster {
		p.State = StateMaster
	}
	p.Instance, p.Seq = q.Instance, c.seq
	p.Position = uint16(min(q.Position, math.MaxUint16))
	p.Name = c.intern(Ping{Host: q.Host, Port: q.Port})
	return nil
}

// intern is q.Name() without an allocation for one that came before. The map
// starts anew when it is full: pings may be forged.
func (c *PingCodec) intern(q Ping) string {
	if s, ok := c.names[q]; ok {
		return s
	}
	if len(c.names) >= maxInterned {
		clear(c.names)
	}
	s := q.Name()
	c.names[q] = s
	return s
}

// SplitPingName takes the host and the port out of a name as [Ping.Name] makes it.
func SplitPingName(name string) (host string, port uint16, err error) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return "", 0, errors.New("heartbeat: no port in the name " + name)
	}
	port, ok := parsePort([]byte(name[i+1:]))
	host = name[:i]
	if strings.Contains(host, ":") {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if !ok || !cleanHost(host) {
		return "", 0, errors.New("heartbeat: not a host and a port: " + name)
	}
	return host, port, nil
}
