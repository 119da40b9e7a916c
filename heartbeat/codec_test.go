package heartbeat

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func codec(t testing.TB, cluster string, generation uint64, keys ...Key) *Codec {
	t.Helper()
	c, err := NewCodec(cluster, generation, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// equal compares packets; an empty heard list is like none.
func equal(a, b *Packet) bool {
	x, y := *a, *b
	if len(x.Heard) == 0 && len(y.Heard) == 0 {
		x.Heard, y.Heard = nil, nil
	}
	return reflect.DeepEqual(x, y)
}

// envelope puts a header of c around the bytes from the kind on, and a valid
// tag behind them.
func envelope(c *Codec, body []byte) []byte {
	b := append([]byte{}, magic[:]...)
	b = append(b, version, 0, 0, 0)
	b = append(b, c.tag[:]...)
	b = append(b, body...)
	if len(c.keys) == 0 {
		binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
		return b
	}
	b[5] = c.keys[0].id
	binary.BigEndian.PutUint16(b[6:], uint16(len(b)+tagSize))
	return append(b, c.mac(&c.keys[0], b)...)
}

// unchecked is a Seal that does not look at the values.
func unchecked(c *Codec, p *Packet) []byte { return envelope(c, p.append(nil)) }

func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		code, _, _ := strings.Cut(line, "#")
		digits.WriteString(strings.TrimSpace(code))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	key1 = Key(secret(0x01))
	key2 = Key(secret(0x81))
)

// The vectors were written by another program, from the drawing in the package
// comment. They are for other implementations too.
func TestVectors(t *testing.T) {
	tests := []struct {
		file  string
		codec *Codec
		want  *Packet
		open  []*Codec // who else can open it
		later bool     // has fields that we cannot write
	}{
		{file: "minimal.hex", codec: codec(t, "default", 0), want: minimalPacket()},
		{file: "full.hex", codec: codec(t, "orders", 3), want: fullPacket()},
		{file: "signed.hex", codec: codec(t, "orders", 3, key1), want: fullPacket(), open: []*Codec{codec(t, "orders", 3, key2, key1)}},
		{file: "rotated.hex", codec: codec(t, "orders", 3, key2, key1), want: fullPacket(), open: []*Codec{codec(t, "orders", 3, key1, key2), codec(t, "orders", 3, key2)}},
		{file: "later.hex", codec: codec(t, "orders", 3, key1), want: fullPacket(), later: true},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			want := vector(t, tt.file)
			if !tt.later {
				b, err := tt.codec.Seal(nil, tt.want)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, want) {
					t.Errorf("Seal\n got %x\nwant %x", b, want)
				}
			}
			for _, c := range append(tt.open, tt.codec) {
				var got Packet
				if err := c.Open(want, &got); err != nil {
					t.Fatal(err)
				}
				if !equal(&got, tt.want) {
					t.Errorf("Open\n got %+v\nwant %+v", got, *tt.want)
				}
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	plain, signed := vector(t, "full.hex"), vector(t, "signed.hex")
	edit := func(b []byte, f func(b []byte) []byte) []byte { return f(bytes.Clone(b)) }
	long := edit(plain, func(b []byte) []byte {
		b = append(b, make([]byte, MaxSize+1-len(b))...)
		binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
		return b
	})
	tests := []struct {
		name  string
		codec *Codec
		b     []byte
		want  error
	}{
		{"nothing", codec(t, "orders", 3), nil, ErrShort},
		{"half a magic", codec(t, "orders", 3), plain[:3], ErrShort},
		{"another protocol", codec(t, "orders", 3), []byte("M-SEARCH * HTTP/1.1\r\n"), ErrMagic},
		{"70 bytes of the older design", codec(t, "orders", 3), make([]byte, 70), ErrMagic},
		{"header only", codec(t, "orders", 3), plain[:15], ErrShort},
		{"version 0", codec(t, "orders", 3), edit(plain, func(b []byte) []byte { b[4] = 0; return b }), ErrVersion},
		{"version 2", codec(t, "orders", 3), edit(plain, func(b []byte) []byte { b[4] = 2; return b }), ErrVersion},
		{"longer than it says", codec(t, "orders", 3), append(bytes.Clone(plain), 0), ErrLength},
		{"shorter than it says", codec(t, "orders", 3), plain[:len(plain)-1], ErrLength},
		{"more than MaxSize", codec(t, "orders", 3), long, ErrLength},
		{"another cluster", codec(t, "default", 3), plain, ErrCluster},
		{"another generation", codec(t, "orders", 4), plain, ErrCluster},
		{"another cluster, signed", codec(t, "default", 3, key1), signed, ErrCluster},
		{"not signed", codec(t, "orders", 3, key1), plain, ErrUnsigned},
		{"signature taken off", codec(t, "orders", 3, key1), edit(signed, func(b []byte) []byte {
			b = b[:len(b)-tagSize]
			b[5] = 0
			binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
			return b
		}), ErrUnsigned},
		{"signed, but this cluster has no key", codec(t, "orders", 3), signed, ErrKey},
		{"signed with another key", codec(t, "orders", 3, key2), signed, ErrKey},
		{"key id of another key", codec(t, "orders", 3, key1, key2), edit(signed, func(b []byte) []byte {
			b[5] = codec(t, "orders", 3, key2).keys[0].id
			return b
		}), ErrForged},
		{"too short for a signature", codec(t, "orders", 3, key1), edit(signed, func(b []byte) []byte {
			b = b[:offKind+tagSize-1]
			binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
			return b
		}), ErrShort},
		{"signature of half its length", codec(t, "orders", 3, key1), edit(signed, func(b []byte) []byte {
			b = b[:len(b)-tagSize/2]
			binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
			return b
		}), ErrForged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := fullPacket()
			if err := tt.codec.Open(tt.b, p); err != tt.want {
				t.Errorf("Open = %v, want %v", err, tt.want)
			}
			if !equal(p, new(Packet)) {
				t.Errorf("after an error the packet holds %+v", p)
			}
		})
	}
}

// The key belongs to one cluster and generation: the same secret elsewhere
// makes other signatures.
func TestKeyIsDerivedPerCluster(t *testing.T) {
	a := codec(t, "orders", 3, key1)
	for _, other := range []*Codec{codec(t, "orders", 4, key1), codec(t, "Orders", 3, key1)} {
		other.tag, other.keys[0].id = a.tag, a.keys[0].id
		if err := other.Open(vector(t, "signed.hex"), new(Packet)); err != ErrForged {
			t.Errorf("Open = %v, want ErrForged", err)
		}
	}
}

// Two keys may have the same id; then both are tried.
func TestKeysWithOneID(t *testing.T) {
	both := codec(t, "orders", 3, key1, key2)
	one := codec(t, "orders", 3, key2)
	both.keys[0].id, both.keys[1].id, one.keys[0].id = 9, 9, 9
	b, err := one.Seal(nil, fullPacket())
	if err != nil {
		t.Fatal(err)
	}
	if err := both.Open(b, new(Packet)); err != nil {
		t.Errorf("Open = %v", err)
	}
}

func TestSignedPacketWithOneByteChangedIsRefused(t *testing.T) {
	c := codec(t, "orders", 3, key1, key2)
	signed := vector(t, "signed.hex")
	for i := range signed {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			b := bytes.Clone(signed)
			b[i] ^= flip
			if err := c.Open(b, new(Packet)); err == nil {
				t.Errorf("byte %d changed by %#x: accepted", i, flip)
			} else if i >= offKind && err != ErrForged {
				t.Errorf("byte %d changed by %#x: %v, want ErrForged: it must be verified before it is parsed", i, flip, err)
			}
		}
	}
}

