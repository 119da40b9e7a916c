package broadcast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
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
	addr1 = netip.MustParseAddrPort("192.0.2.1:2710")
	addr2 = netip.MustParseAddrPort("192.0.2.2:2711")
	errUp = errors.New("no way")
)

// wire is a Conn in memory. Whatever is in broken fails; the group is the zero
// address.
type wire struct {
	sent   []sent
	broken map[netip.AddrPort]bool
}

type sent struct {
	to   netip.AddrPort
	data string
}

func (w *wire) Multicast(b []byte) error { return w.Unicast(b, netip.AddrPort{}) }

func (w *wire) Unicast(b []byte, to netip.AddrPort) error {
	if w.broken[to] {
		return errUp
	}
	w.sent = append(w.sent, sent{to, string(b)})
	return nil
}

func codec(t testing.TB) *heartbeat.Codec {
	t.Helper()
	c, err := heartbeat.NewCodec("c", 0, heartbeat.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func packet(seq uint64) *heartbeat.Packet {
	return &heartbeat.Packet{
		Kind: heartbeat.KindHeartbeat, State: heartbeat.StateMaster, Instance: heartbeat.InstanceID{1}, Seq: seq,
		Delay: time.Second, Retries: 5, Name: "a", Heard: []heartbeat.Heard{{Seq: 1}},
	}
}

func service(t testing.TB, conn Conn, edit func(*Config)) *Service {
	t.Helper()
	cfg := Config{Conn: conn, Codec: codec(t), Peers: []string{addr1.String(), addr2.String()}}
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stats(s *Service) string {
	var b strings.Builder
	for _, c := range s.Stats() {
		fmt.Fprintf(&b, "%s %d/%d ", c.Path, c.Sent, c.Errors)
	}
	return strings.TrimSpace(b.String())
}

func TestSend(t *testing.T) {
	group := netip.AddrPort{}
	tests := []struct {
		name   string
		peers  []string
		broken []netip.AddrPort
		want   []netip.AddrPort // where it arrived
		err    bool
		stats  string
	}{
		{"group only", []string{}, nil, []netip.AddrPort{group}, false, "multicast 1/0 peers 0/0 direct 0/0"},
		{"group and peers", nil, nil, []netip.AddrPort{group, addr1, addr2}, false, "multicast 1/0 peers 2/0 direct 0/0"},
		{"a peer given twice", []string{addr1.String(), addr1.String()}, nil, []netip.AddrPort{group, addr1}, false, "multicast 1/0 peers 1/0 direct 0/0"},
		{"no multicast", nil, []netip.AddrPort{group}, []netip.AddrPort{addr1, addr2}, false, "multicast 0/1 peers 2/0 direct 0/0"},
		{"one peer left", nil, []netip.AddrPort{group, addr1}, []netip.AddrPort{addr2}, false, "multicast 0/1 peers 1/1 direct 0/0"},
		{"no peer", nil, []netip.AddrPort{addr1, addr2}, []netip.AddrPort{group}, false, "multicast 1/0 peers 0/2 direct 0/0"},
		{"nothing", nil, []netip.AddrPort{group, addr1, addr2}, nil, true, "multicast 0/1 peers 0/2 direct 0/0"},
		{"nothing, group only", []string{}, []netip.AddrPort{group}, nil, true, "multicast 0/1 peers 0/0 direct 0/0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{broken: map[netip.AddrPort]bool{}}
			for _, a := range tt.broken {
				w.broken[a] = true
			}
			s := service(t, w, func(c *Config) {
				if tt.peers != nil {
					c.Peers = tt.peers
				}
			})
			err := s.Send(packet(7))
			if (err != nil) != tt.err || tt.err && !errors.Is(err, errUp) {
				t.Errorf("Send = %v", err)
			}
			if tt.err && strings.Count(err.Error(), errUp.Error()) != len(tt.broken) {
				t.Errorf("%q does not tell of each path", err)
			}
			var got []netip.AddrPort
			for _, x := range w.sent {
				got = append(got, x.to)
				var p heartbeat.Packet
				if err := codec(t).Open([]byte(x.data), &p); err != nil || p.Seq != 7 {
					t.Errorf("to %v: seq %d, %v", x.to, p.Seq, err)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("sent to %v, want %v", got, tt.want)
			}
			if got := stats(s); got != tt.stats {
				t.Errorf("stats %q, want %q", got, tt.stats)
			}
		})
	}
}

func TestSendTo(t *testing.T) {
	w := &wire{broken: map[netip.AddrPort]bool{addr2: true}}
	s := service(t, w, nil)
	if err := s.SendTo(packet(1), addr1); err != nil {
		t.Error(err)
	}
	if err := s.SendTo(packet(2), addr2); !errors.Is(err, errUp) || !strings.Contains(err.Error(), addr2.String()) {
		t.Errorf("SendTo = %v", err)
	}
	if len(w.sent) != 1 || w.sent[0].to != addr1 {
		t.Errorf("sent %v", w.sent)
	}
	if got, want := stats(s), "multicast 0/0 peers 0/0 direct 1/1"; got != want {
		t.Errorf("stats %q, want %q", got, want)
	}
}

func TestImpossiblePacketIsNotSent(t *testing.T) {
	w := &wire{}
	s := service(t, w, nil)
	bad := packet(1)
	bad.Name = "two\nlines"
	if err := s.Send(bad); !errors.Is(err, heartbeat.ErrField) {
		t.Errorf("Send = %v", err)
	}
	if err := s.SendTo(bad, addr1); !errors.Is(err, heartbeat.ErrField) {
		t.Errorf("SendTo = %v", err)
	}
	if len(w.sent) != 0 {
		t.Errorf("sent %v", w.sent)
	}
}

func TestNewRefuses(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.1": "missing port", "host:": "not a number", "host:0": "not a number", "host:65536": "not a number",
		":2710": "no host", "[2001:db8::1]:2710": "other family", "host:http": "not a number",
	} {
		_, err := New(Config{Conn: &wire{}, Codec: codec(t), Peers: []string{"192.0.2.9:1", peer}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), peer) {
			t.Errorf("%s: New = %v, want %q", peer, err, want)
		}
	}
	_, err := New(Config{Peers: []string{"x"}})
	for _, want := range []string{"Conn", "Codec", `"x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %s in it", err, want)
		}
	}
	if _, err := New(Config{Conn: &wire{}, Codec: codec(t), IPv6: true, Peers: []string{"[2001:db8::1]:2710"}}); err != nil {
		t.Error(err)
	}
}

func TestSendDoesNotAllocate(t *testing.T) {
	s := service(t, discard{}, nil)
	p := packet(1)
	if n := testing.AllocsPerRun(100, func() {
		p.Seq++
		if err := errors.Join(s.Send(p), s.SendTo(p, addr1)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type discard struct{}

func (discard) Multicast([]byte) error               { return nil }
func (discard) Unicast([]byte, netip.AddrPort) error { return nil }

func BenchmarkSend(b *testing.B) {
	s := service(b, discard{}, nil)
	p := packet(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Send(p); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPartialFailureIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := service(t, &wire{broken: map[netip.AddrPort]bool{addr1: true}}, func(c *Config) { c.Log = zerolog.New(&out) })
		for range 119 {
			if err := s.Send(packet(1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of the synctest clock
		}
		if n := strings.Count(out.String(), "\n"); n != 2 {
			t.Errorf("%d lines in two minutes:\n%s", n, out.String())
		}
		if !strings.Contains(out.String(), addr1.String()) {
			t.Errorf("%s does not name the peer", out.String())
		}
	})
}

// names is a name server in memory.
type names struct {
	mu    sync.Mutex
	addrs map[string][]netip.Addr
	asked map[string]int
	slow  map[string]bool
}

func (n *names) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	n.asked[host]++
	addrs, slow := n.addrs[host], n.slow[host]
	n.mu.Unlock()
	if slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if len(addrs) == 0 {
		return nil, errors.New("no such host")
	}
	return addrs, nil
}

func (n *names) set(host string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[host] = nil
	for _, a := range addrs {
		n.addrs[host] = append(n.addrs[host], netip.MustParseAddr(a))
	}
}

func (n *names) count(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[host]
}

func resolving(t *testing.T, w Conn, log zerolog.Logger, peers ...string) (*Service, *names) {
	n := &names{addrs: map[string][]netip.Addr{}, asked: map[string]int{}, slow: map[string]bool{}}
	s := service(t, w, func(c *Config) { c.Peers, c.Lookup, c.Log = peers, n.lookup, log })
	return s, n
}

func run(t *testing.T, s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}

func targets(s *Service) string { return fmt.Sprint(s.Targets()) }

func TestNamesAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := resolving(t, &wire{}, zerolog.Logger{}, "b:2711", "192.0.2.1:2710", "c:2712")
		n.set("b", "192.0.2.5", "2001:db8::5", "::ffff:192.0.2.4")
		n.set("c", "192.0.2.6")
		if got := targets(s); got != "[192.0.2.1:2710]" {
			t.Errorf("before Run: %s", got)
		}
		defer run(t, s)()
		synctest.Wait()
		if got, want := targets(s), "[192.0.2.1:2710 192.0.2.4:2711 192.0.2.5:2711 192.0.2.6:2712]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		n.set("b", "192.0.2.7")
		n.set("c") // its name server forgets it: the address stays
		time.Sleep(lookupEvery * 12 / 10)
		synctest.Wait()
		if got, want := targets(s), "[192.0.2.1:2710 192.0.2.6:2712 192.0.2.7:2711]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(10 * time.Minute)
		if got := n.count("b"); got < 18 || got > 24 {
			t.Errorf("asked %d times in 10.6 minutes, want about one per 30 s", got)
		}
		if got := n.count("192.0.2.1"); got != 0 {
			t.Errorf("an address was looked up %d times", got)
		}
	})
}

func TestFailedLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s, n := resolving(t, &wire{}, zerolog.New(&out).Level(zerolog.WarnLevel), "b:2711")
		stop := run(t, s)
		time.Sleep(20 * time.Second)
		// 0, 1, 3, 7, 15 s, each ± 10%.
		if got := n.count("b"); got != 5 {
			t.Errorf("asked %d times in 20 s, want 5", got)
		}
		n.set("b", "192.0.2.5")
		time.Sleep(lookupEvery * 12 / 10)
		synctest.Wait()
		if got, want := targets(s), "[192.0.2.5:2711]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		stop()
		if got := strings.Count(out.String(), "\n"); got != 1 || !strings.Contains(out.String(), "look up peer b") {
			t.Errorf("%d lines for one failure:\n%s", got, out.String())
		}
	})
}

func TestFailedSendLooksAgainButNotAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := netip.MustParseAddrPort("192.0.2.5:2711")
		w := &wire{broken: map[netip.AddrPort]bool{old: true}}
		s, n := resolving(t, w, zerolog.Logger{}, "b:2711")
		n.set("b", "192.0.2.5")
		defer run(t, s)()
		synctest.Wait()
		n.set("b", "192.0.2.6")
		if err := s.Send(packet(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookupPause)
		synctest.Wait()
		if got, want := targets(s), "[192.0.2.6:2711]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		w.broken[netip.MustParseAddrPort("192.0.2.6:2711")] = true
		before := n.count("b")
		for range 1000 {
			if err := s.Send(packet(1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := n.count("b") - before; got < 8 || got > 11 {
			t.Errorf("asked %d times in 10 s of failing sends, want about 1 per second", got)
		}
	})
}

// A name server that does not answer holds up neither Send nor other names.
func TestSlowNameServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		s, n := resolving(t, w, zerolog.Logger{}, "slow:2711", "b:2711")
		n.slow["slow"] = true
		n.set("b", "192.0.2.5")
		stop := run(t, s)
		synctest.Wait()
		start := time.Now()
		if err := s.Send(packet(1)); err != nil || time.Since(start) != 0 {
			t.Errorf("Send = %v after %v", err, time.Since(start))
		}
		if got, want := targets(s), "[192.0.2.5:2711]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		stop()
		if time.Since(start) != 0 {
			t.Errorf("Run took %v to end", time.Since(start))
		}
	})
}

func TestSystemLookup(t *testing.T) {
	got, err := systemLookup(t.Context(), "ip4", "localhost")
	if err != nil || len(got) == 0 || !got[0].Unmap().IsLoopback() {
		t.Errorf("localhost = %v, %v", got, err)
	}
}

// On real sockets: the group hears a packet, and so does a peer that has not
// joined it.
func TestOnLoopback(t *testing.T) {
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	port := freePort(t)
	r := rand.Uint32()
	conn, err := mcast.Open(mcast.Config{
		Group: netip.AddrFrom4([4]byte{239, byte(r >> 16), byte(r >> 8), byte(r)}), Port: port, Interface: loopback(t), TTL: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := service(t, conn, func(c *Config) { c.Peers = []string{peer.LocalAddr().String()} })
	if err := s.Send(packet(7)); err != nil {
		t.Fatal(err)
	}
	if err := s.SendTo(packet(8), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	check := func(where string, b []byte, want uint64) {
		var p heartbeat.Packet
		if err := codec(t).Open(b, &p); err != nil || p.Seq != want {
			t.Errorf("%s: got %d, %v, want %d", where, p.Seq, err, want)
		}
	}
	buf := make([]byte, 2000)
	n, from, err := peer.ReadFromUDPAddrPort(buf)
	if err != nil || from != conn.LocalAddr() {
		t.Errorf("the peer heard from %v, %v, want %v", from, err, conn.LocalAddr())
	}
	check("peer", buf[:n], 7)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type heard struct {
		b         []byte
		multicast bool
	}
	got := make(chan heard, 2)
	ended := make(chan error)
	go func() {
		ended <- conn.Run(ctx, func(b []byte, _ netip.AddrPort, multicast bool) { got <- heard{bytes.Clone(b), multicast} })
	}()
	for range 2 {
		h := <-got
		if h.multicast {
			check("group", h.b, 7)
		} else {
			check("direct", h.b, 8)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got, want := stats(s), "multicast 1/0 peers 1/0 direct 1/0"; got != want {
		t.Errorf("stats %q, want %q", got, want)
	}
}

func freePort(t *testing.T) uint16 {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func loopback(t *testing.T) string {
	ifis, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range ifis {
		if ifi.Flags&net.FlagLoopback != 0 {
			return ifi.Name
		}
	}
	t.Skip("no loopback interface")
	return ""
}
