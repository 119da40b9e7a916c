package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// lines is a log that tests can read while it is written.
type lines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// refused is how many lines tell of a refusal.
func (l *lines) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), "Refused")
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// victim is a master that strangers come to.
type victim struct {
	*instance
	log *lines
}

func newVictim(t *testing.T, keys ...[32]byte) *victim {
	t.Helper()
	return newVictimOn(t, nil, keys...)
}

func newVictimOn(t *testing.T, n Network, keys ...[32]byte) *victim {
	t.Helper()
	v := &victim{log: &lines{}}
	v.instance = start(t, "victim", func(cfg *Config) {
		cfg.Network, cfg.Keys, cfg.RingBytes, cfg.Log = n, keys, 1<<20, zerolog.New(v.log)
	})
	v.promote(1)
	v.put("before", "1")
	v.works(t) // so that all that a Cache starts with time is there
	return v
}

// forgets fails the test unless all goroutines of some visits end. What gossip
// does at that moment is fewer than one for each visit.
func forgets(t *testing.T, goroutines, visits int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() >= goroutines+visits; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), goroutines, b[:runtime.Stack(b, true)])
		}
	}
}

// dial opens a connection that ends with the test.
func (v *victim) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", v.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// over waits until the victim has closed a connection.
func over(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("it is not closed")
	}
}

// works shows that puts go on, and that a slave of the cluster gets in step.
func (v *victim) works(t *testing.T) {
	t.Helper()
	v.put("after", "2")
	s := start(t, "friend", func(cfg *Config) { cfg.Keys = v.cfg.Keys })
	s.Follow(v.reign(1), v.Addr())
	same(t, v.instance, s)
	s.stop()
	await(t, "the friend is gone", func() bool {
		return !slices.ContainsFunc(v.Status().Followers, func(f Follower) bool { return f.Name == "friend" })
	})
}

