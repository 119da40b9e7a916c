package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

const gossipLabel = "ilha1.0123456789abcdef"

// gossipPacket is a datagram with a label.
func gossipPacket(label string, body ...byte) []byte {
	b := append([]byte{firstLabel, byte(len(label))}, label...)
	return append(b, body...)
}

func gossipCompounded(parts ...[]byte) []byte {
	b := []byte{gossipCompound, byte(len(parts))}
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	return append(b, bytes.Join(parts, nil)...)
}

func TestCheckDatagram(t *testing.T) {
	with := func(body ...byte) []byte { return gossipPacket(gossipLabel, body...) }
	crc := func(b []byte) []byte { return append([]byte{gossipCRC, 0, 0, 0, 0}, b...) }
	ping := []byte{gossipPing, 0x80}
	bye := append([]byte{gossipUser}, make([]byte, byeSize)...)
	for _, tt := range []struct {
		name         string
		b            []byte
		plain, keyed unwelcome
	}{
		{"empty", nil, refuseMalformed, refuseMalformed},
		{"one byte", []byte{firstLabel}, refuseMalformed, refuseMalformed},
		{"no label", ping, refuseCluster, refuseCluster},
		{"a heartbeat", []byte("ILHA0123"), refuseMalformed, refuseMalformed},
		{"empty label", []byte{firstLabel, 0, gossipPing}, refuseMalformed, refuseMalformed},
		{"label cut", gossipPacket(gossipLabel)[:10], refuseMalformed, refuseMalformed},
		{"nothing after the label", with(), refuseMalformed, refuseMalformed},
		{"other label", gossipPacket("other", ping...), refuseCluster, refuseCluster},
		{"label and more", gossipPacket(gossipLabel+"0", ping...), refuseCluster, refuseCluster},
		{"too long", with(make([]byte, maxDatagram)...), refuseTooLarge, refuseTooLarge},
		{"longest", with(make([]byte, maxDatagram-2-len(gossipLabel))...), refuseNone, refuseNone},
		{"ping", with(ping...), refuseNone, refuseKey},
		{"nack", with(gossipNack), refuseNone, refuseKey},
		{"sealed", with(append([]byte{1}, make([]byte, sealedMin-1)...)...), refuseNone, refuseNone},
		{"sealed, cut", with(append([]byte{1}, make([]byte, sealedMin-2)...)...), refuseNone, refuseKey},
		{"compressed", with(gossipCompressed, 1, 2), refuseGossip, refuseKey},
		{"compressed with CRC", with(crc([]byte{gossipCompressed, 1})...), refuseGossip, refuseKey},
		{"CRC cut", with(gossipCRC, 0, 0, 0), refuseMalformed, refuseKey},
		{"CRC of nothing", with(gossipCRC, 0, 0, 0, 0), refuseMalformed, refuseKey},
		{"CRC twice", with(crc(crc(ping))...), refuseGossip, refuseKey},
		{"compound", with(gossipCompounded(ping, ping)...), refuseNone, refuseKey},
		{"compound with CRC", with(crc(gossipCompounded(ping, ping))...), refuseNone, refuseKey},
		{"compound, compressed inside", with(gossipCompounded(ping, []byte{gossipCompressed, 3})...), refuseGossip, refuseKey},
		{"the same with CRC", with(crc(gossipCompounded(ping, []byte{gossipCompressed, 3}))...), refuseGossip, refuseKey},
		{"compound in a compound", with(gossipCompounded(gossipCompounded(ping))...), refuseGossip, refuseKey},
		{"compound of nothing", with(gossipCompounded(ping, nil)...), refuseMalformed, refuseKey},
		{"compound cut in its lengths", with(gossipCompound, 9, 0), refuseMalformed, refuseKey},
		{"compound cut at once", with(gossipCompound), refuseMalformed, refuseKey},
		{"compound cut in a part", with(gossipCompounded(ping, ping)[:8]...), refuseMalformed, refuseKey},
		{"goodbye", with(bye...), refuseNone, refuseKey},
		{"other message", with(bye[:9]...), refuseGossip, refuseKey},
		{"push/pull", with(gossipPushPull), refuseGossip, refuseKey},
		{"error", with(gossipError), refuseGossip, refuseKey},
		{"encrypted", with(gossipEncrypted), refuseKey, refuseKey},
		{"unknown", with(14), refuseMalformed, refuseKey},
	} {
		if got := checkDatagram(tt.b, gossipLabel, false); got != tt.plain {
			t.Errorf("%s, without key: %v, want %v", tt.name, got, tt.plain)
		}
		if got := checkDatagram(tt.b, gossipLabel, true); got != tt.keyed {
			t.Errorf("%s, with key: %v, want %v", tt.name, got, tt.keyed)
		}
	}
}

