package listen

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/interlok-ha/interlok-ha/internal/mcast"
)

type broken struct{ err error }

func (b broken) Run(context.Context, func([]byte, netip.AddrPort, bool)) error { return b.err }

func TestRunTellsOfBrokenSockets(t *testing.T) {
	boom := errors.New("boom")
	s := service(t, func(c *Config) { c.Conn = broken{boom} })
	if err := s.Run(t.Context()); !errors.Is(err, boom) {
		t.Errorf("Run = %v", err)
	}
}

// fabric is what the shared test body sends with: in memory, or on lo.
type fabric struct {
	conn      Conn
	multicast func(b []byte)
	unicast   func(b []byte)
	from      netip.AddrPort // of what the two send
}

type datagram struct {
	b         []byte
	multicast bool
}

// memory is a Conn in memory, with a goroutine for each socket as real ones have.
type memory struct{ group, unicast chan datagram }

func (m *memory) Run(ctx context.Context, fn func([]byte, netip.AddrPort, bool)) error {
	done := make(chan struct{})
	read := func(ch chan datagram) {
		for {
			select {
			case <-ctx.Done():
				done <- struct{}{}
				return
			case d := <-ch:
				fn(d.b, addrA, d.multicast)
				clear(d.b) // valid during the call only
			}
		}
	}
	go read(m.group)
	go read(m.unicast)
	<-done
	<-done
	return nil
}

func inMemory(*testing.T) fabric {
	m := &memory{make(chan datagram, 1000), make(chan datagram, 1000)}
	return fabric{m,
		func(b []byte) { m.group <- datagram{bytes.Clone(b), true} },
		func(b []byte) { m.unicast <- datagram{bytes.Clone(b), false} }, addrA}
}

// onLoopback gives the listener real sockets, and another pair to the sender.
func onLoopback(t *testing.T) fabric {
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	free.Close()
	ifis, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	lo := ""
	for _, ifi := range ifis {
		if ifi.Flags&net.FlagLoopback != 0 {
			lo = ifi.Name
		}
	}
	r := rand.Uint32()
	cfg := mcast.Config{Group: netip.AddrFrom4([4]byte{239, byte(r >> 16), byte(r >> 8), byte(r)}), Port: port, Interface: lo, TTL: 1}
	open := func() *mcast.Conn {
		c, err := mcast.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	here, there := open(), open()
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	return fabric{here,
		func(b []byte) { must(there.Multicast(b)) },
		func(b []byte) { must(there.Unicast(b, here.LocalAddr())) }, there.LocalAddr()}
}

// TestListening is one body on both kinds of sockets.
func TestListening(t *testing.T) {
	for name, build := range map[string]func(*testing.T) fabric{"in memory": inMemory, "on loopback": onLoopback} {
		t.Run(name, func(t *testing.T) {
			f := build(t)
			s := service(t, func(c *Config) { c.Conn = f.conn })
			ctx, cancel := context.WithCancel(context.Background())
			ended := start(ctx, s.Run)
			good := codec(t, "c", key)

			f.multicast(seal(t, good, packet(peerA, 1)))
			r := <-s.Packets()
			if r.Packet.Instance != peerA || r.Packet.Seq != 1 || !r.Multicast || r.From != f.from {
				t.Errorf("got %+v of %+v", *r.Packet, r)
			}
			f.unicast(seal(t, good, packet(peerA, 2)))
			if r := <-s.Packets(); r.Packet.Seq != 2 || r.Multicast || r.From != f.from {
				t.Errorf("got %+v of %+v", *r.Packet, r)
			}
			// All of these are dropped; the last packet, by the same socket, shows
			// that they were seen. Each comes once by each socket.
			for _, send := range []func([]byte){f.multicast, f.unicast} {
				send(seal(t, good, packet(self, 1)))
				send(seal(t, good, packet(peerA, 2)))
				send(seal(t, codec(t, "other"), packet(peerA, 9)))
				send(seal(t, codec(t, "c"), packet(peerA, 9)))
				send(append(seal(t, good, packet(peerA, 9)), 0))
				send(bytes.Repeat([]byte("ILHA\x01"), 300))
				send(nil)
			}
			f.multicast(seal(t, good, packet(peerB, 1)))
			f.unicast(seal(t, good, packet(id(1), 1)))
			<-s.Packets()
			<-s.Packets()
			if got, want := counted(s), "short=2 length=4 cluster=2 unsigned=2 own=2 duplicate=2"; got != want {
				t.Errorf("counted %q, want %q", got, want)
			}
			// A packet sent by both ways counts once.
			b := seal(t, good, packet(peerA, 3))
			f.multicast(b)
			f.unicast(b)
			<-s.Packets()
			f.multicast(seal(t, good, packet(peerB, 2)))
			f.unicast(seal(t, good, packet(id(1), 2)))
			<-s.Packets()
			<-s.Packets()
			if n := s.counts[Duplicate].Load(); n != 3 {
				t.Errorf("%d duplicates, want 3", n)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
}

func start(ctx context.Context, run func(context.Context) error) <-chan error {
	ch := make(chan error, 1)
	go func() { ch <- run(ctx) }()
	return ch
}