// rest is what a Cache uses while nothing happens.
func rest() (goroutines int, heap uint64) {
	runtime.GC()
	runtime.GC() // what has a finalizer goes at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}

func goodHello(edit func(*hello)) []byte {
	h := hello{mode: modeFollow, cluster: clusterTag("test"), instance: InstanceID{0xee}, name: "stranger", addr: "127.0.0.1:9"}
	if edit != nil {
		edit(&h)
	}
	return append([]byte(streamMagic), frame(frameHello, h.marshal())...)
}

// header is that of a frame of any length, with no body behind it.
func header(kind frameKind, length uint32) []byte {
	b := make([]byte, frameHeader)
	putHeader(b, kind)
	binary.BigEndian.PutUint32(b, length)
	if length < 1<<24 { // a greater one has no room
		b[0] = b[1] ^ b[2] ^ b[3] ^ lengthMark
	}
	return b
}

// until writes the same bytes again and again until the victim has had enough.
func until(c net.Conn, b []byte) {
	for {
		_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// TestHostile: what a stranger can send is refused, counted by its cause, and
// told of in one line. The master works on, and nothing of it stays.
func TestHostile(t *testing.T) {
	t.Parallel()
	secret := [][32]byte{keyA}
	forever := bytes.Repeat([]byte{0}, 64<<10)
	for _, tt := range []struct {
		name  string
		keys  [][32]byte
		come  func(t *testing.T, c net.Conn)
		count func(Counters) uint64
		open  bool // it is not for the victim to close
	}{
		{name: "wrong key", keys: secret, come: func(t *testing.T, c net.Conn) {
			if _, err := newTestGuard(t, "test", keyB).client(t.Context(), c); !errors.Is(err, errWrongKey) {
				t.Error(err)
			}
		}, count: func(n Counters) uint64 { return n.RefusedKey }},
		{name: "wrong cluster, with its key", keys: secret, come: func(t *testing.T, c net.Conn) {
			if _, err := newTestGuard(t, "other", keyA).client(t.Context(), c); !errors.Is(err, errWrongKey) {
				t.Error(err)
			}
		}, count: func(n Counters) uint64 { return n.RefusedKey }},
		{name: "wrong cluster, in the clear", come: func(_ *testing.T, c net.Conn) {
			c.Write(goodHello(func(h *hello) { h.cluster = clusterTag("other") }))
		}, count: func(n Counters) uint64 { return n.RefusedCluster }},
		{name: "in the clear, to one with a key", keys: secret, come: func(_ *testing.T, c net.Conn) {
			c.Write(goodHello(nil))
		}, count: func(n Counters) uint64 { return n.RefusedKey }},
		{name: "with a key, to one without", come: func(t *testing.T, c net.Conn) {
			if _, err := newTestGuard(t, "test", keyA).client(t.Context(), c); !errors.Is(err, errHasNoKey) {
				t.Error(err)
			}
		}, count: func(n Counters) uint64 { return n.RefusedKey }},
		{name: "garbage", come: func(_ *testing.T, c net.Conn) {
			c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "garbage, to one with a key", keys: secret, come: func(_ *testing.T, c net.Conn) {
			c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "garbage that begins as TLS", keys: secret, come: func(_ *testing.T, c net.Conn) {
			until(c, append([]byte{firstTLS, 3, 1, 0x40, 0}, forever...))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "another magic", come: func(_ *testing.T, c net.Conn) {
			c.Write([]byte("ILHA and so on"))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "endless zeros", come: func(_ *testing.T, c net.Conn) {
			c.Write([]byte(streamMagic))
			until(c, forever)
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "a hello of 4 GiB", come: func(_ *testing.T, c net.Conn) {
			c.Write(append([]byte(streamMagic), header(frameHello, math.MaxUint32)...))
			until(c, forever)
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "a hello of 16 MiB", come: func(_ *testing.T, c net.Conn) {
			c.Write(append([]byte(streamMagic), header(frameHello, 1<<24-1)...))
			until(c, forever)
		}, count: func(n Counters) uint64 { return n.RefusedTooLarge }},
		{name: "a hello a little too long", come: func(_ *testing.T, c net.Conn) {
			c.Write(append([]byte(streamMagic), header(frameHello, maxHello+1)...))
		}, count: func(n Counters) uint64 { return n.RefusedTooLarge }},
		{name: "a hello that never ends", come: func(_ *testing.T, c net.Conn) {
			c.Write(append([]byte(streamMagic), header(frameHello, maxHello)...))
			for range 8 {
				c.Write(make([]byte, 1<<10))
			}
		}, count: func(n Counters) uint64 { return n.RefusedSlow }},
		{name: "an ack of 16 MiB", come: func(_ *testing.T, c net.Conn) {
			c.Write(append(goodHello(nil), header(frameAck, 1<<24-1)...))
			until(c, forever)
		}, count: func(n Counters) uint64 { return n.RefusedTooLarge }},
		{name: "an ack cut short", come: func(_ *testing.T, c net.Conn) {
			c.Write(append(goodHello(nil), frame(frameAck, []byte{1})...))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "a damaged ack", come: func(_ *testing.T, c net.Conn) {
			b := frame(frameAck, make([]byte, 16))
			b[len(b)-1] = 1
			c.Write(append(goodHello(nil), b...))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "records from a slave", come: func(_ *testing.T, c net.Conn) {
			c.Write(append(goodHello(nil), frame(frameLive, make([]byte, liveHeader))...))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "orphans that are none", come: func(_ *testing.T, c net.Conn) {
			c.Write(append(goodHello(nil), frame(frameOrphans, bytes.Repeat([]byte{0xff}, 100))...))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "a history out of order", come: func(_ *testing.T, c net.Conn) {
			c.Write(goodHello(func(h *hello) {
				for i := range uint64(255) {
					h.history = append(h.history, span{Reign{Epoch: i}, 1000 - i})
				}
			}))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "a hello cut short", come: func(_ *testing.T, c net.Conn) {
			var h hello
			b := h.marshal()
			c.Write(append([]byte(streamMagic), frame(frameHello, b[:len(b)-3])...))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
		{name: "no such wish", come: func(_ *testing.T, c net.Conn) {
			c.Write(goodHello(func(h *hello) { h.mode = 77 }))
		}, count: func(n Counters) uint64 { return n.RefusedMalformed }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVictim(t, tt.keys...)
			goroutines, heap := rest()
			const visits = 5
			var conns []net.Conn
			for range visits {
				c := v.dial(t)
				tt.come(t, c)
				conns = append(conns, c)
			}
			for _, c := range conns {
				over(t, c)
				c.Close()
			}
			await(t, "each visit is counted", func() bool { return tt.count(v.Status().Counters) == visits })
			if n := v.log.refused(); n != 1 {
				t.Errorf("%d lines for %d visits: %s", n, visits, v.log)
			}
			v.works(t)
			forgets(t, goroutines, visits)
			if _, now := rest(); now > heap+32<<20 {
				t.Errorf("the heap grew by %d KiB", (now-heap)>>10)
			}
		})
	}
}

// TestAbsurdHello: a slave may say that it holds what nobody wrote. It is
// served, and nobody believes it.
func TestAbsurdHello(t *testing.T) {
	for name, edit := range map[string]func(*hello){
		"a log of 2^64 records": func(h *hello) {
			h.last = math.MaxUint64
			h.history = []span{{Reign{Epoch: math.MaxUint64, Instance: InstanceID{1}}, math.MaxUint64}}
		},
		"a history as long as can be": func(h *hello) {
			h.last = 1 << 40
			for i := range uint64(255) {
				h.history = append(h.history, span{Reign{Epoch: i, Instance: InstanceID{byte(i)}}, i << 50})
			}
		},
		"the same reign 255 times": func(h *hello) {
			h.last = math.MaxUint64
			for range 255 {
				h.history = append(h.history, span{Reign{Epoch: 1}, 0})
			}
		},
		"our reign from 2^64-1": func(h *hello) { h.last = 5 },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t)
			c := v.dial(t)
			c.Write(goodHello(func(h *hello) {
				edit(h)
				if name == "our reign from 2^64-1" {
					h.history = []span{{v.reign(1), math.MaxUint64}}
				}
			}))
			// It acknowledges what there is not.
			for _, n := range []uint64{math.MaxUint64, 1 << 40} {
				c.Write(frame(frameAck, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n), math.MaxUint64)))
			}
			await(t, "it is served", func() bool { return len(v.Status().Followers) == 1 })
			go io.Copy(io.Discard, c)
			if f := v.Status().Followers; len(f) == 1 && (f[0].InStep || f[0].Acked > v.Pos().N) {
				t.Errorf("it is believed: %+v", f[0])
			}
			v.works(t)
		})
	}
}

// TestSlowReader follows as a slave does and reads nothing. Puts go on, and it
// is dropped.
func TestSlowReader(t *testing.T) {
	for name, keys := range map[string][][32]byte{"in the clear": nil, "with a key": {keyA}} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, keys...)
			goroutines, heap := rest()
			raw := v.dial(t)
			_ = raw.(*net.TCPConn).SetReadBuffer(4 << 10)
			c, err := newTestGuard(t, "test", keys...).client(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(goodHello(nil)); err != nil {
				t.Fatal(err)
			}
			await(t, "it is served", func() bool { return len(v.Status().Followers) == 1 })
			value := make([]byte, 16<<10)
			const puts = 4000 // 64 MiB: more than the kernel's buffers and the ring hold
			ack := frame(frameAck, make([]byte, 16))
			for i := range puts {
				if i%100 == 0 {
					_, _ = c.Write(ack) // so that it is not for its silence that it is dropped
				}
				if err := v.named().Put(t.Context(), fmt.Sprint("k", i%100), value); err != nil {
					t.Fatal(err)
				}
			}
			if _, now := rest(); now > heap+32<<20 {
				t.Errorf("the heap grew by %d KiB while it reads nothing", (now-heap)>>10)
			}
			for end := time.Now().Add(2 * writeTime); len(v.Status().Followers) > 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it is never dropped")
				}
			}
			await(t, "it is counted", func() bool { n := v.Status().Counters; return n.RefusedSlow == 1 || n.Cuts == 1 })
			c.Close()
			v.works(t)
			forgets(t, goroutines, 5)
		})
	}
}

// A slave that takes everything and never says a word is dropped, and counted.
func TestSilentSlave(t *testing.T) {
	v := newVictimOn(t, hasty{})
	c := v.dial(t)
	c.Write(goodHello(nil))
	go io.Copy(io.Discard, c)
	await(t, "it is served", func() bool { return len(v.Status().Followers) == 1 })
	await(t, "it is counted", func() bool { return v.Status().Counters.RefusedSlow == 1 })
}

// TestNeverGoes asks for what the master has, as a barrier does, and then says
// no more. It must not keep its place for ever.
func TestNeverGoes(t *testing.T) {
	v := newVictimOn(t, hasty{})
	c := v.dial(t)
	c.Write(goodHello(func(h *hello) { h.mode, h.reign = modePull, Reign{2, h.instance} }))
	over(t, c)
	await(t, "it is counted", func() bool { return v.Status().Counters.RefusedSlow == 1 })
}

// TestSlowLoris is 1,000 connections that begin and say no more, while one of
// the cluster wants in.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		keys  [][32]byte
		begin []byte
	}{
		"nothing":               {nil, nil},
		"half a magic":          {nil, []byte(streamMagic[:2])},
		"a magic":               {nil, []byte(streamMagic)},
		"nothing, with a key":   {[][32]byte{keyA}, nil},
		"half a ClientHello":    {[][32]byte{keyA}, []byte{firstTLS, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}},
		"half a hello":          {nil, goodHello(nil)[:50]},
		"the clear, with a key": {[][32]byte{keyA}, []byte(streamMagic)},
	} {
		t.Run(name, func(t *testing.T) {
			const many = 1000
			v := newVictimOn(t, hasty{}, tt.keys...)
			goroutines, heap := rest()
			var conns []net.Conn
			peak := 0
			for range many {
				c, err := net.Dial("tcp", v.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, c)
				c.Write(tt.begin)
				peak = max(peak, runtime.NumGoroutine())
			}
			if n := peak - goroutines; n > 400 {
				t.Errorf("%d goroutines for %d strangers", n, many)
			}
			v.works(t)
			for _, c := range conns {
				over(t, c)
				c.Close()
			}
			// The friend may have been turned away too, and have come again.
			await(t, "each is counted", func() bool {
				n := v.Status().Counters
				return n.RefusedSlow+n.RefusedBusy+n.RefusedKey >= many
			})
			if n := v.log.refused(); n > 4 {
				t.Errorf("%d lines: %s", n, v.log)
			}
			forgets(t, goroutines, 5)
			if _, now := rest(); now > heap+32<<20 {
				t.Errorf("the heap grew by %d KiB", (now-heap)>>10)
			}
		})
	}
}