// gossipState is the beginning of a push/pull.
func gossipState(nodes uint32, user uint32) []byte {
	b := append([]byte{gossipPushPull, 0x83, 0xa0 | 4}, "Join"...)
	b = append(b, 0xc3, 0xa0|5)
	b = append(b, "Nodes"...)
	b = append(b, 0xce)
	b = binary.BigEndian.AppendUint32(b, nodes)
	b = append(b, 0xa0|12)
	b = append(b, "UserStateLen"...)
	b = append(b, 0xce)
	return binary.BigEndian.AppendUint32(b, user)
}

func TestCheckStream(t *testing.T) {
	with := func(body ...byte) []byte { return gossipPacket(gossipLabel, body...) }
	const more = unwelcome(255) // not all there yet
	for _, tt := range []struct {
		name         string
		b            []byte
		plain, keyed unwelcome
	}{
		{"empty", nil, more, more},
		{"label begun", with()[:5], more, more},
		{"label only", with(), more, more},
		{"no label", gossipState(1, 0), refuseCluster, refuseCluster},
		{"other label", gossipPacket("ilha1.0123456789abcdee", gossipPing), refuseCluster, refuseCluster},
		{"shorter label", gossipPacket("x", gossipPing), refuseCluster, refuseCluster},
		{"not gossip", []byte("GET /"), refuseMalformed, refuseMalformed},
		{"ping", with(gossipPing), refuseNone, refuseKey},
		{"push/pull", with(gossipState(2, digestSize)...), refuseNone, refuseKey},
		{"push/pull begun", with(gossipState(2, digestSize)[:20]...), more, refuseKey},
		{"most nodes", with(gossipState(maxGossipNodes, digestSize)...), refuseNone, refuseKey},
		{"too many nodes", with(gossipState(maxGossipNodes+1, digestSize)...), refuseTooLarge, refuseKey},
		{"a million nodes", with(gossipState(1<<20, 0)...), refuseTooLarge, refuseKey},
		{"4 GiB of state", with(gossipState(1, 1<<32-1)...), refuseTooLarge, refuseKey},
		{"great map", with(gossipPushPull, 0xdf, 0, 0, 0, 3), refuseMalformed, refuseKey},
		{"array", with(gossipPushPull, 0x93, 0xce, 0, 16, 0, 0, 0, 0xc3), refuseMalformed, refuseKey},
		{"float", with(append([]byte{gossipPushPull, 0x81, 0xa5}, "Nodes\xcb\x41\x30\x00\x00\x00\x00\x00\x00"...)...), refuseMalformed, refuseKey},
		{"twice", with(append([]byte{gossipPushPull, 0x82, 0xa5}, "Nodes\x01\xa5Nodes\xce\x00\x10\x00\x00"...)...), refuseTooLarge, refuseKey},
		{"negative", with(append([]byte{gossipPushPull, 0x81, 0xa5}, "Nodes\xd3\xff\xff\xff\xff\xff\xff\xff\xff"...)...), refuseTooLarge, refuseKey},
		{"long name", with(gossipPushPull, 0x81, 0xdb, 0xff, 0xff, 0xff, 0xff), refuseMalformed, refuseKey},
		{"compressed", with(gossipCompressed, 0x82), refuseGossip, refuseKey},
		{"message", with(gossipUser, 0x81), refuseGossip, refuseKey},
		{"answer", with(gossipAck), refuseGossip, refuseKey},
		{"unknown", with(99), refuseMalformed, refuseKey},
		{"encrypted", with(gossipEncrypted, 0, 0, 1, 0), refuseKey, refuseNone},
		{"encrypted begun", with(gossipEncrypted, 0, 0, 1), refuseKey, more},
		{"encrypted, 4 GiB", with(gossipEncrypted, 255, 255, 255, 255), refuseKey, refuseTooLarge},
	} {
		for _, keyed := range []bool{false, true} {
			want := tt.plain
			if keyed {
				want = tt.keyed
			}
			got, most := checkStream(tt.b, gossipLabel, keyed, false)
			if got == refuseNone && most == 0 {
				got = more
			}
			if most > maxGossipStream {
				t.Errorf("%s, keyed %v: up to %d bytes", tt.name, keyed, most)
			}
			if got != want {
				t.Errorf("%s, keyed %v: %v, want %v", tt.name, keyed, got, want)
			}
		}
	}
	for _, tt := range []struct {
		name         string
		b            []byte
		plain, keyed unwelcome
	}{
		{"state", gossipState(1, digestSize), refuseNone, refuseKey},
		{"great state", gossipState(1<<20, digestSize), refuseTooLarge, refuseKey},
		{"answer", []byte{gossipAck}, refuseNone, refuseKey},
		{"error", []byte{gossipError}, refuseNone, refuseNone},
		{"ping", []byte{gossipPing}, refuseGossip, refuseKey},
		{"compressed", []byte{gossipCompressed}, refuseGossip, refuseKey},
	} {
		if got, most := checkStream(tt.b, "", false, true); got != tt.plain || (most > 0) != (got == refuseNone) {
			t.Errorf("reply %s: %v, %v", tt.name, got, most)
		}
		if got, most := checkStream(tt.b, "", true, true); got != tt.keyed || (most > 0) != (got == refuseNone) {
			t.Errorf("reply %s, keyed: %v, %v", tt.name, got, most)
		}
	}
}

