package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// gossipBeacon is a beacon of the cluster "test" with an address.
func gossipBeacon(t testing.TB, id byte, keys ...byte) (*beacon, *[]netip.AddrPort) {
	t.Helper()
	p := &port{lines: newLimiter(zerolog.Nop())}
	p.now.Store(&bound{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, id}), 7000)})
	var learned []netip.AddrPort
	b := newBeacon(&Config{Cluster: "test", Instance: InstanceID{id}, Beacon: &Beacon{}}, p, &counters{}, func(a netip.AddrPort) { learned = append(learned, a) })
	if err := b.setKeys(gossipKeys(keys...)); err != nil {
		t.Fatal(err)
	}
	return b, &learned
}

func TestBeaconBytes(t *testing.T) {
	b, _ := gossipBeacon(t, 1)
	b.tag = gossipTag
	want := gossipHex(t, `494c4842 01 00 0032 0102030405060708 01000000000000000000000000000000
		00000000000000000000ffff0a000001 1b58`)
	if got := b.append(nil); !bytes.Equal(got, want) {
		t.Errorf("written %x, want %x", got, want)
	}
}

func TestBeaconParse(t *testing.T) {
	plain, _ := gossipBeacon(t, 1)
	signed, _ := gossipBeacon(t, 1, 7)
	p, s := plain.append(nil), signed.append(nil)
	if len(s) != beaconSize+beaconTag {
		t.Fatalf("a signed one has %d bytes", len(s))
	}
	with := func(b []byte, i int, v byte) []byte {
		c := bytes.Clone(b)
		c[i] ^= v
		return c
	}
	longer := func(b []byte) []byte {
		c := append(bytes.Clone(b[:beaconSize]), 1, 2, 3)
		c[7] += 3
		return append(c, b[beaconSize:]...)
	}
	for _, tt := range []struct {
		name string
		b    []byte
		keys []byte
		why  unwelcome
		none bool
	}{
		{"plain", p, nil, refuseNone, false},
		{"plain, more at the end", longer(p), nil, refuseNone, false},
		{"plain where there is a key", p, []byte{7}, refuseKey, false},
		{"signed", s, []byte{7}, refuseNone, false},
		{"signed, two keys", s, []byte{8, 7}, refuseNone, false},
		{"signed with another key", s, []byte{8}, refuseKey, false},
		{"signed where there is no key", s, nil, refuseKey, false},
		{"signature changed", with(s, len(s)-1, 1), []byte{7}, refuseKey, false},
		{"address changed", with(s, 47, 1), []byte{7}, refuseKey, false},
		{"key id taken away", with(s, 5, s[5]), []byte{7}, refuseKey, false},
		{"not signed, longer", longer(s), []byte{7}, refuseKey, false},
		{"other cluster", with(p, 8, 1), nil, refuseCluster, false},
		{"wrong length", append(bytes.Clone(p), 0), nil, refuseMalformed, false},
		{"other version", with(p, 4, 2), nil, refuseNone, true},
		{"heartbeat", with(p, 3, 'A'^'B'), nil, refuseNone, true},
		{"cut", p[:beaconSize-1], nil, refuseNone, true},
		{"empty", nil, nil, refuseNone, true},
	} {
		b, _ := gossipBeacon(t, 2, tt.keys...)
		id, addr, why, err := b.parse(tt.b)
		if why != tt.why || (err != nil) != tt.none {
			t.Errorf("%s: %v, %v", tt.name, why, err)
		}
		if why == refuseNone && err == nil && (id != InstanceID{1} || addr != plain.port.addr()) {
			t.Errorf("%s: %v at %v", tt.name, id, addr)
		}
	}
}

func FuzzBeacon(f *testing.F) {
	plain, _ := gossipBeacon(f, 1)
	signed, _ := gossipBeacon(f, 1, 7)
	f.Add(plain.append(nil))
	f.Add(signed.append(nil))
	f.Fuzz(func(t *testing.T, d []byte) {
		if _, _, why, err := signed.parse(d); err == nil && why == refuseNone && !bytes.Equal(d, signed.append(nil)) {
			t.Errorf("forged: %x", d)
		}
		if _, _, why, err := plain.parse(d); err == nil && why == refuseNone && len(d) < beaconSize {
			t.Errorf("short: %x", d)
		}
	})
}

