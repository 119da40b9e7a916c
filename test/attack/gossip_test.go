//go:build linux

package attack

import (
	"bytes"
	"compress/lzw"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/test/lab"
)

// Types of memberlist's messages.
const (
	gossipPing       = 0
	gossipPushPull   = 6
	gossipCompound   = 7
	gossipUser       = 8
	gossipCompressed = 9
	gossipEncrypted  = 10
	gossipLabel      = 244
)

// gossipBombs sends what makes memberlist alone allocate a hundred MiB, to its
// port: as datagrams and as streams, under the cluster's label.
func gossipBombs(t *testing.T, v *victim) int {
	members := func() float64 { return v.metrics(t, v.master)["interlok_ha_cache_members"] }
	lab.Wait(t, "both are members", soon, func() bool { return members() == 2 })
	at := v.of(t, v.master).Packet.Cache.String()
	tag := sha256.Sum256([]byte("interlok-ha/1 cache\x00" + v.c.Name))
	label := "ilha1." + hex.EncodeToString(tag[:8])
	labelled := func(body []byte) []byte {
		return append(append([]byte{gossipLabel, byte(len(label))}, label...), body...)
	}
	small, great := compressed(t, 600_000), compressed(t, 40<<20)
	pair := []byte{gossipCompound, 2, 0, 1, byte(len(small) >> 8), byte(len(small)), gossipPing}
	u, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	n := 0
	for range volley {
		for _, b := range [][]byte{small, great, append(pair, small...)} {
			if _, err := u.Write(labelled(b)); err == nil {
				n++
			}
		}
	}
	for range 16 {
		for _, b := range [][]byte{
			great,
			state(1<<20, 0),
			state(0, 20<<20),
			append([]byte{gossipUser, 0x81, 0xaa}, "UserMsgLen\xce\x01\x40\x00\x00"...),
			append([]byte{gossipEncrypted, 1, 0x40, 0, 0}, make([]byte, 1<<20)...),
		} {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(soon))
			_, _ = c.Write(labelled(b)) // it may be cut off before the end
			_ = c.(*net.TCPConn).CloseWrite()
			for b := make([]byte, 4096); err == nil; {
				_, err = c.Read(b)
			}
			c.Close()
			n++
		}
	}
	if got := members(); got < 2 {
		t.Errorf("gossip knows %v members, want both", got)
	}
	// A full buffer loses datagrams, more of the long ones.
	return n / 4
}

// compressed is a message of n zeros.
func compressed(t *testing.T, n int) []byte {
	t.Helper()
	var z bytes.Buffer
	w := lzw.NewWriter(&z, lzw.LSB, 8)
	if _, err := w.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := append([]byte{gossipCompressed, 0x82, 0xa4}, "Algo\x00\xa3Buf\xdb"...)
	b = binary.BigEndian.AppendUint32(b, uint32(z.Len()))
	return append(b, z.Bytes()...)
}

// state begins a stream that announces so many members, and bytes.
func state(members, user uint32) []byte {
	b := append([]byte{gossipPushPull, 0x83, 0xa4}, "Join\xc3\xa5Nodes\xce"...)
	b = binary.BigEndian.AppendUint32(b, members)
	b = append(b, "\xacUserStateLen\xce"...)
	return binary.BigEndian.AppendUint32(b, user)
}
