//go:build linux

package attack

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	volley  = 400 // packets of one strike
	tagSize = 16
)

// kinds are the packets that would do most harm.
var kinds = []heartbeat.Kind{
	heartbeat.KindHeartbeat, heartbeat.KindClaim, heartbeat.KindResign, heartbeat.KindLeave, heartbeat.KindRequest, heartbeat.KindRefusal,
}

// of is the last packet of an instance that went over the group.
func (v *victim) of(t *testing.T, i *lab.Instance) lab.Heard {
	t.Helper()
	id := i.MustStatus().Instance.ID
	var last lab.Heard
	lab.Wait(t, "a packet of "+i.Name, soon, func() bool {
		for _, h := range slices.Backward(v.wire.Heard()) {
			if h.Packet.Instance.String() == id {
				last = h
				return true
			}
		}
		return false
	})
	return last
}

// send sends what next makes, n times, and returns how often the kernel took it.
func (v *victim) send(t *testing.T, n int, next func(i int) []byte) (sent int) {
	t.Helper()
	var failed error
	for i := range n {
		if err := v.wire.Conn.Multicast(next(i)); err != nil { // its queue may be full
			failed = err
			continue
		}
		sent++
	}
	if sent < n/2 {
		t.Fatalf("%d of %d packets were sent: %v", sent, n, failed)
	}
	return sent
}

