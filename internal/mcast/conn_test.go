package mcast

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback is a Config on lo with a group and a port that nobody else uses.
func loopback(t *testing.T, v6 bool) Config {
	t.Helper()
	cfg := Config{Interface: os.Getenv(interfaceEnv), TTL: 1, Port: freePort(t)}
	onCard := cfg.Interface != ""
	if !onCard {
		cfg.Interface = loopbackName(t)
	}
	r := rand.Uint32()
	if !v6 {
		cfg.Group = netip.AddrFrom4([4]byte{239, byte(r >> 16), byte(r >> 8), byte(r)})
		return cfg
	}
	cfg.Group = netip.AddrFrom16([16]byte{0xff, 0x02, 12: byte(r >> 24), byte(r >> 16), byte(r >> 8), byte(r)})
	if onCard {
		return cfg
	}
	c, err := net.Dial("udp6", fmt.Sprintf("[ff02::1%%%s]:9", cfg.Interface))
	if err != nil {
		t.Skip("loopback has no IPv6 multicast here; TestOnACard has an interface that has:", err)
	}
	c.Close()
	return cfg
}

// interfaceEnv names the interface to test on instead of lo, see TestOnACard.
const interfaceEnv = "MCAST_TEST_INTERFACE"

func loopbackName(t *testing.T) string {
	t.Helper()
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

func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

type packet struct {
	data      string
	from      netip.AddrPort
	multicast bool
}

// open opens a Conn and runs it until the test ends.
func open(t *testing.T, cfg Config) (*Conn, <-chan packet) {
	t.Helper()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan packet, 1000)
	done := make(chan error)
	go func() {
		done <- c.Run(ctx, func(b []byte, from netip.AddrPort, multicast bool) {
			got <- packet{string(b), from, multicast}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c, got
}

func families(t *testing.T, f func(t *testing.T, cfg Config)) {
	t.Run("IPv4", func(t *testing.T) { f(t, loopback(t, false)) })
	t.Run("IPv6", func(t *testing.T) { f(t, loopback(t, true)) })
}

func TestSeveralInstancesOnOneHost(t *testing.T) {
	families(t, func(t *testing.T, cfg Config) {
		a, gotA := open(t, cfg)
		b, gotB := open(t, cfg)
		c, gotC := open(t, cfg)
		if a.LocalAddr().Port() != cfg.Port {
			t.Errorf("the first instance has port %d, want %d", a.LocalAddr().Port(), cfg.Port)
		}
		if b.LocalAddr().Port() == cfg.Port || b.LocalAddr() == c.LocalAddr() {
			t.Errorf("unicast sockets share an address: %v %v %v", a.LocalAddr(), b.LocalAddr(), c.LocalAddr())
		}
		if err := b.Multicast([]byte("to all")); err != nil {
			t.Fatal(err)
		}
		want := packet{"to all", b.LocalAddr(), true}
		for name, ch := range map[string]<-chan packet{"a": gotA, "b": gotB, "c": gotC} {
			if got := <-ch; got != want {
				t.Errorf("%s got %v, want %v", name, got, want)
			}
		}
		// The source address of a multicast packet is where its sender is reached.
		if err := c.Unicast([]byte("to one"), want.from); err != nil {
			t.Fatal(err)
		}
		if got, want := <-gotB, (packet{"to one", c.LocalAddr(), false}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		// Nobody heard anything twice, or what was meant for another.
		if n := len(gotA) + len(gotB) + len(gotC); n != 0 {
			t.Errorf("%d packets too many", n)
		}
	})
}

// TestNoTTL: a time to live of 0 keeps packets on the machine, and does carry
// them there.
func TestNoTTL(t *testing.T) {
	families(t, func(t *testing.T, cfg Config) {
		cfg.TTL = 0
		a, gotA := open(t, cfg)
		_, gotB := open(t, cfg)
		if err := a.Multicast([]byte("to all")); err != nil {
			t.Fatal(err)
		}
		want := packet{"to all", a.LocalAddr(), true}
		for name, ch := range map[string]<-chan packet{"a": gotA, "b": gotB} {
			if got := <-ch; got != want {
				t.Errorf("%s got %v, want %v", name, got, want)
			}
		}
	})
}

func TestOtherGroupsOfThePortAreNotHeard(t *testing.T) {
	families(t, func(t *testing.T, cfg Config) {
		_, got := open(t, cfg)
		other := cfg
		raw := cfg.Group.AsSlice()
		raw[len(raw)-1] ^= 1
		other.Group, _ = netip.AddrFromSlice(raw)
		x, gotX := open(t, other)
		if err := x.Multicast([]byte("for the other group")); err != nil {
			t.Fatal(err)
		}
		<-gotX // so it was sent, and had we been meant to hear it we would have
		y, _ := open(t, cfg)
		if err := y.Multicast([]byte("ours")); err != nil {
			t.Fatal(err)
		}
		if p := <-got; p.data != "ours" {
			t.Errorf("heard %q of another group", p.data)
		}
	})
}

func TestTooLongIsNotCutToAValidLength(t *testing.T) {
	families(t, func(t *testing.T, cfg Config) {
		a, got := open(t, cfg)
		for _, n := range []int{0, 1, 1000, 1001, 1400, readSize, 9000} {
			if err := a.Multicast(bytes.Repeat([]byte{7}, n)); err != nil {
				t.Fatal(err)
			}
			if p := <-got; len(p.data) != n && (n <= 1400 || len(p.data) <= 1400) {
				t.Errorf("sent %d bytes, got %d", n, len(p.data))
			}
		}
	})
}

// One that leaves the port is heard all the same, and who needs it may have it.
func TestLeavePort(t *testing.T) {
	families(t, func(t *testing.T, cfg Config) {
		leave := cfg
		leave.LeavePort = true
		a, _ := open(t, leave)
		b, got := open(t, cfg)
		if a.LocalAddr().Port() == cfg.Port || b.LocalAddr().Port() != cfg.Port {
			t.Errorf("ports %v and %v, want only the second to have %d", a.LocalAddr(), b.LocalAddr(), cfg.Port)
		}
		if err := a.Multicast([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if p := <-got; p.data != "x" || p.from != a.LocalAddr() {
			t.Errorf("got %+v", p)
		}
	})
}

func TestRequirePort(t *testing.T) {
	cfg := loopback(t, false)
	cfg.RequirePort = true
	open(t, cfg)
	_, err := Open(cfg)
	if err == nil {
		t.Fatal("a second instance got a port that is taken")
	}
	for _, want := range []string{fmt.Sprint(cfg.Port), "choose another failover.port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestRunCanBeRepeated(t *testing.T) {
	c, err := Open(loopback(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		if err := c.Multicast([]byte("x")); err != nil {
			t.Fatal(err)
		}
		heard := false
		if err := c.Run(ctx, func([]byte, netip.AddrPort, bool) { heard = true; cancel() }); err != nil || !heard {
			t.Fatalf("Run = %v, heard %v", err, heard)
		}
		cancel()
	}
}

func TestRunOnClosedSocketsFails(t *testing.T) {
	c, err := Open(loopback(t, false))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Multicast([]byte("x")); err != nil {
		t.Fatal(err)
	}
	err = c.Run(t.Context(), func([]byte, netip.AddrPort, bool) { c.Close() })
	if err == nil {
		t.Error("Run ended without an error although its sockets were closed under it")
	}
	if err := c.Run(t.Context(), nil); err == nil {
		t.Error("Run on closed sockets returned nil")
	}
}

func TestOpenLogsTheInterface(t *testing.T) {
	cfg := loopback(t, false)
	var out bytes.Buffer
	cfg.Log = zerolog.New(&out)
	c, _ := open(t, cfg)
	for _, want := range []string{`"interface":"` + cfg.Interface + `"`, c.LocalAddr().String(), cfg.Group.String()} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("log %s lacks %s", out.String(), want)
		}
	}
	if got := c.Interface(); got.Name != cfg.Interface || got.Addr != c.LocalAddr().Addr() {
		t.Errorf("Interface() = %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := Config{Group: netip.MustParseAddr("239.1.2.3"), Port: 1, TTL: 1, Interface: "lo"}
	tests := []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no group", func(c *Config) { c.Group = netip.Addr{} }, "not a multicast address"},
		{"unicast group", func(c *Config) { c.Group = netip.MustParseAddr("127.0.0.1") }, "127.0.0.1 is not a multicast address"},
		{"no port", func(c *Config) { c.Port = 0 }, "port is 0"},
		{"ttl -1", func(c *Config) { c.TTL = -1 }, "ttl -1"},
		{"ttl 256", func(c *Config) { c.TTL = 256 }, "ttl 256"},
		{"unknown interface", func(c *Config) { c.Interface = "nonesuch0" }, `there is no interface "nonesuch0"; choose one with failover.interface: `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.edit(&cfg)
			_, err := Open(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestSendAndReceiveDoNotAllocate(t *testing.T) {
	families(t, func(t *testing.T, cfg Config) {
		c, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := c.now.Load()
		b := make([]byte, 400)
		if n := testing.AllocsPerRun(100, func() {
			if err := c.Multicast(b); err != nil {
				t.Fatal(err)
			}
			if err := c.Unicast(b, c.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("a send allocates %v times", n)
		}
		oob := make([]byte, oobSize)
		buf := make([]byte, readSize)
		if err := s.group.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(50, func() {
			_, oobn, _, _, err := s.group.ReadMsgUDPAddrPort(buf, oob)
			if err != nil || s.checked && !s.ours(oob[:oobn]) {
				t.Fatalf("read: %v, ours: %v", err, s.ours(oob[:oobn]))
			}
		}); n != 0 {
			t.Errorf("a read allocates %v times", n)
		}
	})
}

func TestOursChecksGroupAndInterface(t *testing.T) {
	c, err := Open(loopback(t, false))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.now.Load()
	if !s.checked {
		t.Skip("this system does not tell the destination of a packet")
	}
	if err := c.Multicast([]byte("x")); err != nil {
		t.Fatal(err)
	}
	oob, buf := make([]byte, oobSize), make([]byte, readSize)
	_, oobn, _, _, err := s.group.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	oob = oob[:oobn]
	if !s.ours(oob) {
		t.Error("a packet to the group on its interface is refused")
	}
	other := *s
	other.to = netip.AddrPortFrom(netip.MustParseAddr("239.255.0.1"), s.to.Port())
	if other.ours(oob) {
		t.Error("a packet to another group is taken")
	}
	other = *s
	other.ifi.Index++
	if other.ours(oob) {
		t.Error("a packet from another interface is taken")
	}
	if s.ours(nil) || s.ours(oob[:len(oob)/2]) {
		t.Error("a packet without a destination is taken")
	}
}

func BenchmarkMulticast(b *testing.B) {
	c, err := Open(Config{Group: netip.MustParseAddr("239.77.1.2"), Port: 47110, TTL: 1, Interface: "lo"})
	if err != nil {
		b.Skip(err)
	}
	defer c.Close()
	data := make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Multicast(data); err != nil {
			b.Fatal(err)
		}
	}
}
