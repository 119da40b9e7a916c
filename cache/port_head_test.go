package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

const gossipLabel = "ilha1.0123456789abcdef"

// gossipPacket is a datagram with a label.
func gossipPacket(label string, body ...byte) []byte {
	b := append([]byte{firstLabel, byte(len(label))}, label...)
	return append(b, body...)
}

func gossipCompounded(parts ...[]byte) []byte {
	b := []byte{gossipCompound, byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	return append(b, bytes.Join(parts, nil)...)
}

func TestCheckDatagram(t *testing.T) {
	with := func(body ...byte) []byte { return gossipPacket(gossipLabel, body...) }
	crc := func(b []byte) []byte { return append([]byte{gossipCRC, 0, 0, 0, 0}, b...) }
	ping := []byte{gossipPing, 0x80}
	bye := append([]byte{gossipUser}, make([]byte, byeSize)...)
	for _, tt := range []struct {
		name         string
		b            []byte
		plain, keyed unwelcome
	}{
		{"empty", nil, refuseMalformed, refuseMalformed},
		{"one byte", []byte{firstLabel}, refuseMalformed, refuseMalformed},
		{"no label", ping, refuseCluster, refuseCluster},
		{"a heartbeat", []byte("ILHA0123"), refuseMalformed, refuseMalformed},
		{"empty label", []byte{firstLabel, 0, gossipPing}, refuseMalformed, refuseMalformed},
		{"label cut", gossipPacket(gossipLabel)[:10], refuseMalformed, refuseMalformed},
		{"nothing after the label", with(), refuseMalformed, refuseMalformed},
		{"other label", gossipPacket("other", ping...), refuseCluster, refuseCluster},
		{"label and more", gossipPacket(gossipLabel+"0", ping...), refuseCluster, refuseCluster},
		{"too long", with(make([]byte, maxDatagram)...), refuseTooLarge, refuseTooLarge},
		{"longest", with(make([]byte, maxDatagram-2-len(gossipLabel))...), refuseNone, refuseNone},
		{"ping", with(ping...), refuseNone, refuseKey},
		{"nack", with(gossipNack), refuseNone, refuseKey},
		{"sealed", with(append([]byte{1}, make([]byte, sealedMin-1)...)...), refuseNone, refuseNone},
		{"sealed, cut", with(append([]byte{1}, make([]byte, sealedMin-2)...)...), refuseNone, refuseKey},
		{"compressed", with(gossipCompressed, 1, 2), refuseGossip, refuseKey},
		{"compressed with CRC", with(crc([]byte{gossipCompressed, 1})...), refuseGossip, refuseKey},
		{"CRC cut", with(gossipCRC, 0, 0, 0), refuseMalformed, refuseKey},
		{"CRC of nothing", with(gossipCRC, 0, 0, 0, 0), refuseMalformed, refuseKey},
		{"CRC twice", with(crc(crc(ping))...), refuseGossip, refuseKey},
		{"compound", with(gossipCompounded(ping, ping)...), refuseNone, refuseKey},
		{"compound with CRC", with(crc(gossipCompounded(ping, ping))...), refuseNone, refuseKey},
		{"compound, compressed inside", with(gossipCompounded(ping, []byte{gossipCompressed, 3})...), refuseGossip, refuseKey},
		{"the same with CRC", with(crc(gossipCompounded(ping, []byte{gossipCompressed, 3}))...), refuseGossip, refuseKey},
		{"compound in a compound", with(gossipCompounded(gossipCompounded(ping))...), refuseGossip, refuseKey},
		{"compound of nothing", with(gossipCompounded(ping, nil)...), refuseMalformed, refuseKey},
		{"compound cut in its lengths", with(gossipCompound, 9, 0), refuseMalformed, refuseKey},
		{"compound cut at once", with(gossipCompound), refuseMalformed, refuseKey},
		{"compound cut in a part", with(gossipCompounded(ping, ping)[:8]...), refuseMalformed, refuseKey},
		{"goodbye", with(bye...), refuseNone, refuseKey},
		{"other message", with(bye[:9]...), refuseGossip, refuseKey},
		{"push/pull", with(gossipPushPull), refuseGossip, refuseKey},
		{"error", with(gossipError), refuseGossip, refuseKey},
		{"encrypted", with(gossipEncrypted), refuseKey, refuseKey},
		{"unknown", with(14), refuseMalformed, refuseKey},
	} {
		if got := checkDatagram(tt.b, gossipLabel, false); got != tt.plain {
			t.Errorf("%s, without key: %v, want %v", tt.name, got, tt.plain)
		}
		if got := checkDatagram(tt.b, gossipLabel, true); got != tt.keyed {
			t.Errorf("%s, with key: %v, want %v", tt.name, got, tt.keyed)
		}
	}
}

// gossipState is the beginning of a push/pull.
func gossipState(nodes uint32, user uint32) []byte {
	b := append([]byte{gossipPushPull, 0x83, 0xa0 | 4}, "Join"...)
	b = append(b, 0xc3, 0xa0|5)
	b = append(b, "Nodes"...)
	b = append(b, 0xce)
	b = binary.BigEndian.AppendUint32(b, nodes)
	b = append(b, 0xa0|12)
	b = append(b, "UserStateLen"...)
	b = append(b, 0xce)
	return binary.BigEndian.AppendUint32(b, user)
}

func TestCheckStream(t *testing.T) {
	with := func(body ...byte) []byte { return gossipPacket(gossipLabel, body...) }
	const more = unwelcome(255) // not all there yet
	for _, tt := range []struct {
		name         string
		b            []byte
		plain, keyed unwelcome
	}{
		{"empty", nil, more, more},
		{"label begun", with()[:5], more, more},
		{"label only", with(), more, more},
		{"no label", gossipState(1, 0), refuseCluster, refuseCluster},
		{"other label", gossipPacket("ilha1.0123456789abcdee", gossipPing), refuseCluster, refuseCluster},
		{"shorter label", gossipPacket("x", gossipPing), refuseCluster, refuseCluster},
		{"not gossip", []byte("GET /"), refuseMalformed, refuseMalformed},
		{"ping", with(gossipPing), refuseNone, refuseKey},
		{"push/pull", with(gossipState(2, digestSize)...), refuseNone, refuseKey},
		{"push/pull begun", with(gossipState(2, digestSize)[:20]...), more, refuseKey},
		{"most nodes", with(gossipState(maxGossipNodes, digestSize)...), refuseNone, refuseKey},
		{"too many nodes", with(gossipState(maxGossipNodes+1, digestSize)...), refuseTooLarge, refuseKey},
		{"a million nodes", with(gossipState(1<<20, 0)...), refuseTooLarge, refuseKey},
		{"4 GiB of state", with(gossipState(1, 1<<32-1)...), refuseTooLarge, refuseKey},
		{"great map", with(gossipPushPull, 0xdf, 0, 0, 0, 3), refuseMalformed, refuseKey},
		{"array", with(gossipPushPull, 0x93, 0xce, 0, 16, 0, 0, 0, 0xc3), refuseMalformed, refuseKey},
		{"float", with(append([]byte{gossipPushPull, 0x81, 0xa5}, "Nodes\xcb\x41\x30\x00\x00\x00\x00\x00\x00"...)...), refuseMalformed, refuseKey},
		{"twice", with(append([]byte{gossipPushPull, 0x82, 0xa5}, "Nodes\x01\xa5Nodes\xce\x00\x10\x00\x00"...)...), refuseTooLarge, refuseKey},
		{"negative", with(append([]byte{gossipPushPull, 0x81, 0xa5}, "Nodes\xd3\xff\xff\xff\xff\xff\xff\xff\xff"...)...), refuseTooLarge, refuseKey},
		{"long name", with(gossipPushPull, 0x81, 0xdb, 0xff, 0xff, 0xff, 0xff), refuseMalformed, refuseKey},
		{"compressed", with(gossipCompressed, 0x82), refuseGossip, refuseKey},
		{"message", with(gossipUser, 0x81), refuseGossip, refuseKey},
		{"answer", with(gossipAck), refuseGossip, refuseKey},
		{"unknown", with(99), refuseMalformed, refuseKey},
		{"encrypted", with(gossipEncrypted, 0, 0, 1, 0), refuseKey, refuseNone},
		{"encrypted begun", with(gossipEncrypted, 0, 0, 1), refuseKey, more},
		{"encrypted, 4 GiB", with(gossipEncrypted, 255, 255, 255, 255), refuseKey, refuseTooLarge},
	} {
		for _, keyed := range []bool{false, true} {
			want := tt.plain
			if keyed {
				want = tt.keyed
			}
			got, most := checkStream(tt.b, gossipLabel, keyed, false)
			if got == refuseNone && most == 0 {
				got = more
			}
			if most > maxGossipStream {
				t.Errorf("%s, keyed %v: up to %d bytes", tt.name, keyed, most)
			}
			if got != want {
				t.Errorf("%s, keyed %v: %v, want %v", tt.name, keyed, got, want)
			}
		}
	}
	for _, tt := range []struct {
		name         string
		b            []byte
		plain, keyed unwelcome
	}{
		{"state", gossipState(1, digestSize), refuseNone, refuseKey},
		{"great state", gossipState(1<<20, digestSize), refuseTooLarge, refuseKey},
		{"answer", []byte{gossipAck}, refuseNone, refuseKey},
		{"error", []byte{gossipError}, refuseNone, refuseNone},
		{"ping", []byte{gossipPing}, refuseGossip, refuseKey},
		{"compressed", []byte{gossipCompressed}, refuseGossip, refuseKey},
	} {
		if got, most := checkStream(tt.b, "", false, true); got != tt.plain || (most > 0) != (got == refuseNone) {
			t.Errorf("reply %s: %v, %v", tt.name, got, most)
		}
		if got, most := checkStream(tt.b, "", true, true); got != tt.keyed || (most > 0) != (got == refuseNone) {
			t.Errorf("reply %s, keyed: %v, %v", tt.name, got, most)
		}
	}
}

func FuzzCheckDatagram(f *testing.F) {
	f.Add(gossipPacket(gossipLabel, gossipCompounded([]byte{gossipPing, 0x80}, []byte{gossipCompressed})...), false)
	f.Add(gossipPacket(gossipLabel, gossipCRC, 0, 0, 0, 0, gossipCompound, 3, 0), true)
	f.Fuzz(func(t *testing.T, b []byte, keyed bool) {
		if why := checkDatagram(b, gossipLabel, keyed); why == refuseNone && !keyed && gossipUnpacks(b[2+len(gossipLabel):], true) {
			t.Error("compressed is let in")
		}
	})
}

// gossipUnpacks reads a datagram as memberlist does, and reports whether it
// comes to something compressed.
func gossipUnpacks(b []byte, outside bool) bool {
	if outside && len(b) >= 5 && b[0] == gossipCRC {
		b = b[5:]
	}
	if len(b) == 0 {
		return false
	}
	if b[0] == gossipCompressed {
		return true
	}
	if b[0] != gossipCompound || len(b) < 2 || len(b) < 2+2*int(b[1]) {
		return false
	}
	rest := b[2+2*int(b[1]):]
	for i := range int(b[1]) {
		n := int(binary.BigEndian.Uint16(b[2+2*i:]))
		if n > len(rest) {
			return false
		}
		if gossipUnpacks(rest[:n], false) {
			return true
		}
		rest = rest[n:]
	}
	return false
}

func FuzzCheckStream(f *testing.F) {
	f.Add(gossipPacket(gossipLabel, gossipState(3, 4)...), false, false)
	f.Add(gossipState(1<<20, 4), false, true)
	f.Add(gossipPacket(gossipLabel, gossipEncrypted, 0, 1, 2, 3), true, false)
	f.Fuzz(func(t *testing.T, b []byte, keyed, reply bool) {
		why, most := checkStream(b, gossipLabel, keyed, reply)
		if most < 0 || most > maxGossipStream {
			t.Fatalf("up to %d bytes", most)
		}
		if why == refuseNone && most == 0 {
			return
		}
		// What is clear stays so, whatever follows; what came before did not
		// say otherwise.
		if again, m := checkStream(append(bytes.Clone(b), 0xff), gossipLabel, keyed, reply); again != why || m != most {
			t.Errorf("%v %v, with one byte more %v %v", why, most, again, m)
		}
		for i := range b {
			if early, m := checkStream(b[:i], gossipLabel, keyed, reply); (early != refuseNone || m > 0) && (early != why || m != most) {
				t.Errorf("%v %v after %d bytes, %v %v after all", early, m, i, why, most)
			}
		}
	})
}

// With the answer of a stream that we opened, too, memberlist gets nothing that
// makes it allocate much.
func TestReplyIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		err          error
		count        func(*counters) uint64
	}{
		{"sound", string(gossipState(2, 40)) + "more", nil, nil},
		{"great", string(gossipState(1<<20, 40)), errHead, func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
		{"compressed", "\x09zip", errHead, func(c *counters) uint64 { return c.RefusedGossip.Load() }},
		{"none", "", io.EOF, nil},
		{"endless", string(gossipState(2, 40)) + strings.Repeat("x", maxGossipState+2*maxGossipNode+headSize), errEndless, func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newGossipNet()
				h := n.host(1)
				l, p, _ := h.Listen(h.addr())
				pt, _, _ := gossipRunPort(t, l, p)
				tr := newTransport(pt, h, gossipLabel)
				other := n.host(2)
				ol, _, _ := other.Listen(other.addr())
				defer ol.Close()
				go func() {
					c, err := ol.Accept()
					if err != nil {
						return
					}
					if tt.answer != "" {
						_, _ = c.Write([]byte(tt.answer))
					}
					c.Close()
				}()
				c, err := tr.DialAddressTimeout(memberlist.Address{Addr: other.addr().String()}, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(c)
				if tt.err == nil && string(got) != tt.answer {
					t.Errorf("read %q", got)
				}
				if want := tt.err; !errors.Is(err, want) && !(want == io.EOF && err == nil) {
					t.Errorf("error %v, want %v", err, want)
				}
				if tt.count != nil && tt.count(pt.count) != 1 {
					t.Errorf("not counted: %+v", pt.count.snapshot())
				}
				if len(got) > maxGossipState+2*maxGossipNode+headSize {
					t.Errorf("read %d bytes", len(got))
				}
				c.Close()
				_ = tr.Shutdown()
			})
		})
	}
}
