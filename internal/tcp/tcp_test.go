package tcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const size = 70

// soon bounds what happens at once, on a machine that is busy.
const soon = 10 * time.Second

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

func msg(first byte) []byte { return bytes.Repeat([]byte{first}, size) }

// running is an open Conn that receives.
type running struct {
	*Conn
	got chan string // what each connection said
}

func open(t *testing.T, edit func(*Config)) *running {
	t.Helper()
	cfg := Config{Listen: anyPort, Size: size}
	if edit != nil {
		edit(&cfg)
	}
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{c, make(chan string, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(ctx, func(b []byte, from netip.AddrPort, multicast bool) {
			if multicast || !from.Addr().IsLoopback() {
				t.Errorf("from %v, multicast %v", from, multicast)
			}
			r.got <- string(b)
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(soon):
			t.Error("Run does not end")
		}
	})
	return r
}

func (r *running) addr() string { return r.LocalAddr().String() }

func (r *running) next(t *testing.T) string {
	t.Helper()
	select {
	case b := <-r.got:
		return b
	case <-time.After(soon):
		t.Fatal("nothing came")
		return ""
	}
}

func TestToEveryPeer(t *testing.T) {
	a, b := open(t, nil), open(t, nil)
	c := open(t, func(cfg *Config) { cfg.Peers = []string{a.addr(), b.addr()} })
	for i := range 3 {
		if err := c.Multicast(msg(byte(i))); err != nil {
			t.Fatal(err)
		}
		for _, to := range []*running{a, b} {
			if got := to.next(t); got != string(msg(byte(i))) {
				t.Errorf("ping %d: got % x", i, got)
			}
		}
	}
}

// What a peer says that is no ping is handed on, so that it is counted; one
// that is silent is closed in a second.
func TestBadPeers(t *testing.T) {
	r := open(t, nil)
	for _, tt := range []struct {
		name, says string
		close      bool
		want       int // bytes handed on
	}{
		{"a ping", string(msg(1)), true, size},
		{"a ping, not closed", string(msg(2)), false, size},
		{"nothing, closed", "", true, 0},
		{"nothing, not closed", "", false, 0},
		{"short", string(msg(3)[:size-1]), true, size - 1},
		{"short, not closed", string(msg(4)[:1]), false, 1},
		{"long", string(msg(5)) + "x", true, size + 1},
		{"very long", strings.Repeat("x", 10000), true, size + 1},
	} {
		conn, err := net.Dial("tcp", r.addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, tt.says)
		if tt.close {
			_ = conn.Close()
		}
		if got := r.next(t); len(got) != tt.want || !strings.HasPrefix(tt.says, got) {
			t.Errorf("%s: %d bytes handed on, want %d", tt.name, len(got), tt.want)
		}
		if !tt.close { // it was closed by the other side
			_ = conn.SetReadDeadline(time.Now().Add(soon))
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: the connection is open yet", tt.name)
			}
			_ = conn.Close()
		}
	}
}

// Silent peers delay nobody, and too many push the oldest out.
func TestSilentPeersDelayNobody(t *testing.T) {
	r := open(t, nil)
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			_ = c.Close()
		}
	}()
	for range maxOpen + 20 {
		conn, err := net.Dial("tcp", r.addr())
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	peer := open(t, func(cfg *Config) { cfg.Peers = []string{r.addr()} })
	if err := peer.Multicast(msg(7)); err != nil {
		t.Fatal(err)
	}
	for r.next(t) != string(msg(7)) { // silent ones that were closed say ""
	}
	if n := r.Stats().Pushed; n < 1 || n > 21 {
		t.Errorf("%d were pushed out, want 1 to 21", n)
	}
}

// stuck is a dialler for which some addresses never answer.
func stuck(dead ...string) (dial func(context.Context, string, string) (net.Conn, error), dials *atomic.Int32) {
	dials = new(atomic.Int32)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if slices.Contains(dead, addr) {
			dials.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}, dials
}

// Dead peers delay neither the caller nor the living, at any place in the list,
// and there is one attempt at a time for each.
func TestDeadPeersDelayNobody(t *testing.T) {
	a := open(t, nil)
	dial, dials := stuck("192.0.2.1:1", "192.0.2.2:1")
	c := open(t, func(cfg *Config) {
		cfg.Peers = []string{"192.0.2.1:1", a.addr(), "192.0.2.2:1"}
		cfg.Timeout, cfg.Dial = time.Minute, dial
	})
	for i := range 20 {
		if err := c.Multicast(msg(byte(i))); err != nil {
			t.Fatal(err)
		}
		if got := a.next(t); got != string(msg(byte(i))) {
			t.Fatalf("ping %d: got % x", i, got)
		}
	}
	if n := dials.Load(); n != 2 {
		t.Errorf("%d attempts to reach the dead, want 2", n)
	}
}