func FuzzCheckDatagram(f *testing.F) {
	f.Add(gossipPacket(gossipLabel, gossipCompounded([]byte{gossipPing, 0x80}, []byte{gossipCompressed})...), false)
	f.Add(gossipPacket(gossipLabel, gossipCRC, 0, 0, 0, 0, gossipCompound, 3, 0), true)
	f.Fuzz(func(t *testing.T, b []byte, keyed bool) {
		if why := checkDatagram(b, gossipLabel, keyed); why == refuseNone && !keyed && gossipUnpacks(b[2+len(gossipLabel):], true) {
			t.Error("compressed is let in")
		}
	})
}

// gossipUnpacks reads a datagram as memberlist does, and reports whether it
// comes to something compressed.
func gossipUnpacks(b []byte, outside bool) bool {
	if outside && len(b) >= 5 && b[0] == gossipCRC {
		b = b[5:]
	}
	if len(b) == 0 {
		return false
	}
	if b[0] == gossipCompressed {
		return true
	}
	if b[0] != gossipCompound || len(b) < 2 || len(b) < 2+2*int(b[1]) {
		return false
	}
	rest := b[2+2*int(b[1]):]
	for i := range int(b[1]) {
		n := int(binary.BigEndian.Uint16(b[2+2*i:]))
		if n > len(rest) {
			return false
		}
		if gossipUnpacks(rest[:n], false) {
			return true
		}
		rest = rest[n:]
	}
	return false
}

func FuzzCheckStream(f *testing.F) {
	f.Add(gossipPacket(gossipLabel, gossipState(3, 4)...), false, false)
	f.Add(gossipState(1<<20, 4), false, true)
	f.Add(gossipPacket(gossipLabel, gossipEncrypted, 0, 1, 2, 3), true, false)
	f.Fuzz(func(t *testing.T, b []byte, keyed, reply bool) {
		why, most := checkStream(b, gossipLabel, keyed, reply)
		if most < 0 || most > maxGossipStream {
			t.Fatalf("up to %d bytes", most)
		}
		if why == refuseNone && most == 0 {
			return
		}
		// What is clear stays so, whatever follows; what came before did not
		// say otherwise.
		if again, m := checkStream(append(bytes.Clone(b), 0xff), gossipLabel, keyed, reply); again != why || m != most {
			t.Errorf("%v %v, with one byte more %v %v", why, most, again, m)
		}
		for i := range b {
			if early, m := checkStream(b[:i], gossipLabel, keyed, reply); (early != refuseNone || m > 0) && (early != why || m != most) {
				t.Errorf("%v %v after %d bytes, %v %v after all", early, m, i, why, most)
			}
		}
	})
}

func TestBucket(t *testing.T) {
	begin := time.Unix(1000, 0)
	b := bucket{left: gossipBurst, last: begin}
	take := func(at time.Time, tries int) (got int) {
		for range tries {
			if b.take(at) {
				got++
			}
		}
		return got
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{
		{0, gossipBurst}, {0, 0}, {time.Second, gossipRate}, {1500 * time.Millisecond, gossipRate / 2}, {time.Hour, gossipBurst},
	} {
		if got := take(begin.Add(tt.after), 3*gossipBurst); got != tt.want {
			t.Errorf("after %v: %d, want %d", tt.after, got, tt.want)
		}
	}
}

// gossipRunPort runs a port without gossip.
func gossipRunPort(t *testing.T, l net.Listener, p net.PacketConn) (pt *port, streams <-chan net.Conn, log *gossipLog) {
	t.Helper()
	log = &gossipLog{}
	pt = newPort(l, p, false, &counters{}, zerolog.New(log))
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan net.Conn, 100)
	done := make(chan error, 1)
	go func() { done <- pt.run(ctx, func(c net.Conn) { got <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("port: %v", err)
		}
	})
	return pt, got, log
}

