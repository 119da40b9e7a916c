package heartbeat

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDrawing reads the table in the package comment and sets each field to see
// where its bytes are. A field that moves without the drawing fails here, and
// so does one that is drawn and unknown, or known and not drawn.
func TestDrawing(t *testing.T) {
	const delay, otherDelay = 0x02020202 * time.Millisecond, 0x01010101 * time.Millisecond
	base := func() *Packet {
		return &Packet{
			Kind: KindHeartbeat, State: StateListening, Instance: pattern[InstanceID](0x80),
			Delay: delay, Retries: 0x0101, Name: "n",
		}
	}
	id, h := pattern[InstanceID](1), secret(1)
	const n64 = 0x0102030405060708
	pos := LogPos{n64, n64}
	set := map[string]func(*Packet){
		"kind":                   func(p *Packet) { p.Kind = KindClaim },
		"state of the sender":    func(p *Packet) { p.State = StateMaster },
		"flags":                  func(p *Packet) { p.Flags = 0x0101 },
		"node id":                func(p *Packet) { p.Node = NodeID(id) },
		"instance":               func(p *Packet) { p.Instance = id },
		"sequence number":        func(p *Packet) { p.Seq = n64 },
		"epoch of the sender's":  func(p *Packet) { p.Epoch = n64 },
		"epoch that the sender":  func(p *Packet) { p.Asks = n64 },
		"greatest epoch":         func(p *Packet) { p.MaxEpoch = n64 },
		"master seen":            func(p *Packet) { p.Master = Sighting{id, n64, n64} },
		"promise":                func(p *Packet) { p.Promise = Sighting{id, n64, n64} },
		"resigned":               func(p *Packet) { p.Resigned = Resignation{id, n64, id, pos} },
		"obituary:":              func(p *Packet) { p.Obituary = Obituary{id, h} },
		"log position":           func(p *Packet) { p.Log = pos },
		"order of a claim":       func(p *Packet) { p.Order = Order{0x0101, n64} },
		"delay, ms":              func(p *Packet) { p.Delay = otherDelay },
		"retries":                func(p *Packet) { p.Retries = 0x0202 },
		"votes":                  func(p *Packet) { p.Votes = 1 },
		"quorum":                 func(p *Packet) { p.Quorum = 1 },
		"position, 0":            func(p *Packet) { p.Position = 0x0101 },
		"maintenance: version":   func(p *Packet) { p.Maintenance.Version = 0x01010101 },
		"maintenance: ms left":   func(p *Packet) { p.Maintenance.Left = otherDelay },
		"address of the cache":   func(p *Packet) { p.Cache = netip.AddrPortFrom(netip.AddrFrom16(id), 0x0101) },
		"obituary hash":          func(p *Packet) { p.ObitHash = h },
		"length of the name":     nil, // below
		"magic":                  nil,
		"version, 1":             nil,
		"key id":                 nil,
		"length of the datagram": nil,
		"cluster tag":            nil,
	}
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	c := codec(t, "default", 0)
	plain, err := c.Seal(nil, base())
	if err != nil {
		t.Fatal(err)
	}
	next, drawn := 0, map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^//\t *(\d+) +(\d+) +(\S.*)$`).FindAllStringSubmatch(string(text), -1) {
		off, _ := strconv.Atoi(row[1])
		size, _ := strconv.Atoi(row[2])
		if off != next {
			t.Errorf("%q is drawn at %d, but the field before ends at %d", row[3], off, next)
		}
		next = off + size
		var name string
		for k := range set {
			if strings.HasPrefix(row[3], k) && len(k) > len(name) {
				name = k
			}
		}
		if name == "" {
			t.Errorf("%q is drawn, and unknown to this test", row[3])
			continue
		}
		drawn[name] = true
		var first, last int
		switch name {
		case "magic":
			first, last = bytes.Index(plain, magic[:]), bytes.Index(plain, magic[:])+len(magic)-1
		case "version, 1":
			first, last = off, off
			if plain[off] != 1 {
				t.Errorf("version = %d", plain[off])
			}
		case "key id":
			signed := codec(t, "default", 0, key1)
			b, err := signed.Seal(nil, base())
			if err != nil || plain[off] != 0 || b[off] != signed.keys[0].id {
				t.Errorf("the key id is not at %d (%v)", off, err)
			}
			first, last = off, off
		case "length of the datagram":
			if int(binary.BigEndian.Uint16(plain[off:])) != len(plain) {
				t.Errorf("the length is not at %d", off)
			}
			first, last = off, off+1
		case "cluster tag":
			first = bytes.Index(plain, c.tag[:])
			last = first + len(c.tag) - 1
		case "length of the name":
			if plain[off] != 1 || string(plain[off+1:off+2]) != "n" {
				t.Errorf("the name is not at %d", off)
			}
			first, last = off, off
		default:
			p := base()
			set[name](p)
			b, err := c.Seal(nil, p)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			first, last = differ(plain, b)
		}
		if first != off || last != off+size-1 {
			t.Errorf("%s is drawn at %d to %d, and lies at %d to %d", name, off, off+size-1, first, last)
		}
	}
	for name := range set {
		if !drawn[name] {
			t.Errorf("%s is not drawn", name)
		}
	}
	if offName+1 != next {
		t.Errorf("the drawing ends at %d, want %d", next, offName+1)
	}
}

// differ is the first and the last index at which a and b differ.
func differ(a, b []byte) (first, last int) {
	first = -1
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	return first, last
}
