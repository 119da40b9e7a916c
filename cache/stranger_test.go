package cache

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

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
