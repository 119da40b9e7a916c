package heartbeat

import (
	"crypto/sha256"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// pattern fills an id with bytes that count up from start.
func pattern[T ~[16]byte](start byte) (id T) {
	for i := range id {
		id[i] = start + byte(i)
	}
	return id
}

func secret(start byte) (s [32]byte) {
	for i := range s {
		s[i] = start + byte(i)
	}
	return s
}

// minimalPacket is testdata/vectors/minimal.hex.
func minimalPacket() *Packet {
	return &Packet{
		Kind: KindHeartbeat, State: StateListening,
		Node: NewNodeID("default", "a"), Instance: pattern[InstanceID](0x10), Seq: 1,
		Delay: time.Second, Retries: 5, Votes: 1, Name: "a",
	}
}

// fullPacket is testdata/vectors/full.hex: no two fields have equal values.
func fullPacket() *Packet {
	inst := pattern[InstanceID](0x10)
	return &Packet{
		Kind: KindClaim, State: StateClaiming,
		Flags:    FlagCandidate | FlagDrained | FlagIsolated | FlagSure | FlagEmbargo,
		Node:     NewNodeID("orders", "ä-1"),
		Instance: inst,
		Seq:      0x0102030405060708, Epoch: 0x1112131415161718, Asks: 0x2122232425262728, MaxEpoch: MaxEpoch,
		Master:   Sighting{pattern[InstanceID](0x30), 0x3132333435363738, 0x4142434445464748},
		Promise:  Sighting{pattern[InstanceID](0x40), 0x5152535455565758, 0x6162636465666768},
		Resigned: Resignation{pattern[InstanceID](0x50), 0x7172737475767778, pattern[InstanceID](0x60), LogPos{0x0112233445566778, 0x8182838485868788}},
		Obituary: Obituary{pattern[InstanceID](0x70), secret(0x80)},
		Log:      LogPos{0x0a0b0c0d0e0f1011, 0x9192939495969798},
		Order:    Order{0x0203, 0xa1a2a3a4a5a6a7a8},
		Delay:    250 * time.Millisecond, Retries: 7, Votes: 2, Quorum: 3, Position: 0x0405,
		Maintenance: Maintenance{0x06070809, 30 * time.Minute},
		Cache:       netip.MustParseAddrPort("192.0.2.7:41811"),
		ObitHash:    ObituaryHash(inst, secret(0xa0)),
		Name:        "ä-1",
		Heard: []Heard{
			{Instance: pattern[InstanceID](0xb0).Prefix(), Seq: 0xc1c2c3c4},
			{Instance: pattern[InstanceID](0xd0).Prefix(), Seq: 1},
		},
	}
}

func TestNodeIDAndObituaryHash(t *testing.T) {
	sum := sha256.Sum256([]byte("default\x00a"))
	if got := NewNodeID("default", "a"); got != NodeID(sum[:16]) {
		t.Errorf("NewNodeID = %x", got)
	}
	if NewNodeID("ab", "c") == NewNodeID("a", "bc") {
		t.Error("two clusters share a node id")
	}
	id, s := pattern[InstanceID](1), secret(2)
	if got, want := ObituaryHash(id, s), sha256.Sum256([]byte("obit"+string(id[:])+string(s[:]))); got != want {
		t.Errorf("ObituaryHash = %x, want %x", got, want)
	}
}

func TestWords(t *testing.T) {
	for k := KindHeartbeat; k < kindEnd; k++ {
		if k.String() == "" || k.String() == "unknown" {
			t.Errorf("kind %d has no word", k)
		}
	}
	for s := StateListening; s < stateEnd; s++ {
		if s.String() == "" || s.String() == "unknown" {
			t.Errorf("state %d has no word", s)
		}
		if got, want := s.Reigns(), s == StateOpening || s == StateMaster || s == StateDraining; got != want {
			t.Errorf("%v reigns: %v", s, got)
		}
	}
	if Kind(200).String() != "unknown" || State(200).String() != "unknown" || kindEnd.String() != "unknown" {
		t.Error("a value without a word has one")
	}
	if len(kindNames) != int(kindEnd) || len(stateNames) != int(stateEnd) {
		t.Error("the words do not fit the values")
	}
	if got := pattern[InstanceID](0).String(); got != "000102030405060708090a0b0c0d0e0f" {
		t.Errorf("String = %s", got)
	}
	if f := FlagCandidate | FlagSure; !f.Has(FlagSure) || f.Has(FlagSure|FlagVoter) {
		t.Error("Has is wrong")
	}
	if !(LogPos{1, 9}).Less(LogPos{2, 0}) || !(LogPos{1, 1}).Less(LogPos{1, 2}) || (LogPos{1, 2}).Less(LogPos{1, 2}) || (LogPos{2, 0}).Less(LogPos{1, 9}) {
		t.Error("Less is wrong")
	}
}

// Every field that a sender can get wrong is refused on both sides.
func TestFieldRange(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Packet)
	}{
		{"no kind", func(p *Packet) { p.Kind = 0 }},
		{"unknown kind", func(p *Packet) { p.Kind = kindEnd }},
		{"no state", func(p *Packet) { p.State = 0 }},
		{"unknown state", func(p *Packet) { p.State = stateEnd }},
		{"no instance", func(p *Packet) { p.Instance = InstanceID{} }},
		{"epoch", func(p *Packet) { p.Epoch = MaxEpoch + 1 }},
		{"asked epoch", func(p *Packet) { p.Asks = MaxEpoch + 1 }},
		{"greatest epoch", func(p *Packet) { p.MaxEpoch = math.MaxUint64 }},
		{"epoch of the master", func(p *Packet) { p.Master.Epoch = MaxEpoch + 1 }},
		{"epoch of the promise", func(p *Packet) { p.Promise.Epoch = MaxEpoch + 1 }},
		{"epoch resigned", func(p *Packet) { p.Resigned.Epoch = MaxEpoch + 1 }},
		{"log epoch", func(p *Packet) { p.Log.Epoch = MaxEpoch + 1 }},
		{"log epoch resigned", func(p *Packet) { p.Resigned.Log.Epoch = MaxEpoch + 1 }},
		{"no delay", func(p *Packet) { p.Delay = 0 }},
		{"no retries", func(p *Packet) { p.Retries = 0 }},
		{"a lease of centuries", func(p *Packet) { p.Delay, p.Retries = math.MaxUint32*time.Millisecond, math.MaxUint16 }},
		{"no name", func(p *Packet) { p.Name = "" }},
		{"newline in the name", func(p *Packet) { p.Name = "a\nb" }},
		{"escape in the name", func(p *Packet) { p.Name = "a\x1b[2J" }},
		{"nul in the name", func(p *Packet) { p.Name = "a\x00" }},
		{"delete in the name", func(p *Packet) { p.Name = "a\x7f" }},
		{"C1 control in the name", func(p *Packet) { p.Name = "a\u0085" }},
		{"line separator in the name", func(p *Packet) { p.Name = "a\u2028" }},
		{"paragraph separator in the name", func(p *Packet) { p.Name = "a\u2029" }},
		{"turned writing in the name", func(p *Packet) { p.Name = "a\u202eb" }},
		{"invalid UTF-8 in the name", func(p *Packet) { p.Name = "a\xff" }},
		{"surrogate in the name", func(p *Packet) { p.Name = "a\xed\xa0\x80" }},
	}
	c := codec(t, "default", 0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := minimalPacket()
			tt.edit(p)
			b, err := c.Seal([]byte("before"), p)
			if err != ErrField || string(b) != "before" {
				t.Errorf("Seal = %q, %v, want ErrField and nothing appended", b, err)
			}
			if err := c.Open(unchecked(c, p), new(Packet)); err != ErrField {
				t.Errorf("Open = %v, want ErrField", err)
			}
		})
	}
	for _, edit := range []func(*Packet){
		func(p *Packet) { p.Name = strings.Repeat("x", MaxName+1) },
		func(p *Packet) { p.Heard = make([]Heard, MaxHeard+1) },
		func(p *Packet) { p.Delay = (math.MaxUint32 + 1) * time.Millisecond },
		func(p *Packet) { p.Delay = 999 * time.Microsecond },
		func(p *Packet) { p.Maintenance.Left = -time.Millisecond },
		func(p *Packet) { p.Maintenance.Left = (math.MaxUint32 + 1) * time.Millisecond },
	} {
		p := minimalPacket()
		edit(p)
		if _, err := c.Seal(nil, p); err != ErrField {
			t.Errorf("Seal of %+v = %v, want ErrField", p, err)
		}
	}
	for _, n := range []int{MaxName + 1, 255} {
		p := minimalPacket()
		p.Name = strings.Repeat("x", n)
		if err := c.Open(unchecked(c, p), new(Packet)); err != ErrField {
			t.Errorf("Open with a name of %d bytes = %v, want ErrField", n, err)
		}
	}
	p := minimalPacket()
	p.Heard = make([]Heard, MaxHeard+1)
	if err := c.Open(unchecked(c, p), new(Packet)); err != ErrField {
		t.Errorf("Open with %d heard entries = %v, want ErrField", len(p.Heard), err)
	}
}

