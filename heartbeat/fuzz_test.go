package heartbeat

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// maxAlloc is what one packet may make us allocate.
const maxAlloc = 64 << 10

// FuzzOpen gives the parser bytes as they come, and the same bytes behind a
// valid header and before a valid tag: without that a fuzzer never gets past
// the signature.
func FuzzOpen(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "vectors", "*.hex"))
	if err != nil || len(files) == 0 {
		f.Fatal("no vectors", err)
	}
	known := map[string]bool{} // a fuzzer without the key can repeat signed packets, not make them
	for _, file := range files {
		b := vector(f, filepath.Base(file))
		known[string(b)] = true
		f.Add(b)
		f.Add(b[offKind:])
		f.Add(b[:len(b)-1])
	}
	most := fullPacket()
	most.Heard = make([]Heard, MaxHeard)
	f.Add(most.append(nil))
	f.Add(bytes.Repeat([]byte{0xff}, MaxSize))
	codecs := []*Codec{codec(f, "default", 0), codec(f, "orders", 3), codec(f, "orders", 3, key1, key2)}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := fullPacket() // used before, as a listener's is
		for _, c := range codecs {
			clear(c.names) // else the coverage depends on the inputs before, and the fuzzer minimises for ever
			var before, after runtime.MemStats
			wrapped := envelope(c, data)
			runtime.ReadMemStats(&before)
			errRaw := c.Open(data, p)
			errWrapped := c.Open(wrapped, p)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > maxAlloc {
				t.Errorf("%d bytes allocated", n)
			}
			if c.Signs() && errRaw == nil && !known[string(data)] {
				t.Error("a packet that nobody signed was accepted")
			}
			if errWrapped != nil {
				if !equal(p, new(Packet)) {
					t.Errorf("after an error the packet holds %+v", p)
				}
				continue
			}
			// What was accepted can be sent, and means the same again.
			b, err := c.Seal(nil, p)
			if err != nil {
				t.Fatalf("accepted, but cannot be sealed: %v", err)
			}
			var again Packet
			if err := c.Open(b, &again); err != nil || !equal(&again, p) {
				t.Errorf("%v\n got %+v\nwant %+v", err, again, *p)
			}
		}
	})
}

func genID(label string) *rapid.Generator[InstanceID] {
	return rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) InstanceID { return InstanceID(b) })
}

func genPacket(t *rapid.T) *Packet {
	id := genID("id")
	epoch := rapid.Uint64Range(0, MaxEpoch)
	u64 := rapid.Uint64()
	sighting := func(l string) Sighting {
		return Sighting{id.Draw(t, l), epoch.Draw(t, l), u64.Draw(t, l)}
	}
	pos := func(l string) LogPos { return LogPos{epoch.Draw(t, l), u64.Draw(t, l)} }
	bytes32 := func(l string) [32]byte { return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, l)) }
	p := &Packet{
		Kind:     Kind(rapid.IntRange(1, int(kindEnd)-1).Draw(t, "kind")),
		State:    State(rapid.IntRange(1, int(stateEnd)-1).Draw(t, "state")),
		Flags:    Flags(rapid.Uint16().Draw(t, "flags")),
		Node:     NodeID(id.Draw(t, "node")),
		Instance: id.Filter(func(i InstanceID) bool { return !i.IsZero() }).Draw(t, "instance"),
		Seq:      u64.Draw(t, "seq"), Epoch: epoch.Draw(t, "epoch"), Asks: epoch.Draw(t, "asks"), MaxEpoch: epoch.Draw(t, "max epoch"),
		Master: sighting("master"), Promise: sighting("promise"),
		Resigned: Resignation{id.Draw(t, "resigned"), epoch.Draw(t, "resigned epoch"), id.Draw(t, "heir"), pos("resigned log")},
		Obituary: Obituary{id.Draw(t, "dead"), bytes32("secret")},
		Log:      pos("log"),
		Order:    Order{rapid.Uint16().Draw(t, "order position"), u64.Draw(t, "order n")},
		Delay:    time.Duration(rapid.Int64Range(1, 400_000).Draw(t, "delay")) * time.Millisecond,
		Retries:  rapid.Uint16Range(1, 65535).Draw(t, "retries"),
		Votes:    rapid.Byte().Draw(t, "votes"), Quorum: rapid.Byte().Draw(t, "quorum"), Position: rapid.Uint16().Draw(t, "position"),
		Maintenance: Maintenance{rapid.Uint32().Draw(t, "version"), time.Duration(rapid.Uint32().Draw(t, "left")) * time.Millisecond},
		ObitHash:    bytes32("hash"),
		Name:        rapid.StringMatching(`[a-zäöü0-9.\-]{1,30}`).Draw(t, "name"),
	}
	if port := rapid.Uint16().Draw(t, "port"); port != 0 {
		ip := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip"))).Unmap()
		p.Cache = netip.AddrPortFrom(ip, port)
	}
	for range rapid.IntRange(0, MaxHeard).Draw(t, "heard") {
		p.Heard = append(p.Heard, Heard{id.Draw(t, "heard").Prefix(), rapid.Uint32().Draw(t, "heard seq")})
	}
	return p
}

func TestRoundTrip(t *testing.T) {
	codecs := []*Codec{codec(t, "a", 0), codec(t, "a", 0, key1)}
	got := fullPacket() // reused throughout
	rapid.Check(t, func(t *rapid.T) {
		p := genPacket(t)
		for _, c := range codecs {
			b, err := c.Seal(nil, p)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > MaxSize || int(binary.BigEndian.Uint16(b[6:])) != len(b) {
				t.Fatalf("%d bytes", len(b))
			}
			if err := c.Open(b, got); err != nil {
				t.Fatal(err)
			}
			if !equal(got, p) {
				t.Fatalf("got  %+v\nwant %+v", got, p)
			}
		}
	})
}
