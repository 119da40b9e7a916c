package cache

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

var keyA, keyB, keyC = [32]byte{'a'}, [32]byte{'b'}, [32]byte{'c'}

func newTestGuard(t testing.TB, cluster string, keys ...[32]byte) *guard {
	t.Helper()
	g, err := newGuard(cluster, keys)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// connected is both ends of a TCP connection on the loopback interface.
func connected(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// shaken is both ends after their handshake, and what they say of it.
type shaken struct {
	client, server       net.Conn
	clientErr, serverErr error
}

func shakeHands(t testing.TB, client, server *guard) (s shaken) {
	t.Helper()
	c, d := connected(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if s.client, s.clientErr = client.client(context.Background(), c); s.clientErr == nil && !client.keyed() {
			_, s.clientErr = s.client.Write([]byte(streamMagic)) // else nothing comes
		}
	})
	s.server, s.serverErr = server.server(context.Background(), d)
	wg.Wait()
	return s
}

// passes fails the test unless bytes get through one way, whole and in order.
func passes(t testing.TB, from, to net.Conn, size int) {
	t.Helper()
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * 7 >> (i % 3))
	}
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(want)
		sent <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes: read ended with %v, equal: %v", size, err, bytes.Equal(got, want))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestGuards is every pair of keys that two instances can meet with.
func TestGuards(t *testing.T) {
	type keys = [][32]byte
	for _, tt := range []struct {
		name                 string
		client, server       keys
		cluster              string // of the client; empty: the same
		clientErr, serverErr error
	}{
		{"no keys", nil, nil, "", nil, nil},
		{"one key", keys{keyA}, keys{keyA}, "", nil, nil},
		{"another key", keys{keyA}, keys{keyB}, "", errWrongKey, errWrongKey},
		{"another cluster", keys{keyA}, keys{keyA}, "other", errWrongKey, errWrongKey},
		{"key against none", keys{keyA}, nil, "", errHasNoKey, errHasNoKey},
		{"none against key", nil, keys{keyA}, "", nil, errNeedsKey},
		{"rotation, the server is first to accept both", keys{keyA}, keys{keyA, keyB}, "", nil, nil},
		{"rotation, the client is first to accept both", keys{keyA, keyB}, keys{keyA}, "", nil, nil},
		{"rotation, the client is first to use the new one", keys{keyB, keyA}, keys{keyA, keyB}, "", nil, nil},
		{"rotation, the server is first to use the new one", keys{keyA, keyB}, keys{keyB, keyA}, "", nil, nil},
		{"rotation, the client is first to drop the old one", keys{keyB}, keys{keyB, keyA}, "", nil, nil},
		{"rotation, the server is first to drop the old one", keys{keyB, keyA}, keys{keyB}, "", nil, nil},
		{"rotation, a step left out", keys{keyB, keyA}, keys{keyA}, "", errWrongKey, errWrongKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster := "c"
			if tt.cluster != "" {
				cluster = tt.cluster
			}
			a, b := newTestGuard(t, cluster, tt.client...), newTestGuard(t, "c", tt.server...)
			s := shakeHands(t, a, b)
			if !errors.Is(s.clientErr, tt.clientErr) || !errors.Is(s.serverErr, tt.serverErr) {
				t.Fatalf("client: %v, want %v; server: %v, want %v", s.clientErr, tt.clientErr, s.serverErr, tt.serverErr)
			}
			if tt.clientErr != nil || tt.serverErr != nil {
				return
			}
			if len(tt.client) == 0 { // the first bytes come again
				var b [4]byte
				if _, err := io.ReadFull(s.server, b[:]); err != nil || string(b[:]) != streamMagic {
					t.Errorf("first bytes %q, %v", b, err)
				}
			}
			for _, size := range []int{1, 60, 16 << 10, 256 << 10, 3 << 20} {
				passes(t, s.client, s.server, size)
				passes(t, s.server, s.client, size)
			}
			// The end is an end, not a fault.
			if err := s.client.Close(); err != nil {
				t.Error(err)
			}
			if n, err := s.server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the close: %d bytes, %v", n, err)
			}
			s.server.Close()
			if len(a.open)+len(b.open) != 0 {
				t.Errorf("%d and %d closed streams are kept", len(a.open), len(b.open))
			}
		})
	}
}