func TestTruncated(t *testing.T) {
	for _, file := range []string{"minimal.hex", "full.hex", "signed.hex"} {
		b := vector(t, file)
		for _, c := range []*Codec{codec(t, "default", 0), codec(t, "orders", 3), codec(t, "orders", 3, key1)} {
			if c.Open(b, new(Packet)) != nil {
				continue // not this codec's
			}
			for n := range b {
				if err := c.Open(b[:n], new(Packet)); err == nil {
					t.Errorf("%s cut to %d bytes: accepted", file, n)
				}
				if n < offKind {
					continue
				}
				// The same with a length and a tag that fit.
				body := b[offKind:n]
				if err := c.Open(envelope(c, body), new(Packet)); err == nil {
					if n < len(b)-tagSize || !c.Signs() { // what is left of the tag reads as a later field
						t.Errorf("%s with a body of %d bytes: accepted", file, len(body))
					}
				} else if err != ErrShort {
					t.Errorf("%s with a body of %d bytes: %v, want ErrShort", file, len(body), err)
				}
			}
		}
	}
}

func TestUnknownTrailingFieldsAreSkipped(t *testing.T) {
	for _, c := range []*Codec{codec(t, "orders", 3), codec(t, "orders", 3, key1)} {
		body := fullPacket().append(nil)
		for n := 1; offKind+len(body)+n+tagSize <= MaxSize; n++ {
			var got Packet
			if err := c.Open(envelope(c, append(bytes.Clone(body), bytes.Repeat([]byte{0xee}, n)...)), &got); err != nil {
				t.Fatalf("%d bytes more: %v", n, err)
			}
			if !equal(&got, fullPacket()) {
				t.Fatalf("%d bytes more: got %+v", n, got)
			}
		}
	}
}