func gossipListen(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	l, p, err := hostNetwork{}.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

func gossipDial(t *testing.T, a netip.AddrPort) net.Conn {
	t.Helper()
	c, err := hostNetwork{}.Dial(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestPortSorts(t *testing.T) {
	gossipLeaks(t)
	l, p := gossipListen(t)
	pt, streams, _ := gossipRunPort(t, l, p)
	for _, first := range []string{"ILH0 and more", "\x16\x03\x01"} {
		c := gossipDial(t, pt.addr)
		if _, err := c.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		s := <-streams
		got := make([]byte, len(first))
		if _, err := io.ReadFull(s, got); err != nil || string(got) != first {
			t.Errorf("a stream reads %q, %v; want %q", got, err, first)
		}
		if _, ok := s.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn); !ok {
			t.Error("the connection below is not there")
		}
		s.Close()
	}
	for _, tt := range []struct {
		first string
		count func() uint64
	}{
		{"GET / HTTP/1.1\r\n", pt.count.RefusedMalformed.Load},
		{"\x0e", pt.count.RefusedMalformed.Load},
		{"\xff", pt.count.RefusedMalformed.Load},
		{"\xf4\x01x\x00", func() uint64 { return 1 }}, // gossip is not there
	} {
		c := gossipDial(t, pt.addr)
		if _, err := c.Write([]byte(tt.first)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%q: read %d, %v; want the end", tt.first, n, err)
		}
		if tt.count() == 0 {
			t.Errorf("%q is not counted", tt.first)
		}
	}
	if got := pt.count.RefusedMalformed.Load(); got != 3 {
		t.Errorf("%d malformed, want 3", got)
	}
}

// Who says nothing is shut out in time, and keeps nobody else out.
func TestPortSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		h := n.host(1)
		l, p, _ := h.Listen(h.addr())
		pt, streams, log := gossipRunPort(t, l, p)
		from := n.host(2)
		var silent []net.Conn
		for range maxUnsorted {
			c, err := from.Dial(t.Context(), h.addr())
			if err != nil {
				t.Fatal(err)
			}
			silent = append(silent, c)
		}
		gossipPass(time.Millisecond)
		c, err := from.Dial(t.Context(), h.addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("one more at the same instant was let in")
		}
		if got := pt.count.RefusedBusy.Load(); got != 1 {
			t.Errorf("RefusedBusy is %d, want 1", got)
		}
		gossipPass(time.Second)
		c, err = from.Dial(t.Context(), h.addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("I")); err != nil {
			t.Errorf("who speaks is kept out by who does not: %v", err)
		}
		talker := <-streams
		gossipPass(2 * headTime)
		go func() { _, _ = c.Write([]byte("L")) }()
		if got, err := io.ReadAll(io.LimitReader(talker, 2)); err != nil || string(got) != "IL" {
			t.Errorf("a stream that pauses reads %q, %v", got, err)
		}
		talker.Close()
		for _, c := range silent {
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a silent one: %v", err)
			}
		}
		if got := pt.count.RefusedBusy.Load(); got != 2 {
			t.Errorf("RefusedBusy is %d with the one that was pushed out, want 2", got)
		}
		if got := pt.count.RefusedSlow.Load(); got != maxUnsorted-1 {
			t.Errorf("RefusedSlow is %d, want %d", got, maxUnsorted-1)
		}
		if w := log.warnings(t); len(w) != 2 {
			t.Errorf("%d lines for 65 refusals of two kinds: %s", len(w), w)
		}
	})
}

// gossipFailing is a listener and packet conn that fails at first.
type gossipFailing struct {
	gossipListener
	mu    sync.Mutex
	fails []error
	tries int
}

func (l *gossipFailing) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.tries++
	if len(l.fails) > 0 {
		err := l.fails[0]
		l.fails = l.fails[1:]
		l.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	l.mu.Unlock()
	return l.gossipListener.Accept()
}