// TestProof pins the bytes that a key and a binding give (PROTOCOL.md §10).
func TestProof(t *testing.T) {
	list, err := streamKeys("c", [][32]byte{keyA})
	if err != nil {
		t.Fatal(err)
	}
	binding := bytes.Repeat([]byte{7}, bindingSize)
	for _, tt := range []struct{ what, got, want string }{
		{"id", hex.EncodeToString(list[0].id[:]), "52413fba"},
		{"client", hex.EncodeToString(list[0].prove(roleClient, binding)), "58b9c5aac0a9a17946573471bbd7f5ec083106beb9b05821dda8de7d2235bd68"},
		{"server", hex.EncodeToString(list[0].prove(roleServer, binding)), "d28ecb69dc953f789ad37b39ef33f7014ddae4e92059e19954ac6c4267e922cc"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, tt.got, tt.want)
		}
	}
	if got := fmt.Sprintf("%v %+v %s", list[0], list[0], list[0]); bytes.Contains([]byte(got), []byte(hex.EncodeToString(list[0].mac[:4]))) {
		t.Errorf("the key prints as %s", got)
	}
}

// stranger speaks TLS as either end does, but has no key.
func stranger(t testing.TB, conn net.Conn, server bool) *tls.Conn {
	t.Helper()
	cert, err := throwAway()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}
	if server {
		return tls.Server(conn, cfg)
	}
	return tls.Client(conn, cfg)
}

// TestManInTheMiddle passes on every byte between two instances that share a
// key, from one TLS connection to another. Neither believes him.
func TestManInTheMiddle(t *testing.T) {
	g := newTestGuard(t, "c", keyA)
	client, him := connected(t)
	him2, server := connected(t)
	clientErr, serverErr := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := g.client(context.Background(), client)
		clientErr <- err
	}()
	go func() {
		_, err := newTestGuard(t, "c", keyA).server(context.Background(), server)
		serverErr <- err
	}()
	left, right := stranger(t, him, true), stranger(t, him2, false)
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(right, left) })
	wg.Go(func() { io.Copy(left, right) })
	if err := <-serverErr; !errors.Is(err, errWrongKey) {
		t.Errorf("the server says %v", err)
	}
	if err := <-clientErr; !errors.Is(err, errWrongKey) {
		t.Errorf("the client says %v", err)
	}
	him.Close()
	him2.Close()
	wg.Wait()
}

// TestImpostor answers a client's proof without the key.
func TestImpostor(t *testing.T) {
	for name, answer := range map[string]func(proof []byte) []byte{
		"its own proof": func(proof []byte) []byte { return append([]byte{1}, proof[keyIDSize:]...) },
		"zeros":         func([]byte) []byte { return append([]byte{1}, make([]byte, 32)...) },
		"a shorter one": func([]byte) []byte { return []byte{1, 2, 3} },
		"a refusal":     func([]byte) []byte { return []byte{0} },
		"a wrong word":  func(proof []byte) []byte { return append([]byte{2}, proof[keyIDSize:]...) },
	} {
		t.Run(name, func(t *testing.T) {
			client, him := connected(t)
			g := newTestGuard(t, "c", keyA)
			done := make(chan struct{})
			go func() {
				defer close(done)
				s := stranger(t, him, true)
				proof := make([]byte, keyIDSize+32)
				if _, err := io.ReadFull(s, proof); err != nil {
					t.Error(err)
				}
				s.Write(answer(proof))
				s.Close()
			}()
			if _, err := g.client(context.Background(), client); err == nil {
				t.Error("the client believes him")
			}
			<-done
			if n := len(g.open); n != 0 {
				t.Errorf("%d streams are open", n)
			}
		})
	}
}