// A ping that could not leave in its time is not sent later: a newer one is.
func TestOldPingsAreDropped(t *testing.T) {
	a := open(t, nil)
	held, hold := make(chan struct{}), make(chan struct{})
	first := true
	c := open(t, func(cfg *Config) {
		cfg.Peers = []string{a.addr()}
		cfg.Timeout = time.Minute
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if first { // one goroutine at a time
				first = false
				close(held)
				<-hold
				return nil, errors.New("refused")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	for i := range 5 {
		if err := c.Multicast(msg(byte(i))); err != nil {
			t.Fatal(err)
		}
		<-held
	}
	close(hold)
	if got := a.next(t); got != string(msg(4)) {
		t.Errorf("got % x, want the last", got)
	}
	// One whose time is over is not sent even if the dial succeeds.
	if err := c.carry(&ping{b: msg(9), until: now() - 1}, a.addr()); !errors.Is(err, errLate) {
		t.Errorf("got %v", err)
	}
	late := &ping{b: msg(9), until: now() + time.Minute}
	c.cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		late.until = now() // as if it had been frozen
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if err := c.carry(late, a.addr()); !errors.Is(err, errLate) {
		t.Errorf("got %v", err)
	}
	if got := a.next(t); got != "" {
		t.Errorf("got % x over a connection that was late", got)
	}
	c.sending.Wait() // what was read may not be counted yet
	if s := c.Stats(); s.Sent != 1 || s.Unsent != 1 {
		t.Errorf("counted %+v", s)
	}
}

func id(n int) [16]byte { return [16]byte{byte(n >> 8), byte(n)} }

func TestLearn(t *testing.T) {
	c := open(t, func(cfg *Config) { cfg.Peers, cfg.Self = []string{"h:1", "me:9"}, "me:9" }).Conn
	peers := func(want ...string) {
		t.Helper()
		if got := c.Peers(); !slices.Equal(got, want) {
			t.Errorf("peers %q, want %q", got, want)
		}
	}
	peers("h:1") // not itself
	c.Learn(id(1), "h:1")
	c.Learn(id(2), "me:9")
	c.Learn(id(3), "x:0") // a peer that listens nowhere
	c.Learn(id(4), ":5")
	c.Learn(id(5), "no address")
	peers("h:1")
	c.Learn(id(6), "a:1")
	c.Learn(id(6), "a:1")
	peers("h:1", "a:1")
	c.Learn(id(7), "a:1") // started again, with another id
	peers("h:1", "a:1")
	c.Forget(id(6))
	peers("h:1", "a:1")
	c.Learn(id(7), "b:1") // moved
	peers("h:1", "b:1")
	c.Forget(id(7))
	c.Forget(id(7))
	peers("h:1")
	// Who came first is pinged on, whatever else is made up; who came later moves in.
	for i := range 2 * maxKnown {
		c.Learn(id(100+i), fmt.Sprintf("p%d:1", i))
	}
	at := func(i int) string { return fmt.Sprintf("p%d:1", i) }
	got := c.Peers()
	if len(got) != 1+maxLearned || got[1] != at(0) || got[maxLearned] != at(maxLearned-1) {
		t.Errorf("%d peers from %q to %q, want the first %d", len(got), got[1], got[len(got)-1], maxLearned)
	}
	if len(c.learned) != maxKnown || len(c.order) != maxKnown {
		t.Errorf("%d and %d are remembered, want %d", len(c.learned), len(c.order), maxKnown)
	}
	c.Forget(id(100))
	got = c.Peers()
	if len(got) != 1+maxLearned || got[1] != at(1) || got[maxLearned] != at(maxLearned) {
		t.Errorf("%d peers from %q to %q, want one more at the end", len(got), got[1], got[len(got)-1])
	}
}

func TestClosed(t *testing.T) {
	c, err := Open(Config{Listen: anyPort, Size: size, Peers: []string{"192.0.2.1:1"}, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Multicast(msg(1)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil { // ends the dial
		t.Error(err)
	}
	if err := c.Multicast(msg(1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Unicast(msg(1), anyPort); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Run(context.Background(), nil); err == nil {
		t.Error("Run after Close: no error")
	}
}

// The last ping leaves although Run ends at once; a dead peer holds the end up,
// but not for long.
func TestLastPing(t *testing.T) {
	a := open(t, nil)
	dial, _ := stuck("192.0.2.1:1")
	c, err := Open(Config{Listen: anyPort, Size: size, Peers: []string{"192.0.2.1:1", a.addr()}, Timeout: time.Minute, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Multicast(msg(8)); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx, nil); err != nil {
		t.Error(err)
	}
	if got := a.next(t); got != string(msg(8)) {
		t.Errorf("got % x", got)
	}
}

func TestUnicast(t *testing.T) {
	a, c := open(t, nil), open(t, nil)
	if err := c.Unicast(msg(3), a.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if got := a.next(t); got != string(msg(3)) {
		t.Errorf("got % x", got)
	}
}

func TestConfigFaults(t *testing.T) {
	for _, cfg := range []Config{
		{Size: size},
		{Listen: anyPort},
		{Listen: anyPort, Size: size, Timeout: -1},
		{Listen: anyPort, Size: size, Peers: []string{"a"}},
	} {
		if c, err := Open(cfg); err == nil {
			_ = c.Close()
			t.Errorf("%+v: no error", cfg)
		}
	}
	r := open(t, nil)
	if c, err := Open(Config{Listen: r.LocalAddr(), Size: size}); err == nil {
		_ = c.Close()
		t.Error("a port in use: no error")
	}
}

// A peer that is lost is told of once.
func TestWarnsOnce(t *testing.T) {
	var out bytes.Buffer // one goroutine at a time writes
	done := make(chan struct{}, 10)
	c := open(t, func(cfg *Config) {
		cfg.Peers = []string{"192.0.2.1:1"}
		cfg.Log = zerolog.New(&out)
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			done <- struct{}{}
			return nil, errors.New("refused")
		}
	})
	for range 3 {
		if err := c.Multicast(msg(1)); err != nil {
			t.Fatal(err)
		}
		<-done
		c.sending.Wait()
	}
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), `"peer":"192.0.2.1:1"`) {
		t.Errorf("logged %d lines:\n%s", n, out.String())
	}
}
