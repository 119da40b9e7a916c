package listen

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
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

func id(n int) (id heartbeat.InstanceID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service(t, func(c *Config) { c.Buffer = 10000 })
		good := codec(t, "c", key)
		for i := range 1000 {
			s.handle(seal(t, good, packet(id(i), 1)), addrA, true)
		}
		if got, want := counted(s), fmt.Sprintf("flood=%d", 1000-floodBurst); got != want {
			t.Errorf("at once: counted %q, want %q", got, want)
		}
		time.Sleep(time.Second) // of the synctest clock
		for i := range 100 {
			s.handle(seal(t, good, packet(id(2000+i), 1)), addrA, true)
		}
		if got, want := s.Accepted(), uint64(floodBurst+floodRate); got != want {
			t.Errorf("a second later: %d instances are known, want %d", got, want)
		}
		// Who is known is heard, and so is who comes from elsewhere.
		s.handle(seal(t, good, packet(id(0), 2)), addrA, true)
		from := addrB
		for s.bucketOf(from) == s.bucketOf(addrA) {
			from = netip.AddrPortFrom(from.Addr().Next(), 1)
		}
		s.handle(seal(t, good, packet(peerB, 1)), from, true)
		if got, want := s.Accepted(), uint64(floodBurst+floodRate+2); got != want {
			t.Errorf("%d packets accepted, want %d", got, want)
		}
	})
}

// bucketOf finds the bucket of an address by using it up.
func (s *Service) bucketOf(a netip.AddrPort) int {
	before := append([]bucket(nil), s.floods.buckets...)
	s.floods.admit(a.Addr(), time.Now().Add(time.Hour))
	for i := range before {
		if before[i] != s.floods.buckets[i] {
			copy(s.floods.buckets, before)
			return i
		}
	}
	panic("no bucket changed")
}

func TestSeenForgetsTheLongestSilent(t *testing.T) {
	s := newSeen(3)
	s.put(id(1), 10)
	s.put(id(2), 20)
	s.put(id(3), 30)
	s.put(id(1), 11) // 2 is now the longest silent
	s.put(id(4), 40)
	s.put(id(1), 12)
	s.put(id(5), 50) // and now 3
	want := map[int]uint64{1: 12, 4: 40, 5: 50}
	for n := 1; n <= 5; n++ {
		seq, known := s.last(id(n))
		if seq != want[n] || known != (want[n] != 0) {
			t.Errorf("%d: got %d, %v, want %d", n, seq, known, want[n])
		}
	}
	if len(s.index) != 3 || len(s.entries) != 4 {
		t.Errorf("%d entries, %d in the index", len(s.entries), len(s.index))
	}
}

// The table against a simple model of it.
func TestSeenModel(t *testing.T) {
	const size = 8
	s := newSeen(size)
	var model []int // oldest first
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 10000 {
		n := r.IntN(20)
		s.put(id(n), uint64(i))
		for j, m := range model {
			if m == n {
				model = append(model[:j], model[j+1:]...)
				break
			}
		}
		if model = append(model, n); len(model) > size {
			model = model[1:]
		}
		for n := range 20 {
			_, known := s.last(id(n))
			want := false
			for _, m := range model {
				want = want || m == n
			}
			if known != want {
				t.Fatalf("after %d puts: %d known %v, want %v", i+1, n, known, want)
			}
		}
	}
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

// dropped is one packet for each cause that an outsider or a peer can bring about.
func dropped(t testing.TB) map[Cause][]byte {
	good := codec(t, "c", key)
	forged := seal(t, good, packet(peerA, 5))
	forged[60] ^= 1
	version := bytes.Clone(forged)
	version[4] = 9
	return map[Cause][]byte{
		Short: {1, 2}, Magic: []byte("some other protocol"), Version: version, Length: forged[:100],
		Cluster: seal(t, codec(t, "other", key), packet(peerA, 5)), Unsigned: seal(t, codec(t, "c"), packet(peerA, 5)),
		Key: seal(t, codec(t, "c", heartbeat.Key{2}), packet(peerA, 5)), Forged: forged,
		Own: seal(t, good, packet(self, 5)), Duplicate: seal(t, good, packet(peerB, 1)), Flood: seal(t, good, packet(id(9999), 1)),
	}
}

// flooded is a service that knows peerB and takes nobody else from addrA.
func flooded(t testing.TB) *Service {
	s := service(t, func(c *Config) { c.Log = zerolog.New(&bytes.Buffer{}) })
	good := codec(t, "c", key)
	s.handle(seal(t, good, packet(peerB, 1)), addrB, true)
	for i := range s.floods.buckets {
		s.floods.buckets[i] = bucket{left: -1e9, at: time.Now()}
	}
	return s
}

func TestDroppingDoesNotAllocate(t *testing.T) {
	all := dropped(t)
	s := flooded(t)
	for cause, b := range all {
		s.handle(b, addrA, true) // the first may write a log line
		before := s.counts[cause].Load()
		if n := testing.AllocsPerRun(100, func() {
			s.handle(b, addrA, true)
			s.handle(all[Own], addrA, true) // another name in between
		}); n != 0 {
			t.Errorf("%v: %v allocations", cause, n)
		}
		if s.counts[cause].Load() == before {
			t.Errorf("%v was not counted", cause)
		}
	}
}

func BenchmarkDrop(b *testing.B) {
	for _, cause := range Causes() {
		data, ok := dropped(b)[cause]
		if !ok {
			continue
		}
		b.Run(cause.String(), func(b *testing.B) {
			s := flooded(b)
			b.ReportAllocs()
			for b.Loop() {
				s.handle(data, addrA, true)
			}
		})
	}
}

func BenchmarkAccept(b *testing.B) {
	s := service(b, nil)
	c := codec(b, "c", key)
	p, buf := packet(peerA, 0), make([]byte, 0, heartbeat.MaxSize)
	b.ReportAllocs()
	for b.Loop() {
		p.Seq++
		data, err := c.Seal(buf, p)
		if err != nil {
			b.Fatal(err)
		}
		s.handle(data, addrA, true)
		<-s.Packets()
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Config{Buffer: -1})
	for _, want := range []string{"Conn", "Codec", "Self", "Buffer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %s in it", err, want)
		}
	}
}

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