// TestStranger comes to a server without the key.
func TestStranger(t *testing.T) {
	g := newTestGuard(t, "c", keyA)
	for name, tt := range map[string]struct {
		say  func(conn net.Conn)
		want error
	}{
		"random proof": {func(c net.Conn) { stranger(t, c, false).Write(bytes.Repeat([]byte{9}, 36)) }, errWrongKey},
		"the right id": {func(c net.Conn) {
			stranger(t, c, false).Write(append(g.keys[0].id[:], make([]byte, 32)...))
		}, errWrongKey},
		"garbage":          {func(c net.Conn) { c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, errMalformed},
		"garbage like TLS": {func(c net.Conn) { c.Write(append([]byte{firstTLS}, "ET / HTTP/1.1\r\n\r\n"...)) }, errMalformed},
		"the clear":        {func(c net.Conn) { c.Write([]byte(streamMagic)) }, errNeedsKey},
		"an old TLS": {func(c net.Conn) {
			tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).Handshake()
		}, errMalformed},
		"nothing, and the end": {func(c net.Conn) { c.Close() }, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			him, server := connected(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				tt.say(him)
				io.Copy(io.Discard, him)
			}()
			if _, err := g.server(context.Background(), server); !errors.Is(err, tt.want) {
				t.Errorf("the server says %v, want %v", err, tt.want)
			}
			<-done // so the server has closed
		})
	}
	if n := len(g.open); n != 0 {
		t.Errorf("%d streams are open", n)
	}
	him, server := connected(t)
	him.Write([]byte("GET / HTTP/1.1"))
	if _, err := newTestGuard(t, "c").server(context.Background(), server); !errors.Is(err, errMalformed) {
		t.Errorf("garbage, and no key here: %v", err)
	}
}

// counting counts what would be system calls.
type counting struct {
	net.Conn
	writes int
}

func (c *counting) Write(b []byte) (int, error) {
	c.writes++
	return c.Conn.Write(b)
}

// TestWriteBoth: a header and its body arrive as one, by as few calls as can be.
func TestWriteBoth(t *testing.T) {
	header, body := []byte("header"), bytes.Repeat([]byte("body"), 60<<10)
	for _, tt := range []struct {
		name   string
		keys   [][32]byte
		wrap   func(net.Conn) net.Conn
		writes int // that the wrapper sees
	}{
		{"TCP", nil, nil, 0},
		{"TCP that was looked at", nil, func(c net.Conn) net.Conn { return &peeked{Conn: &headed{Conn: c}} }, 0},
		{"something else", nil, func(c net.Conn) net.Conn { return &counting{Conn: c} }, 2},
		{"with a key", [][32]byte{keyA}, func(c net.Conn) net.Conn { return &counting{Conn: c} }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := connected(t)
			g := newTestGuard(t, "c", tt.keys...)
			raw := client
			if tt.wrap != nil {
				raw = tt.wrap(client)
			}
			in := make(chan net.Conn, 1)
			if g.keyed() {
				go func() {
					c, err := g.server(context.Background(), server)
					if err != nil {
						t.Error(err)
					}
					in <- c
				}()
			} else {
				in <- server
			}
			out, err := g.client(context.Background(), raw)
			if err != nil {
				t.Fatal(err)
			}
			counted, _ := raw.(*counting)
			if counted != nil {
				counted.writes = 0
			}
			sent := make(chan error, 1)
			go func() { sent <- writeBoth(out, header, body) }()
			got := make([]byte, len(header)+len(body))
			if _, err := io.ReadFull(<-in, got); err != nil || string(got) != string(header)+string(body) {
				t.Errorf("what arrives differs, %v", err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			if counted != nil && counted.writes != tt.writes {
				t.Errorf("%d writes, want %d", counted.writes, tt.writes)
			}
		})
	}
}

// TestSecrecy reads along on the wire.
func TestSecrecy(t *testing.T) {
	client, server := connected(t)
	tap := &tap{Conn: client}
	g := newTestGuard(t, "c", keyA)
	var in net.Conn
	done := make(chan error, 1)
	go func() {
		var err error
		in, err = g.server(context.Background(), server)
		done <- err
	}()
	out, err := g.client(context.Background(), tap)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	text := []byte("what nobody else should read")
	go out.Write(text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, text) {
		t.Errorf("got %q, %v", got, err)
	}
	if b := tap.sent(); bytes.Contains(b, text) || len(b) < len(text) {
		t.Errorf("%d bytes on the wire, the text is among them", len(b))
	}
	if st := out.(*secured).Conn.(*tls.Conn).ConnectionState(); st.Version != tls.VersionTLS13 || st.DidResume {
		t.Errorf("TLS %x, resumed: %v", st.Version, st.DidResume)
	}
}

// tap keeps what is written.
type tap struct {
	net.Conn
	mu  sync.Mutex
	all []byte
}

func (c *tap) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.all = append(c.all, b...)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tap) sent() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.all)
}