// gossipGroup is a multicast group in memory.
type gossipGroup struct {
	mu   sync.Mutex
	ends []*gossipGroupEnd
	sent []time.Time
}

type gossipGroupEnd struct {
	group *gossipGroup
	in    chan []byte
}

func (g *gossipGroup) open() (beaconConn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := &gossipGroupEnd{g, make(chan []byte, 10)}
	g.ends = append(g.ends, e)
	return e, nil
}

func (e *gossipGroupEnd) Multicast(b []byte) error {
	e.group.mu.Lock()
	defer e.group.mu.Unlock()
	e.group.sent = append(e.group.sent, time.Now())
	for _, o := range e.group.ends {
		select {
		case o.in <- b:
		default:
		}
	}
	return nil
}

func (e *gossipGroupEnd) Run(ctx context.Context, fn func([]byte, netip.AddrPort, bool)) error {
	for {
		select {
		case b := <-e.in:
			fn(b, netip.AddrPort{}, true)
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *gossipGroupEnd) Close() error { return nil }

func TestBeaconPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := &gossipGroup{}
		b, learned := gossipBeacon(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		fails := 2
		b.open = func() (beaconConn, error) {
			if fails--; fails >= 0 {
				return nil, errors.New("no network")
			}
			return group.open()
		}
		done := make(chan struct{})
		go func() { defer close(done); b.run(ctx) }()
		gossipPass(3*beaconRetry + time.Minute)
		cancel()
		<-done
		if len(group.sent) < 12 || len(group.sent) > 21 {
			t.Errorf("%d sent in a minute and some", len(group.sent))
		}
		if len(group.sent) > 3 && group.sent[2].Sub(group.sent[0]) >= time.Second {
			t.Error("not three in the first second")
		}
		if len(*learned) > 0 {
			t.Errorf("it learned of itself: %v", *learned)
		}
	})
}

func TestBeaconJoins(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		group := &gossipGroup{}
		start := func(id byte, keys ...byte) *gossipNode {
			return gossipStart(t, n.host(id), id, func(c *Config) {
				c.Keys, c.Beacon = gossipKeys(keys...), &Beacon{}
			}, func(x *gossipNode) { x.beacon.open = group.open })
		}
		a, b, c := start(1, 5), start(2, 5), start(3, 6)
		gossipPass(30 * time.Second)
		a.wantSees(2)
		b.wantSees(1)
		c.wantSees()
		if got := c.host.dials(); len(got) > 0 {
			t.Errorf("one without the key dialled %d times", len(got))
		}
		if a.count.RefusedKey.Load() == 0 {
			t.Error("the foreign beacon is not counted")
		}
		for _, x := range []*gossipNode{a, b, c} {
			x.stop()
		}
	})
}

// TestBeaconOnLoopback is the same on real sockets.
func TestBeaconOnLoopback(t *testing.T) {
	gossipLeaks(t)
	lo := ""
	ifis, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range ifis {
		if ifi.Flags&net.FlagLoopback != 0 {
			lo = ifi.Name
		}
	}
	if lo == "" {
		t.Skip("no loopback interface")
	}
	spare, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.Uint32()
	beacon := Beacon{
		Group: netip.AddrFrom4([4]byte{239, byte(r >> 16), byte(r >> 8), byte(r)}), Interface: lo, TTL: 1,
		Port: spare.LocalAddr().(*net.UDPAddr).AddrPort().Port(),
	}
	spare.Close()
	change := func(c *Config) { c.Beacon, c.Keys = &beacon, gossipKeys(3) }
	a := gossipStart(t, hostNetwork{}, 1, change)
	defer a.stop()
	b := gossipStart(t, hostNetwork{}, 2, change)
	defer b.stop()
	gossipUntil(t, "both see each other", func() bool { return len(a.sees()) == 1 && len(b.sees()) == 1 })
	a.wantSees(2)
	b.wantSees(1)
}