// The limits themselves are allowed.
func TestFieldLimits(t *testing.T) {
	for name, edit := range map[string]func(*Packet){
		"longest name":   func(p *Packet) { p.Name = strings.Repeat("x", MaxName) },
		"most heard":     func(p *Packet) { p.Heard = make([]Heard, MaxHeard) },
		"greatest epoch": func(p *Packet) { p.Epoch = MaxEpoch },
		"longest lease":  func(p *Packet) { p.Delay, p.Retries = maxLease/50, 50 },
		"shortest delay": func(p *Packet) { p.Delay, p.Retries = time.Millisecond, 1 },
		"Chinese name":   func(p *Packet) { p.Name = "主节点 №1" },
		"IPv6 cache":     func(p *Packet) { p.Cache = netip.MustParseAddrPort("[2001:db8::7]:1") },
		"all of it": func(p *Packet) {
			*p = *fullPacket()
			p.Name = strings.Repeat("x", MaxName)
			p.Heard = make([]Heard, MaxHeard)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := minimalPacket()
			edit(p)
			for _, c := range []*Codec{codec(t, "default", 0), codec(t, "default", 0, Key{1})} {
				b, err := c.Seal(nil, p)
				if err != nil {
					t.Fatal(err)
				}
				if len(b) > MaxSize {
					t.Errorf("%d bytes", len(b))
				}
				var got Packet
				if err := c.Open(b, &got); err != nil {
					t.Fatal(err)
				}
				if !equal(&got, p) {
					t.Errorf("got  %+v\nwant %+v", got, *p)
				}
				if got.Lease() <= 0 || got.Lease()*4 <= 0 {
					t.Errorf("lease %v overflows", got.Lease())
				}
			}
		})
	}
}