// TestRotation: streams go on for as long as their key is among the keys.
func TestRotation(t *testing.T) {
	a, b := newTestGuard(t, "c", keyA), newTestGuard(t, "c", keyA)
	set := func(g *guard, keys ...[32]byte) {
		t.Helper()
		if err := g.setKeys(keys); err != nil {
			t.Fatal(err)
		}
	}
	open := func() shaken {
		t.Helper()
		s := shakeHands(t, a, b)
		if err := errors.Join(s.clientErr, s.serverErr); err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := open()
	set(a, keyA, keyB)
	open()
	set(b, keyA, keyB)
	set(a, keyB, keyA)
	fresh := open()
	set(b, keyB, keyA)
	passes(t, old.client, old.server, 1000)
	passes(t, fresh.server, fresh.client, 1000)
	set(a, keyB)
	if _, err := old.client.Write([]byte{1}); err == nil {
		t.Error("a stream lives on whose key was dropped")
	}
	if _, err := old.server.Read(make([]byte, 1)); err == nil {
		t.Error("the other end of a stream whose key was dropped lives on")
	}
	passes(t, fresh.client, fresh.server, 1000)
	set(b, keyB)
	passes(t, fresh.server, fresh.client, 1000)
	open()
	set(a, keyC)
	if s := shakeHands(t, b, a); !errors.Is(s.clientErr, errWrongKey) || !errors.Is(s.serverErr, errWrongKey) {
		t.Errorf("a dropped key: %v, %v", s.clientErr, s.serverErr)
	}
	if len(a.open) != 0 {
		t.Errorf("%d streams with keys that were dropped", len(a.open))
	}
	for _, bad := range []struct {
		g    *guard
		keys [][32]byte
	}{{a, nil}, {newTestGuard(t, "c"), [][32]byte{keyA}}} {
		if err := bad.g.setKeys(bad.keys); err == nil {
			t.Errorf("from %d keys to %d", len(bad.g.keys), len(bad.keys))
		}
	}
}

// TestRotationRace drops the key of streams that are just being opened.
func TestRotationRace(t *testing.T) {
	a, b := newTestGuard(t, "c", keyA), newTestGuard(t, "c", keyA)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			g := []*guard{a, b}[i%2]
			if err := g.setKeys([][32]byte{{byte(i)}, keyA}); err != nil {
				t.Error(err)
			}
			if i%4 > 1 {
				_ = g.setKeys([][32]byte{keyB})
			}
		}
	})
	for range 20 {
		s := shakeHands(t, a, b)
		for _, c := range []net.Conn{s.client, s.server} {
			if c != nil {
				c.Close()
			}
		}
	}
	wg.Wait()
	// A key that goes while its proof is on the way.
	before := a.snapshot()[0]
	_ = a.setKeys([][32]byte{keyC})
	if err := a.admit(&secured{guard: a, key: before}); !errors.Is(err, errWrongKey) {
		t.Errorf("a key that was dropped meanwhile: %v", err)
	}
	_ = b.setKeys([][32]byte{keyC})
	if len(a.open)+len(b.open) != 0 {
		t.Errorf("%d and %d streams left", len(a.open), len(b.open))
	}
}

