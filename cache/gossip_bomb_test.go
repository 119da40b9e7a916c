package cache

import (
	"bytes"
	"compress/lzw"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

// gossipHeap measures how much the heap grows while do runs, garbage included.
func gossipHeap(do func()) (growth int64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() int64 {
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	runtime.GC()
	before := read()
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			growth = max(growth, read()-before)
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	do()
	close(end)
	wg.Wait()
	return growth
}

// gossipPack is memberlist's compressed message of n zero bytes.
func gossipPack(t *testing.T, n int) []byte {
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

// gossipAlive is an alive message of an instance that nobody started.
func gossipAlive(g *gossip, id InstanceID, incarnation uint32) []byte {
	m := meta{Tag: g.tag, Port: 9, Name: "nobody"}
	mb := m.append(nil)
	b := append([]byte{4, 0x86, 0xab}, "Incarnation\xce"...)
	b = binary.BigEndian.AppendUint32(b, incarnation)
	b = append(append(b, "\xa4Node\xda\x00\x20"...), id.String()...)
	b = append(b, "\xa4Addr\xa4\x7f\x00\x00\x01\xa4Port\x01\xa4Meta\xda\x00"...)
	b = append(append(b, byte(len(mb))), mb...)
	return append(b, "\xa3Vsn\xa6\x01\x05\x02\x01\x01\x01"...)
}

func gossipSuspect(id InstanceID, incarnation uint32) []byte {
	b := append([]byte{3, 0x83, 0xab}, "Incarnation\xce"...)
	b = binary.BigEndian.AppendUint32(b, incarnation)
	b = append(append(b, "\xa4Node\xda\x00\x20"...), id.String()...)
	return append(b, "\xa4From\xa1x"...)
}

const gossipLimit = 32 << 20

// TestGossipBombs floods one of two members that have no key with what makes
// memberlist alone allocate a hundred MiB, and with what anyone can invent.
func TestGossipBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("floods for some seconds")
	}
	gossipLeaks(t)
	a := gossipStart(t, hostNetwork{}, 1, nil)
	defer a.stop()
	b := gossipStart(t, hostNetwork{}, 2, gossipPeers(a.port.addr().String()))
	defer b.stop()
	gossipUntil(t, "both see each other", func() bool { return len(a.sees()) == 1 && len(b.sees()) == 1 })

	u, err := net.Dial("udp", a.port.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	label := func(body []byte) []byte { return gossipPacket(a.label, body...) }
	small, great := gossipPack(t, 600_000), gossipPack(t, 40<<20)
	if len(small) > 1400 || len(great) > 64<<10-100 {
		t.Fatalf("the bombs have %d and %d bytes", len(small), len(great))
	}
	nested := []byte{gossipPing}
	for len(nested) < 1400 {
		nested = gossipCompounded(nested)
	}
	invented := func(i int) (id InstanceID) {
		id[0] = 0xff
		binary.BigEndian.PutUint32(id[1:], uint32(i))
		return id
	}
	victim := invented(1 << 30)
	for _, tt := range []struct {
		name  string
		times int
		count func() uint64 // nil: memberlist refuses it, or lets it in
		send  func(i int) []byte
	}{
		{"random", 2000, a.count.RefusedMalformed.Load, func(int) []byte { return random(1 + rng.IntN(1400)) }},
		{"random behind the label", 2000, a.count.RefusedMalformed.Load, func(int) []byte { return label(random(1 + rng.IntN(1400))) }},
		{"great", 2000, a.count.RefusedTooLarge.Load, func(int) []byte { return random(60_000) }},
		{"compressed", 2000, a.count.RefusedGossip.Load, func(int) []byte { return label(small) }},
		{"compressed, great", 2000, a.count.RefusedTooLarge.Load, func(int) []byte { return label(great) }},
		{"compressed with CRC", 2000, a.count.RefusedGossip.Load, func(int) []byte { return label(append([]byte{gossipCRC, 1, 2, 3, 4}, small...)) }},
		{"compressed in compounds", 2000, a.count.RefusedGossip.Load, func(int) []byte { return label(gossipCompounded([]byte{gossipPing}, small)) }},
		{"compounds in compounds", 2000, a.count.RefusedGossip.Load, func(int) []byte { return label(nested) }},
		{"messages", 2000, a.count.RefusedGossip.Load, func(int) []byte { return label(append([]byte{gossipUser}, random(1000)...)) }},
		{"other label", 2000, a.count.RefusedCluster.Load, func(int) []byte { return gossipPacket("ilha1.ffffffffffffffff", small...) }},
		{"invented members", 6000, nil, func(i int) []byte { return label(gossipAlive(a.gossip, invented(i), 1)) }},
		{"a member suspected and alive", 6000, nil, func(i int) []byte {
			return label(gossipCompounded(gossipAlive(a.gossip, victim, uint32(2*i+1)), gossipSuspect(victim, uint32(2*i+1)),
				gossipAlive(a.gossip, victim, uint32(2*i+2)), gossipSuspect(victim, uint32(2*i+2))))
		}},
	} {
		count := tt.count
		if count == nil {
			count = func() uint64 { return 1 }
		}
		before := count()
		growth := gossipHeap(func() {
			for i := range tt.times {
				_, _ = u.Write(tt.send(i)) // a full buffer loses it
			}
		})
		// What the socket still holds is read after the last write.
		if tt.count != nil {
			gossipUntil(t, tt.name+" is counted", func() bool { return count() > before })
		}
		if growth > gossipLimit {
			t.Errorf("%s: the heap grew by %d KiB", tt.name, growth>>10)
		}
		t.Logf("%s: %d counted, heap +%d KiB", tt.name, count()-before, growth>>10)
	}
	if got := len(a.members()); got < 100 || got > maxMembers {
		t.Errorf("%d members were invented, want some, and at most %d", got, maxMembers)
	}
	if got := len(a.log.warnings(t)); got > 100 {
		t.Errorf("%d lines", got)
	}
}

// TestGossipStreamBombs does the same with streams.
func TestGossipStreamBombs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		keys  []byte
		body  func(t *testing.T) []byte
		count func(*counters) uint64 // nil: memberlist refuses it
	}{
		{"a million members", nil, func(*testing.T) []byte { return gossipState(1<<20, 0) }, func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
		{"20 MiB of state", nil, func(*testing.T) []byte { return gossipState(0, 20<<20) }, func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
		{"compressed", nil, func(t *testing.T) []byte { return gossipPack(t, 40<<20) }, func(c *counters) uint64 { return c.RefusedGossip.Load() }},
		{"message of 20 MiB", nil, func(*testing.T) []byte {
			return append([]byte{gossipUser, 0x81, 0xaa}, "UserMsgLen\xce\x01\x40\x00\x00"...)
		}, func(c *counters) uint64 { return c.RefusedGossip.Load() }},
		{"a name of 4 GiB", nil, func(*testing.T) []byte {
			return append(append(gossipState(1, 0), "\x81\xa4Name\xdb\xff\xff\xff\xff"...), make([]byte, 1<<20)...)
		}, nil},
		{"4 billion versions", nil, func(*testing.T) []byte {
			return append(append(gossipState(1, 0), "\x81\xa3Vsn\xdd\xff\xff\xff\xff"...), make([]byte, 1<<20)...)
		}, nil},
		{"20 MiB encrypted", []byte{1}, func(*testing.T) []byte { return append([]byte{gossipEncrypted, 1, 0x40, 0, 0}, make([]byte, 1<<20)...) },
			func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
		{"encrypted by nobody", []byte{1}, func(*testing.T) []byte { return append([]byte{gossipEncrypted, 0, 0, 1, 0}, make([]byte, 300)...) },
			func(c *counters) uint64 { return c.RefusedKey.Load() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gossipLeaks(t)
			var goodbyes sync.WaitGroup // both at once
			defer goodbyes.Wait()
			a := gossipStart(t, hostNetwork{}, 1, func(c *Config) { c.Keys = gossipKeys(tt.keys...) })
			defer goodbyes.Go(a.stop)
			bomb := gossipPacket(a.label, tt.body(t)...)
			growth := gossipHeap(func() {
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						for range 8 {
							c, err := net.Dial("tcp", a.port.addr().String())
							if err != nil {
								continue
							}
							_ = c.SetDeadline(time.Now().Add(10 * time.Second))
							_, _ = c.Write(bomb)
							_ = c.(*net.TCPConn).CloseWrite()
							for b := make([]byte, 4096); err == nil; {
								_, err = c.Read(b)
							}
							c.Close()
						}
					})
				}
				wg.Wait()
			})
			if growth > gossipLimit {
				t.Errorf("the heap grew by %d KiB", growth>>10)
			}
			if tt.count != nil && tt.count(a.count) == 0 {
				t.Errorf("not counted: %+v", a.count.snapshot())
			}
			if w := a.log.warnings(t); len(w) < 1 || len(w) > 3 {
				t.Errorf("%d lines: %s", len(w), w)
			}
			t.Logf("heap +%d KiB, %+v", growth>>10, a.count.snapshot())
			b := gossipStart(t, hostNetwork{}, 2, func(c *Config) {
				c.Keys, c.Peers = gossipKeys(tt.keys...), []string{a.port.addr().String()}
			})
			defer goodbyes.Go(b.stop)
			gossipUntil(t, "an honest one comes in afterwards", func() bool { return len(a.sees()) == 1 && len(b.sees()) == 1 })
		})
	}
}

// TestGossipSlowStreams: who begins a gossip stream and does not go on takes
// room only for a while.
func TestGossipSlowStreams(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		evil := n.host(9)
		for range 4 * maxGossipStreams {
			c, err := evil.Dial(t.Context(), a.host.addr())
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = c.Write(gossipPacket(a.label, gossipState(1, digestSize)...))
			}()
		}
		b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
		gossipPass(20 * time.Second)
		a.wantSees(2)
		if a.count.RefusedBusy.Load() == 0 {
			t.Error("all were let in")
		}
		a.stop()
		b.stop()
		if got := len(a.port.unsorted.in); got != 0 {
			t.Errorf("%d connections are still being sorted", got)
		}
	})
}
