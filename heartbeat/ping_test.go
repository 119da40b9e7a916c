package heartbeat

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// recorded is one ping of a Java instance, with what it was made from.
type recorded struct {
	ping Ping
	port string // as it was written
	b    []byte
}

func recordings(t testing.TB) (all []recorded) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "java33", "pings.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) != 6 {
			t.Fatalf("%q has %d fields", line, len(f))
		}
		number := func(s string) int64 {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		id, err := hex.DecodeString(strings.ReplaceAll(f[2], "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(f[5])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, recorded{
			Ping{Host: f[0], Port: uint16(number(f[1])), Instance: InstanceID(id), Type: uint32(number(f[3])), Position: int32(number(f[4]))},
			f[1], b,
		})
		if got := InstanceID(id).UUID(); got != f[2] {
			t.Errorf("UUID() = %s, want %s", got, f[2])
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d recordings", len(all))
	}
	return all
}

// TestPingRecorded: what a Java instance wrote is read, and written the same.
// PROTOCOL.md §11.1.
func TestPingRecorded(t *testing.T) {
	for _, r := range recordings(t) {
		var got Ping
		if err := got.UnmarshalBinary(r.b); err != nil || got != r.ping {
			t.Errorf("%x\nreads as %+v, %v\nwant     %+v", r.b, got, err, r.ping)
		}
		if strconv.Itoa(int(r.ping.Port)) != r.port {
			continue // a number that Java repeats as it was configured
		}
		b, err := r.ping.AppendBinary([]byte("before"))
		if err != nil || string(b[:6]) != "before" || !bytes.Equal(b[6:], r.b) {
			t.Errorf("%+v\nis written as %x, %v\nwant          %x", r.ping, b[min(6, len(b)):], err, r.b)
		}
	}
}