func obituaryBytes(o Obituary) []byte {
	b := append([]byte(obituaryMagic), o.Instance[:]...)
	b = append(b, o.Secret[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(o.Age))
}

// TestObituaryInstead has a keeper answer a client that wants TLS.
func TestObituaryInstead(t *testing.T) {
	want := Obituary{Instance: InstanceID{1, 2}, Secret: [32]byte{3, 4}, Age: 5 * time.Millisecond}
	all := obituaryBytes(want)
	for _, cut := range []int{0, 1, 4, 59} { // where a segment may end
		client, keeper := connected(t)
		go func() {
			keeper.Write(all[:cut])
			if cut > 0 {
				io.ReadFull(keeper, make([]byte, 1)) // its ClientHello is here
			}
			keeper.Write(all[cut:])
			keeper.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, keeper)
		}()
		_, err := newTestGuard(t, "c", keyA).client(context.Background(), client)
		if o, ok := errors.AsType[*obituaryError](err); !ok || o.Obituary != want {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestReadObituary(t *testing.T) {
	good := obituaryBytes(Obituary{Instance: InstanceID{1}, Age: time.Second})
	if len(good) != obituarySize {
		t.Fatalf("%d bytes", len(good))
	}
	edit := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for _, tt := range []struct {
		b    []byte
		want error
	}{
		{good, nil}, {append(bytes.Clone(good), 1), nil},
		{nil, io.EOF}, {good[:59], io.ErrUnexpectedEOF},
		{edit(3, 'C'), errMalformed}, {edit(52, 0x80), errMalformed},
	} {
		if _, err := readObituary(bytes.NewReader(tt.b)); !errors.Is(err, tt.want) {
			t.Errorf("%x: %v, want %v", tt.b, err, tt.want)
		}
	}
}

// TestSlowHandshake: who says nothing, or stops half-way, is let go in time.
func TestSlowHandshake(t *testing.T) {
	const short, long = 50 * time.Millisecond, time.Hour
	for _, tt := range []struct {
		name         string
		within, hold time.Duration
		server       bool
		say          []byte
		want         error
	}{
		{"a server waits for a client", short, long, true, nil, errSlow},
		{"a server waits for the rest", short, long, true, []byte{firstTLS, 3, 1, 1}, errSlow},
		{"a client holds on", long, short, false, nil, errSlow},
		{"a client waits for the rest", short, long, false, []byte{firstTLS, 3, 3, 1}, errSlow},
		{"a client waits for the rest of an obituary", short, long, false, []byte(obituaryMagic), errSlow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newTestGuard(t, "c", keyA)
			g.within, g.hold = tt.within, tt.hold
			shake := g.client
			if tt.server {
				shake = g.server
			}
			here, there := connected(t)
			if _, err := there.Write(tt.say); err != nil {
				t.Error(err)
			}
			if _, err := shake(t.Context(), here); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if _, err := here.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("it is not closed: %v", err)
			}
			here, _ = connected(t)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := shake(ctx, here); !errors.Is(err, context.Canceled) || errors.Is(err, errSlow) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

// TestDeadlines: a handshake leaves none behind.
func TestDeadlines(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, b := newTestGuard(t, "c", keyA), newTestGuard(t, "c", keyA)
	client, server := connected(t)
	done := make(chan shaken)
	go func() {
		var s shaken
		s.server, s.serverErr = b.server(ctx, server)
		done <- s
	}()
	c, err := a.client(ctx, client)
	s := <-done
	if err := errors.Join(err, s.serverErr); err != nil {
		t.Fatal(err)
	}
	cancel()
	passes(t, c, s.server, 100)
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	var ne net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("a past deadline: %v", err)
	}
}

func BenchmarkStream(b *testing.B) {
	for name, keys := range map[string][][32]byte{"plain": nil, "secured": {keyA}} {
		b.Run(name, func(b *testing.B) {
			s := shakeHands(b, newTestGuard(b, "c", keys...), newTestGuard(b, "c", keys...))
			if err := errors.Join(s.clientErr, s.serverErr); err != nil {
				b.Fatal(err)
			}
			const size = 256 << 10
			read := make(chan struct{})
			go func() {
				defer close(read)
				buf := make([]byte, 512<<10)
				for {
					if _, err := s.client.Read(buf); err != nil {
						return
					}
				}
			}()
			buf := make([]byte, size)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.server.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			s.server.Close()
			<-read
		})
	}
}

func BenchmarkHandshake(b *testing.B) {
	c, d := newTestGuard(b, "c", keyA), newTestGuard(b, "c", keyA)
	b.ReportAllocs()
	for b.Loop() {
		s := shakeHands(b, c, d)
		if err := errors.Join(s.clientErr, s.serverErr); err != nil {
			b.Fatal(err)
		}
		s.client.Close()
		s.server.Close()
	}
}