func TestPortAcceptFails(t *testing.T) {
	repeat := func(err error, n int) (list []error) {
		for range n {
			list = append(list, err)
		}
		return list
	}
	for _, tt := range []struct {
		name  string
		fails []error
		ends  bool
	}{
		{"no descriptors for long", repeat(syscall.EMFILE, 1000), false},
		{"aborted", repeat(syscall.ECONNABORTED, 3), false},
		{"broken", repeat(syscall.EINVAL, 1000), true},
		{"closed", []error{net.ErrClosed}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newGossipNet()
				h := n.host(1)
				l, p, _ := h.Listen(h.addr())
				broken := &gossipFailing{gossipListener: l.(gossipListener), fails: tt.fails}
				log := &gossipLog{}
				pt := newPort(broken, p, false, &counters{}, zerolog.New(log))
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				streams := make(chan net.Conn, 1)
				go func() { done <- pt.run(ctx, func(c net.Conn) { streams <- c }) }()
				if tt.ends {
					if err := <-done; err == nil || !errors.Is(err, tt.fails[0]) {
						t.Errorf("run ended with %v", err)
					}
					cancel()
					return
				}
				gossipPass(30 * time.Minute)
				c, err := n.host(2).Dial(ctx, h.addr())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Write([]byte("I")); err != nil {
					t.Fatal(err)
				}
				(<-streams).Close()
				if most := len(tt.fails)/10 + 2; len(log.warnings(t)) > most {
					t.Errorf("%d lines for %d failures", len(log.warnings(t)), len(tt.fails))
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPortEndsWithStreams(t *testing.T) {
	gossipLeaks(t)
	l, p := gossipListen(t)
	pt := newPort(l, p, false, &counters{}, zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- pt.run(ctx, func(c net.Conn) {
			close(in)
			<-out
			c.Close()
		})
	}()
	if _, err := gossipDial(t, pt.addr).Write([]byte("I")); err != nil {
		t.Fatal(err)
	}
	<-in
	silent := gossipDial(t, pt.addr)
	cancel()
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a silent connection got something")
	}
	gossipUntil(t, "the port listens no more", func() bool {
		c, err := net.Dial("tcp", pt.addr.String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-done:
		t.Errorf("run returned %v before its stream had", err)
	case <-time.After(50 * time.Millisecond): // it would have by now
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// At start a stream may come before gossip is there.
func TestPortAwaitsGossip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newGossipNet()
		h := n.host(1)
		l, p, _ := h.Listen(h.addr())
		pt, _, _ := gossipRunPort(t, l, p)
		c, err := n.host(2).Dial(t.Context(), h.addr())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = c.Write(gossipPacket(gossipLabel, gossipPing)) }()
		gossipPass(attachTime / 2)
		tr := newTransport(pt, h, gossipLabel)
		if !pt.attach(tr) || pt.attach(tr) {
			t.Error("attach once, and only once")
		}
		(<-tr.StreamCh()).Close()
		_ = tr.Shutdown()
	})
}

// With the answer of a stream that we opened, too, memberlist gets nothing that
// makes it allocate much.
func TestReplyIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		err          error
		count        func(*counters) uint64
	}{
		{"sound", string(gossipState(2, 40)) + "more", nil, nil},
		{"great", string(gossipState(1<<20, 40)), errHead, func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
		{"compressed", "\x09zip", errHead, func(c *counters) uint64 { return c.RefusedGossip.Load() }},
		{"none", "", io.EOF, nil},
		{"endless", string(gossipState(2, 40)) + strings.Repeat("x", maxGossipState+2*maxGossipNode+headSize), errEndless, func(c *counters) uint64 { return c.RefusedTooLarge.Load() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newGossipNet()
				h := n.host(1)
				l, p, _ := h.Listen(h.addr())
				pt, _, _ := gossipRunPort(t, l, p)
				tr := newTransport(pt, h, gossipLabel)
				other := n.host(2)
				ol, _, _ := other.Listen(other.addr())
				defer ol.Close()
				go func() {
					c, err := ol.Accept()
					if err != nil {
						return
					}
					if tt.answer != "" {
						_, _ = c.Write([]byte(tt.answer))
					}
					c.Close()
				}()
				c, err := tr.DialAddressTimeout(memberlist.Address{Addr: other.addr().String()}, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(c)
				if tt.err == nil && string(got) != tt.answer {
					t.Errorf("read %q", got)
				}
				if want := tt.err; !errors.Is(err, want) && !(want == io.EOF && err == nil) {
					t.Errorf("error %v, want %v", err, want)
				}
				if tt.count != nil && tt.count(pt.count) != 1 {
					t.Errorf("not counted: %+v", pt.count.snapshot())
				}
				if len(got) > maxGossipState+2*maxGossipNode+headSize {
					t.Errorf("read %d bytes", len(got))
				}
				c.Close()
				_ = tr.Shutdown()
			})
		})
	}
}