// random are the same bytes in each run.
func random() *rand.Rand {
	const seed = 20261122
	return rand.New(rand.NewPCG(seed, seed))
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func noise(t *testing.T, v *victim) int {
	r := random()
	return v.send(t, volley, func(int) []byte {
		b := make([]byte, 4+r.IntN(1000))
		fill(r, b)
		return b
	})
}

// forged changes one byte of what the master itself said.
func forged(t *testing.T, v *victim) int {
	r, own := random(), v.of(t, v.master).Raw
	const signed = 16 // the header before is looked at first
	return v.send(t, volley, func(int) []byte {
		b := bytes.Clone(own)
		b[signed+r.IntN(len(b)-signed)] ^= 1 << r.IntN(8)
		return b
	})
}

// deadly makes packets that would end the reign if they were believed: the
// master resigns, leaves, is asked to hand over, another reigns or claims.
func (v *victim) deadly(t *testing.T, codec *heartbeat.Codec) func(i int) []byte {
	master, slave := v.of(t, v.master).Packet, v.of(t, v.slave).Packet
	return func(i int) []byte {
		p := master
		p.Kind = kinds[i%len(kinds)]
		p.Seq += 1 << 40
		p.Epoch += 10
		switch p.Kind {
		case heartbeat.KindResign:
			p.State = heartbeat.StateSlave
			p.Resigned = heartbeat.Resignation{Instance: master.Instance, Epoch: p.Epoch, Heir: slave.Instance}
		case heartbeat.KindHeartbeat, heartbeat.KindClaim: // of another, that hears both
			p.Instance = heartbeat.InstanceID{0xff, byte(i)}
			p.Flags |= heartbeat.FlagForced
			p.Heard = []heartbeat.Heard{
				{Instance: master.Instance.Prefix(), Seq: uint32(master.Seq)}, {Instance: slave.Instance.Prefix(), Seq: uint32(slave.Seq)},
			}
		}
		b, err := codec.Seal(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// signedBy sends deadly packets that are signed with a key, or not at all.
func signedBy(key *heartbeat.Key) func(*testing.T, *victim) int {
	return func(t *testing.T, v *victim) int {
		var keys []heartbeat.Key
		if key != nil {
			keys = append(keys, *key)
		}
		return v.send(t, volley, v.deadly(t, codec(t, v.c.Name, keys...)))
	}
}

func otherCluster(t *testing.T, v *victim) int {
	return v.send(t, volley, v.deadly(t, codec(t, "other", ownKey)))
}

func codec(t *testing.T, cluster string, keys ...heartbeat.Key) *heartbeat.Codec {
	t.Helper()
	c, err := heartbeat.NewCodec(cluster, 0, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func truncated(t *testing.T, v *victim) int {
	own := v.of(t, v.master).Raw
	return v.send(t, volley, func(i int) []byte { return own[:16+i%(len(own)-16)] })
}

// oversized appends to a packet until it is as long as a datagram may be, with
// a length field that fits.
func oversized(t *testing.T, v *victim) int {
	own := v.of(t, v.master).Raw
	return v.send(t, volley, func(i int) []byte {
		n := heartbeat.MaxSize + 1 + i*150
		b := append(bytes.Clone(own), make([]byte, n-len(own))...)
		binary.BigEndian.PutUint16(b[6:], uint16(n))
		return b
	})
}

// replayed sends the slave's packets again, byte for byte.
func replayed(t *testing.T, v *victim) int {
	own := v.of(t, v.slave).Raw
	return v.send(t, volley, func(int) []byte { return own })
}

// impossibleEpoch has the key, and builds what no codec would.
func impossibleEpoch(t *testing.T, v *victim) int {
	p := v.of(t, v.slave).Packet
	good := codec(t, v.c.Name, ownKey)
	const epochs = 60 // epoch, asks, and the greatest known, PROTOCOL.md §1
	return v.send(t, volley, func(i int) []byte {
		p.Instance = heartbeat.InstanceID{0xfe, byte(i)}
		b, err := good.Seal(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint64(b[epochs+8*(i%3):], 1<<63+uint64(i))
		return sign(t, v.c.Name, ownKey, b)
	})
}

// sign puts the tag of PROTOCOL.md §1.4 behind a packet that was changed.
func sign(t *testing.T, cluster string, key heartbeat.Key, b []byte) []byte {
	t.Helper()
	salt := binary.BigEndian.AppendUint64([]byte(cluster+"\x00"), 0)
	derived, err := hkdf.Key(sha256.New, key[:], salt, "interlok-ha/1 hb-mac", 33)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, derived[:32])
	mac.Write(b[:len(b)-tagSize])
	copy(b[len(b)-tagSize:], mac.Sum(nil)[:tagSize])
	return b
}

// changeKey gives all the new key in three steps, and leaves the old one in a
// stranger's hand.
func changeKey(t *testing.T, v *victim) {
	for n, keys := range [][]heartbeat.Key{{oldKey, newKey}, {newKey, oldKey}, {newKey}} {
		writeKeys(t, v.keyFile, keys...)
		for _, i := range []*lab.Instance{v.master, v.slave} {
			i.Signal(syscall.SIGHUP)
			i.WaitLog("Reloaded the keys", n+1, soon)
		}
	}
}

// absurdEpoch has the key, and speaks as a slave and a claimer of epochs near
// the end of all epochs.
func absurdEpoch(t *testing.T, v *victim) int {
	good := codec(t, v.c.Name, newKey)
	p := v.of(t, v.slave).Packet
	p.Heard = nil
	for i := range 2 {
		p.Instance, p.Seq = heartbeat.InstanceID{0xfd, byte(i)}, 1
		p.Name, p.State, p.Kind = "poisoner", heartbeat.StateSlave, heartbeat.KindHeartbeat
		p.MaxEpoch = 1<<62 + uint64(i)<<32
		if i == 1 {
			p.State, p.Kind, p.Epoch = heartbeat.StateClaiming, heartbeat.KindClaim, p.MaxEpoch
		}
		b, err := good.Seal(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.wire.Conn.Multicast(b); err != nil {
			t.Fatal(err)
		}
		v.master.WaitStatus("an epoch above it", soon, func(s admin.Status) bool { return s.Instance.Epoch > p.MaxEpoch })
	}
	return 2
}

// invented instances appear by the thousand; without a key nobody can tell.
func invented(t *testing.T, v *victim) int {
	r, plain := random(), codec(t, v.c.Name)
	p := v.of(t, v.slave).Packet
	p.Heard, p.Seq = nil, 1
	return v.send(t, 10*volley, func(int) []byte {
		fill(r, p.Instance[:])
		b, err := plain.Seal(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
