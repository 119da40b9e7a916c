package listen

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Conn = (*mcast.Conn)(nil)

var (
	self  = heartbeat.InstanceID{0xaa}
	peerA = heartbeat.InstanceID{1}
	peerB = heartbeat.InstanceID{2}
	addrA = netip.MustParseAddrPort("192.0.2.1:2710")
	addrB = netip.MustParseAddrPort("192.0.2.2:2710")
	key   = heartbeat.Key{1}
)

func codec(t testing.TB, cluster string, keys ...heartbeat.Key) *heartbeat.Codec {
	t.Helper()
	c, err := heartbeat.NewCodec(cluster, 0, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func packet(id heartbeat.InstanceID, seq uint64) *heartbeat.Packet {
	return &heartbeat.Packet{
		Kind: heartbeat.KindHeartbeat, State: heartbeat.StateSlave, Instance: id, Seq: seq,
		Delay: time.Second, Retries: 5, Votes: 1, Name: fmt.Sprintf("node-%x", id[0]),
		Heard: []heartbeat.Heard{{Instance: self.Prefix(), Seq: 7}},
	}
}

func seal(t testing.TB, c *heartbeat.Codec, p *heartbeat.Packet) []byte {
	t.Helper()
	b, err := c.Seal(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// idle is a Conn for tests that call handle themselves.
type idle struct{}

func (idle) Run(ctx context.Context, _ func([]byte, netip.AddrPort, bool)) error {
	<-ctx.Done()
	return nil
}

func service(t testing.TB, edit func(*Config)) *Service {
	t.Helper()
	cfg := Config{Conn: idle{}, Codec: codec(t, "c", key), Self: self}
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counted is the causes that are not 0.
func counted(s *Service) string {
	var b strings.Builder
	for _, c := range s.Stats() {
		if c.N != 0 {
			fmt.Fprintf(&b, "%s=%d ", c.Cause, c.N)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestCauses(t *testing.T) {
	good := codec(t, "c", key)
	edit := func(b []byte, f func([]byte) []byte) []byte { return f(bytes.Clone(b)) }
	ok := seal(t, good, packet(peerA, 5))
	noKind := packet(peerA, 5)
	tests := []struct {
		name string
		edit func(*Config)
		send [][]byte
		want string // causes counted
		got  int    // packets handed on
	}{
		{"accepted", nil, [][]byte{ok}, "", 1},
		{"empty", nil, [][]byte{{}}, "short=1", 0},
		{"short", nil, [][]byte{ok[:10]}, "short=1", 0},
		{"magic", nil, [][]byte{[]byte("some other protocol")}, "magic=1", 0},
		{"version", nil, [][]byte{edit(ok, func(b []byte) []byte { b[4] = 9; return b })}, "version=1", 0},
		{"cut", nil, [][]byte{ok[:len(ok)-1]}, "length=1", 0},
		{"oversize", nil, [][]byte{edit(ok, func(b []byte) []byte {
			b = append(b, make([]byte, heartbeat.MaxSize+1-len(b))...)
			binary.BigEndian.PutUint16(b[6:], uint16(len(b)))
			return b
		})}, "length=1", 0},
		{"cluster", nil, [][]byte{seal(t, codec(t, "other", key), packet(peerA, 5))}, "cluster=1", 0},
		{"unsigned", nil, [][]byte{seal(t, codec(t, "c"), packet(peerA, 5))}, "unsigned=1", 0},
		{"key", nil, [][]byte{seal(t, codec(t, "c", heartbeat.Key{2}), packet(peerA, 5))}, "key=1", 0},
		{"signed, and we have no key", func(c *Config) { c.Codec = codec(t, "c") }, [][]byte{ok}, "key=1", 0},
		{"forged", nil, [][]byte{edit(ok, func(b []byte) []byte { b[60] ^= 1; return b })}, "forged=1", 0},
		{"field", func(c *Config) { c.Codec = codec(t, "c") }, [][]byte{edit(seal(t, codec(t, "c"), noKind), func(b []byte) []byte { b[16] = 0; return b })}, "field=1", 0},
		{"own", nil, [][]byte{seal(t, good, packet(self, 1)), seal(t, good, packet(self, 2))}, "own=2", 0},
		{"the same twice, by two ways", nil, [][]byte{ok, ok}, "duplicate=1", 1},
		{"overtaken", nil, [][]byte{ok, seal(t, good, packet(peerA, 4))}, "duplicate=1", 1},
		{"newer", nil, [][]byte{ok, seal(t, good, packet(peerA, 6))}, "", 2},
		{"two peers, equal numbers", nil, [][]byte{ok, seal(t, good, packet(peerB, 5))}, "", 2},
		{"rule", func(c *Config) {
			c.Drop = func(from netip.AddrPort, p *heartbeat.Packet) bool { return from == addrA && p.Instance == peerA }
		}, [][]byte{ok, seal(t, good, packet(peerB, 5))}, "rule=1", 1},
		{"overflow", func(c *Config) { c.Buffer = 2 }, [][]byte{ok, seal(t, good, packet(peerA, 6)), seal(t, good, packet(peerA, 7)), seal(t, good, packet(peerB, 1))}, "overflow=2", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := service(t, tt.edit)
			for _, b := range tt.send {
				s.handle(b, addrA, true)
			}
			if got := counted(s); got != tt.want {
				t.Errorf("counted %q, want %q", got, tt.want)
			}
			if got := len(s.Packets()); got != tt.got {
				t.Errorf("%d packets handed on, want %d", got, tt.got)
			}
		})
	}
	if len(tests) < int(causes) {
		t.Error("a cause has no test")
	}
}

func TestStatsHaveAFixedOrder(t *testing.T) {
	s := service(t, nil)
	stats := s.Stats()
	for i, c := range Causes() {
		if stats[i].Cause != c.String() || c.String() == "" || c.String() == "unknown" {
			t.Errorf("cause %d is %q in Stats, %q by itself", i, stats[i].Cause, c)
		}
	}
	if len(stats) != len(Causes()) || causes.String() != "unknown" {
		t.Error("causes and names do not fit")
	}
}

// A packet that a rule dropped never came: when the rule goes it counts.
func TestRuleLeavesNoTrace(t *testing.T) {
	cut := true
	s := service(t, func(c *Config) {
		c.Drop = func(netip.AddrPort, *heartbeat.Packet) bool { return cut }
	})
	b := seal(t, codec(t, "c", key), packet(peerA, 5))
	s.handle(b, addrA, true)
	cut = false
	s.handle(b, addrA, true)
	if got := counted(s); got != "rule=1" || len(s.Packets()) != 1 {
		t.Errorf("counted %q, %d handed on", got, len(s.Packets()))
	}
}

// The buffer keeps the newest packets: their reader was asleep.
func TestOverflowDropsTheOldest(t *testing.T) {
	s := service(t, func(c *Config) { c.Buffer = 3 })
	good := codec(t, "c", key)
	for seq := uint64(1); seq <= 10; seq++ {
		s.handle(seal(t, good, packet(peerA, seq)), addrA, true)
	}
	for want := uint64(8); want <= 10; want++ {
		if r := <-s.Packets(); r.Packet.Seq != want {
			t.Errorf("got %d, want %d", r.Packet.Seq, want)
		}
	}
	if got := counted(s); got != "overflow=7" || s.Accepted() != 10 {
		t.Errorf("counted %q, accepted %d", got, s.Accepted())
	}
}

func TestReceivedIsTheReceiversOwn(t *testing.T) {
	s := service(t, nil)
	good := codec(t, "c", key)
	b := seal(t, good, packet(peerA, 1))
	s.handle(b, addrA, false)
	clear(b)
	other := packet(peerB, 9)
	other.Heard[0].Seq = 99
	s.handle(seal(t, good, other), addrB, true)
	first, second := <-s.Packets(), <-s.Packets()
	want := packet(peerA, 1)
	if first.From != addrA || first.Multicast || first.Packet.Name != want.Name || first.Packet.Heard[0] != want.Heard[0] {
		t.Errorf("got %+v of %+v", *first.Packet, first)
	}
	if second.From != addrB || !second.Multicast || second.Packet.Heard[0].Seq != 99 {
		t.Errorf("got %+v of %+v", *second.Packet, second)
	}
}

// standing is a log that says when it is written to, and takes nothing until it
// is told to.
type standing struct{ entered, open chan struct{} }

func (s standing) Write(b []byte) (int, error) {
	close(s.entered)
	<-s.open
	return len(b), nil
}

// While a warning waits for the log, other packets go their way.
func TestWarningWaits(t *testing.T) {
	log := standing{make(chan struct{}), make(chan struct{})}
	s := service(t, func(c *Config) { c.Log = zerolog.New(log) })
	unsigned, good := seal(t, codec(t, "c"), packet(peerA, 5)), seal(t, codec(t, "c", key), packet(peerB, 5))
	var wg sync.WaitGroup
	wg.Go(func() { s.handle(unsigned, addrA, true) })
	<-log.entered
	wg.Go(func() { s.handle(good, addrB, true) })
	select {
	case <-s.Packets():
	case <-time.After(10 * time.Second):
		t.Error("a packet waits for the log")
	}
	close(log.open)
	wg.Wait()
}

func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := service(t, func(c *Config) { c.Log = zerolog.New(&out) })
		lines := func() int { n := strings.Count(out.String(), "\n"); out.Reset(); return n }
		forged := seal(t, codec(t, "c", key), packet(peerA, 5))
		forged[60] ^= 1
		unsigned := seal(t, codec(t, "c"), packet(peerA, 5))
		silent := [][]byte{
			seal(t, codec(t, "other"), packet(peerA, 5)), seal(t, codec(t, "c", key), packet(self, 5)),
			{1, 2, 3}, []byte("some other protocol"),
		}

		s.handle(forged, addrA, true)
		for _, want := range []string{`"level":"warn"`, `"cause":"forged"`, `"from":"192.0.2.1:2710"`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %s", out.String(), want)
			}
		}
		out.Reset()
		for range 100 {
			s.handle(forged, addrA, true)
			for _, b := range silent {
				s.handle(b, addrA, true)
			}
		}
		if n := lines(); n != 0 {
			t.Errorf("%d lines more for a cause and source that was told of", n)
		}
		s.handle(unsigned, addrA, true)
		s.handle(forged, addrB, true)
		if n := lines(); n != 2 {
			t.Errorf("%d lines for a new cause and a new source, want 2", n)
		}
		a := netip.MustParseAddr("198.18.0.0")
		for range 1000 {
			a = a.Next()
			s.handle(forged, netip.AddrPortFrom(a, 1), true)
		}
		if n := lines(); n > maxWarned {
			t.Errorf("%d lines in one minute, however many sources: at most %d", n, maxWarned)
		}
		time.Sleep(warnEvery)
		s.handle(forged, addrA, true)
		if n := lines(); n != 1 {
			t.Errorf("%d lines in the next minute, want 1", n)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Config{Buffer: -1})
	for _, want := range []string{"Conn", "Codec", "Self", "Buffer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %s in it", err, want)
		}
	}
}
