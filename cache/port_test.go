package cache

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

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
		c := gossipDial(t, pt.addr())
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
		c := gossipDial(t, pt.addr())
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
	if _, err := gossipDial(t, pt.addr()).Write([]byte("I")); err != nil {
		t.Fatal(err)
	}
	<-in
	silent := gossipDial(t, pt.addr())
	cancel()
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a silent connection got something")
	}
	gossipUntil(t, "the port listens no more", func() bool {
		c, err := net.Dial("tcp", pt.addr().String())
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