// The Java ancestor completed a short packet with the bytes of the one before.
func TestNothingOfAnEarlierPacketSurvives(t *testing.T) {
	c := codec(t, "orders", 3, key1)
	seal := func(p *Packet) []byte {
		b, err := c.Seal(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p := new(Packet)
	if err := c.Open(seal(fullPacket()), p); err != nil {
		t.Fatal(err)
	}
	if err := c.Open(seal(minimalPacket()), p); err != nil {
		t.Fatal(err)
	}
	if !equal(p, minimalPacket()) {
		t.Errorf("got %+v", p)
	}
	bad := minimalPacket()
	bad.Kind = kindEnd
	for _, b := range [][]byte{unchecked(c, bad), nil, seal(fullPacket())[:100], envelope(c, make([]byte, 400))} {
		if err := c.Open(seal(fullPacket()), p); err != nil {
			t.Fatal(err)
		}
		if err := c.Open(b, p); err == nil {
			t.Fatal("accepted")
		}
		if !equal(p, new(Packet)) {
			t.Errorf("after an error the packet holds %+v", p)
		}
	}
	// And nothing of the datagram is kept.
	b := seal(fullPacket())
	if err := c.Open(b, p); err != nil {
		t.Fatal(err)
	}
	clear(b)
	if !equal(p, fullPacket()) {
		t.Errorf("the packet changed with the buffer: %+v", p)
	}
}

func TestSealAppends(t *testing.T) {
	c := codec(t, "orders", 3, key1)
	b, err := c.Seal([]byte("before"), fullPacket())
	if err != nil || !bytes.Equal(b, append([]byte("before"), vector(t, "signed.hex")...)) {
		t.Errorf("Seal = %x, %v", b, err)
	}
}

// What the wire cannot hold is cut in a defined way.
func TestWhatTheWireRounds(t *testing.T) {
	c := codec(t, "default", 0)
	p := minimalPacket()
	p.Delay += 999 * time.Microsecond
	p.Maintenance.Left = 1999 * time.Microsecond
	p.Cache = fullPacket().Cache
	noPort := minimalPacket()
	b, err := c.Seal(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	var got Packet
	if err := c.Open(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Delay != time.Second || got.Maintenance.Left != time.Millisecond || got.Cache != p.Cache {
		t.Errorf("got %v %v %v", got.Delay, got.Maintenance.Left, got.Cache)
	}
	for _, cache := range []string{"192.0.2.1:0", "[::]:0"} {
		if err := noPort.Cache.UnmarshalText([]byte(cache)); err != nil {
			t.Fatal(err)
		}
		if b, err = c.Seal(nil, noPort); err != nil {
			t.Fatal(err)
		}
		if err := c.Open(b, &got); err != nil || got.Cache.IsValid() {
			t.Errorf("an address without a port came out as %v, %v", got.Cache, err)
		}
	}
}

func TestClusterTag(t *testing.T) {
	seen := map[[8]byte]bool{}
	for _, c := range []*Codec{codec(t, "a", 0), codec(t, "a", 1), codec(t, "b", 0), codec(t, "", 0)} {
		if seen[c.ClusterTag()] {
			t.Errorf("two clusters share the tag %x", c.ClusterTag())
		}
		seen[c.ClusterTag()] = true
	}
	if codec(t, "a", 0, key1).ClusterTag() != codec(t, "a", 0).ClusterTag() {
		t.Error("the tag depends on the key: a missing key would look like another cluster")
	}
	if codec(t, "a", 0).Signs() || !codec(t, "a", 0, key1).Signs() {
		t.Error("Signs is wrong")
	}
}

func TestInternedNamesAreBounded(t *testing.T) {
	c := codec(t, "default", 0)
	p := minimalPacket()
	for i := range 10 * maxInterned {
		p.Name = string(rune('A'+i%26)) + strings.Repeat("x", i%60) + string(rune(0x4e00+i))
		var got Packet
		b, err := c.Seal(nil, p)
		if err = errors.Join(err, c.Open(b, &got)); err != nil || got.Name != p.Name {
			t.Fatalf("%q came out as %q, %v", p.Name, got.Name, err)
		}
		if len(c.names) > maxInterned {
			t.Fatalf("%d names are kept", len(c.names))
		}
	}
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	for _, c := range []*Codec{codec(t, "orders", 3), codec(t, "orders", 3, key1, key2)} {
		p, buf := fullPacket(), make([]byte, 0, MaxSize)
		got := new(Packet)
		if n := testing.AllocsPerRun(100, func() {
			b, err := c.Seal(buf, p)
			if err == nil {
				err = c.Open(b, got)
			}
			if err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("signed %v: %v allocations", c.Signs(), n)
		}
	}
}

func benchCodecs(b *testing.B, f func(b *testing.B, c *Codec)) {
	b.Run("unsigned", func(b *testing.B) { f(b, codec(b, "orders", 3)) })
	b.Run("signed", func(b *testing.B) { f(b, codec(b, "orders", 3, key1)) })
}

func BenchmarkSeal(b *testing.B) {
	benchCodecs(b, func(b *testing.B, c *Codec) {
		p, buf := fullPacket(), make([]byte, 0, MaxSize)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Seal(buf, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchCodecs(b, func(b *testing.B, c *Codec) {
		data, err := c.Seal(nil, fullPacket())
		if err != nil {
			b.Fatal(err)
		}
		p := new(Packet)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Open(data, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