// TestPingRefused: one wrong byte each. PROTOCOL.md §11.1.
func TestPingRefused(t *testing.T) {
	good, err := (&Ping{Host: "10.0.0.1", Port: 4444, Instance: InstanceID{1}, Type: PingSlave, Position: 2}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(at int, with string) []byte {
		b := slices.Clone(good)
		copy(b[at:], with)
		return b
	}
	zeros := func(n int) string { return string(make([]byte, n)) }
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"good", good, nil},
		{"nothing", nil, ErrShort},
		{"a byte short", good[:69], ErrShort},
		{"a byte long", append(slices.Clone(good), 0), ErrLength},
		{"no host", edit(0, zeros(40)), ErrField},
		{"text after the host's end", edit(20, "x"), ErrField},
		{"a space in the host", edit(3, " "), ErrField},
		{"a line break in the host", edit(3, "\n"), ErrField},
		{"a byte that is no text", edit(3, "\xff"), ErrField},
		{"no port", edit(40, zeros(6)), ErrField},
		{"a port of letters", edit(40, "http"), ErrField},
		{"a negative port", edit(40, "-1\x00\x00"), ErrField},
		{"a port too great", edit(40, "65536\x00"), ErrField},
		{"text after the port's end", edit(40, "80\x00\x001"), ErrField},
		{"no instance", edit(46, zeros(16)), ErrField},
		{"type 0", edit(62, "\x00\x00\x00\x00"), ErrField},
		{"type 3", edit(62, "\x00\x00\x00\x03"), ErrField},
		{"type 2 little endian", edit(62, "\x02\x00\x00\x00"), ErrField},
		{"position -1", edit(66, "\xff\xff\xff\xff"), ErrField},
		{"the least position", edit(66, "\x80\x00\x00\x00"), ErrField},
	} {
		p := Ping{Host: "before"}
		if err := p.UnmarshalBinary(tt.b); !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		} else if err != nil && p != (Ping{}) {
			t.Errorf("%s: after the error it holds %+v", tt.name, p)
		}
	}
	for name, p := range map[string]Ping{
		"host too long": {Host: strings.Repeat("a", 41), Instance: InstanceID{1}, Type: PingSlave},
		"no instance":   {Host: "a", Type: PingSlave},
		"no type":       {Host: "a", Instance: InstanceID{1}},
		"position":      {Host: "a", Instance: InstanceID{1}, Type: PingSlave, Position: -1},
	} {
		if b, err := p.AppendBinary([]byte{7}); !errors.Is(err, ErrField) || len(b) != 1 {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
}

// TestPingCodec: what of a packet goes over the wire and comes back.
func TestPingCodec(t *testing.T) {
	c, err := NewPingCodec("host", 20001)
	if err != nil || c.Name() != "host:20001" || c.Signs() {
		t.Fatal(c.Name(), c.Signs(), err)
	}
	for _, tt := range []struct {
		state, want State
		position    uint16
		wantPos     uint16
	}{
		{StateSlave, StateSlave, 3, 3},
		{StateListening, StateSlave, 0, 0},
		{StateOpening, StateMaster, 4, 0},
		{StateMaster, StateMaster, 0, 0},
		{StateDraining, StateMaster, 0, 0},
		{StateStopping, StateSlave, 65535, 65535},
	} {
		b, err := c.Seal(nil, &Packet{State: tt.state, Instance: InstanceID{9}, Position: tt.position, Name: "ignored"})
		if err != nil || len(b) != PingSize {
			t.Fatalf("%v: %d bytes, %v", tt.state, len(b), err)
		}
		before := c.seq
		p := fullPacket()
		if err := c.Open(b, p); err != nil {
			t.Fatal(err)
		}
		want := Packet{
			Kind: KindHeartbeat, State: tt.want, Flags: FlagCandidate, Instance: InstanceID{9},
			Seq: before + 1, Position: tt.wantPos, Name: "host:20001", Heard: p.Heard,
		}
		if !equal(p, &want) || len(p.Heard) != 0 {
			t.Errorf("%v: got %+v\nwant %+v", tt.state, p, want)
		}
	}

	far, _ := (&Ping{Host: "::1", Instance: InstanceID{9}, Type: PingSlave, Position: math.MaxInt32}).AppendBinary(nil)
	var p Packet
	if err := c.Open(far, &p); err != nil || p.Position != math.MaxUint16 || p.Name != "[::1]:0" {
		t.Errorf("%+v, %v", p, err)
	}
	if host, port, err := SplitPingName(p.Name); host != "::1" || port != 0 || err != nil {
		t.Error(host, port, err)
	}
	if err := c.Open(far[:3], &p); !errors.Is(err, ErrShort) || !equal(&p, &Packet{Heard: p.Heard}) {
		t.Errorf("%v, %+v", err, p)
	}
	if b, err := c.Seal([]byte{1}, &Packet{State: StateSlave}); !errors.Is(err, ErrField) || len(b) != 1 {
		t.Errorf("without an instance: %x, %v", b, err)
	}
	for _, host := range []string{"", strings.Repeat("x", 41), "a b", "a\x00b"} {
		if _, err := NewPingCodec(host, 0); !errors.Is(err, ErrField) {
			t.Errorf("host %q: %v", host, err)
		}
	}
	for _, name := range []string{"", "host", ":1", "host:", "host:x", "host:65536", "a b:1"} {
		if _, _, err := SplitPingName(name); err == nil {
			t.Errorf("%q is split", name)
		}
	}
}

// TestPingInstance: ids of ours can be told from Java's, and ordered as text.
// PROTOCOL.md §11.2.
func TestPingInstance(t *testing.T) {
	for _, random := range [][16]byte{{}, pattern[[16]byte](1), [16]byte(bytes.Repeat([]byte{0xff}, 16))} {
		for _, configured := range []bool{false, true} {
			id := PingInstance(random, configured)
			ours, conf := IsPingInstance(id)
			if !ours || conf != configured || id.IsZero() || id.UUID()[14] != '8' {
				t.Errorf("%s: ours %v, configured %v", id.UUID(), ours, conf)
			}
			if [6]byte(id[:6]) != [6]byte(random[:6]) || [7]byte(id[9:]) != [7]byte(random[9:]) {
				t.Errorf("%x lost randomness: %s", random, id.UUID())
			}
		}
	}
	for _, r := range recordings(t) {
		ours, conf := IsPingInstance(r.ping.Instance)
		if v4 := r.ping.Instance.UUID()[14] == '4'; v4 && (ours || conf) {
			t.Errorf("%s is taken for ours", r.ping.Instance.UUID())
		}
	}
}

// TestPingNames: forged names do not fill the memory.
func TestPingNames(t *testing.T) {
	c, err := NewPingCodec("host", 0)
	if err != nil {
		t.Fatal(err)
	}
	var p Packet
	for i := range 3 * maxInterned {
		b, _ := (&Ping{Host: "h" + strconv.Itoa(i), Instance: InstanceID{1}, Type: PingSlave}).AppendBinary(nil)
		if err := c.Open(b, &p); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.names) > maxInterned {
		t.Errorf("%d names are kept", len(c.names))
	}
}

func FuzzPing(f *testing.F) {
	for _, r := range recordings(f) {
		f.Add(r.b)
		f.Add(r.b[1:])
	}
	for _, host := range []string{"[a]", "[a:b]", "::1", "a:"} {
		b, err := (&Ping{Host: host, Instance: InstanceID{1}, Type: PingMaster}).AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, q Ping
		if err := p.UnmarshalBinary(data); err != nil {
			if p != (Ping{}) {
				t.Errorf("after %v it holds %+v", err, p)
			}
			return
		}
		b, err := p.AppendBinary(nil)
		if err != nil || len(b) != PingSize {
			t.Fatalf("%+v cannot be written again: %v", p, err)
		}
		if err := q.UnmarshalBinary(b); err != nil || p != q {
			t.Errorf("%+v became %+v, %v", p, q, err)
		}
		if host, port, err := SplitPingName(p.Name()); host != p.Host || port != p.Port || err != nil {
			t.Errorf("the name %q gives %q %d, %v", p.Name(), host, port, err)
		}
	})
}
