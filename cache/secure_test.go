package cache

import (
	"bytes"
	"context"
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
