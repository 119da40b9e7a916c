package cachetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

// pipe gives both ends of a stream from a to b.
func pipe(t *testing.T, f *Fabric) (a, b net.Conn) {
	t.Helper()
	l, u, err := f.Host("b").Listen(netip.MustParseAddrPort("0.0.0.0:7000"))
	if err != nil {
		t.Fatal(err)
	}
	u.Close()
	a, err = f.Host("a").Dial(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestConn: a stream behaves as net says.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		f := NewFabric(1)
		l, _, err := f.Host("b").Listen(netip.MustParseAddrPort("10.0.0.1:7000"))
		if err != nil {
			return nil, nil, nil, err
		}
		if c1, err = f.Host("a").Dial(context.Background(), netip.MustParseAddrPort("10.0.0.1:7000")); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, nil
	})
}

func bubble(t *testing.T, body func(t *testing.T, f *Fabric)) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFabric(1)
		f.SetLink(Link{Delay: time.Millisecond})
		f.machine("a")
		f.machine("b")
		body(t, f)
	})
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// receive fails unless that text comes within the time.
func receive(t *testing.T, c net.Conn, text string, within time.Duration) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(within))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func readErr(c net.Conn, within time.Duration) error {
	c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return err
}

func TestLatency(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, b := pipe(t, f)
		start := time.Now()
		send(t, a, "one")
		receive(t, b, "one", time.Minute)
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestBuffer(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		f.SetLink(Link{Delay: time.Millisecond, Buffer: 10})
		a, b := pipe(t, f)
		a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := a.Write(make([]byte, 11))
		wantErr(t, err, os.ErrDeadlineExceeded)
		if n != 10 {
			t.Errorf("%d bytes were taken", n)
		}
		a.SetWriteDeadline(time.Time{})
		go b.Read(make([]byte, 5))
		if _, err := a.Write(make([]byte, 5)); err != nil {
			t.Error(err)
		}
	})
}

// TestCutStream: what is sent during a cut comes after it, or the stream
// breaks, but nobody hears of the cut itself.
func TestCutStream(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		delivered, broke := 0, 0
		for range 40 {
			a, b := pipe(t, f)
			send(t, a, "before")
			time.Sleep(2 * time.Millisecond)
			f.Cut("a", "b")
			send(t, a, "after")
			receive(t, b, "before", time.Second)
			wantErr(t, readErr(b, time.Hour), os.ErrDeadlineExceeded)
			f.Heal("a", "b")
			b.SetReadDeadline(time.Now().Add(time.Second))
			got := make([]byte, 5)
			if _, err := io.ReadFull(b, got); err == nil && string(got) == "after" {
				delivered++
				send(t, b, "x")
				receive(t, a, "x", time.Second)
			} else {
				wantErr(t, err, syscall.ECONNRESET)
				broke++
			}
			a.Close()
			b.Close()
		}
		if delivered == 0 || broke == 0 {
			t.Errorf("%d delivered, %d broke", delivered, broke)
		}
	})
}

func TestCutOneWay(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, b := pipe(t, f)
		f.CutOneWay("a", "b")
		send(t, b, "x")
		receive(t, a, "x", time.Second)
		send(t, a, "y")
		wantErr(t, readErr(b, time.Hour), os.ErrDeadlineExceeded)
		if f.Reachable("a", "b") {
			t.Error("reachable")
		}
	})
}

// TestStall: a stalled host's kernel takes bytes until its buffer is full, and
// no deadline of it ends before it is awake.
func TestStall(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		f.SetLink(Link{Delay: time.Millisecond, Buffer: 10})
		a, b := pipe(t, f)
		f.Stall("b")
		var got error
		var when time.Duration
		start := time.Now()
		go func() {
			got = readErr(b, time.Second)
			when = time.Since(start)
		}()
		a.SetWriteDeadline(time.Now().Add(5 * time.Second))
		n, err := a.Write(make([]byte, 20))
		wantErr(t, err, os.ErrDeadlineExceeded)
		if n != 10 {
			t.Errorf("%d bytes were taken", n)
		}
		f.Wake("b")
		synctest.Wait()
		wantErr(t, got, os.ErrDeadlineExceeded)
		if when < 5*time.Second {
			t.Errorf("the reader returned after %v", when)
		}
		receive(t, b, string(make([]byte, 10)), time.Second)
	})
}

func TestKill(t *testing.T) {
	for _, c := range []struct {
		name   string
		unread bool
		want   error
	}{{"all read", false, io.EOF}, {"unread bytes", true, syscall.ECONNRESET}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *Fabric) {
				a, b := pipe(t, f)
				if c.unread {
					send(t, a, "x")
					time.Sleep(time.Second)
				}
				f.Kill("b")
				wantErr(t, readErr(a, time.Second), c.want)
				_, err := b.Write([]byte("x"))
				wantErr(t, err, net.ErrClosed)
				a.SetDeadline(time.Time{})
				a.Write([]byte("x"))
				time.Sleep(time.Second)
				if _, err = a.Write([]byte("x")); err == nil {
					t.Error("writing to a closed socket still works")
				}
			})
		})
	}
}

// TestKillBehindCut: the end of a process behind a cut is heard after it.
func TestKillBehindCut(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, _ := pipe(t, f)
		f.Cut("a", "b")
		f.Kill("b")
		wantErr(t, readErr(a, time.Hour), os.ErrDeadlineExceeded)
		f.Heal("a", "b")
		if err := readErr(a, time.Second); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v", err)
		}
	})
}

// TestOff: power that is lost is not heard of; what is sent when the host is
// there again is answered with a reset.
func TestOff(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, _ := pipe(t, f)
		f.Off("b")
		send(t, a, "x")
		wantErr(t, readErr(a, time.Hour), os.ErrDeadlineExceeded)
		f.On("b")
		wantErr(t, readErr(a, time.Second), syscall.ECONNRESET)
	})
}

func TestDial(t *testing.T) {
	to := netip.MustParseAddrPort("10.0.0.2:7000")
	for _, c := range []struct {
		name   string
		listen bool
		fault  func(f *Fabric)
		want   error
	}{
		{"it listens", true, func(*Fabric) {}, nil},
		{"it does not listen", false, func(*Fabric) {}, syscall.ECONNREFUSED},
		{"cut", true, func(f *Fabric) { f.Cut("a", "b") }, context.DeadlineExceeded},
		{"cut there", true, func(f *Fabric) { f.CutOneWay("a", "b") }, context.DeadlineExceeded},
		{"cut back", true, func(f *Fabric) { f.CutOneWay("b", "a") }, context.DeadlineExceeded},
		{"off", true, func(f *Fabric) { f.Off("b") }, context.DeadlineExceeded},
		{"stalled", true, func(f *Fabric) { f.Stall("b") }, nil},
		{"killed", true, func(f *Fabric) { f.Kill("b") }, syscall.ECONNREFUSED},
		{"healed", true, func(f *Fabric) {
			f.Cut("a", "b")
			time.AfterFunc(time.Second/2, f.HealAll)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *Fabric) {
				h := f.Host("a")
				if c.listen {
					if _, _, err := f.Host("b").Listen(to); err != nil {
						t.Fatal(err)
					}
				}
				c.fault(f)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				conn, err := h.Dial(ctx, to)
				if c.want == nil && err != nil || c.want != nil && !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if conn != nil {
					conn.Close()
				}
			})
		})
	}
}

func TestBacklog(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		to := netip.MustParseAddrPort("10.0.0.2:7000")
		l, _, err := f.Host("b").Listen(to)
		if err != nil {
			t.Fatal(err)
		}
		h := f.Host("a")
		for range backlog {
			if _, err := h.Dial(t.Context(), to); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			time.Sleep(5 * time.Second)
			l.Accept()
		}()
		start := time.Now()
		if _, err := h.Dial(t.Context(), to); err != nil || time.Since(start) < 5*time.Second {
			t.Errorf("connected after %v, %v", time.Since(start), err)
		}
	})
}

func TestHalfClose(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, b := pipe(t, f)
		send(t, a, "x")
		if err := a.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		receive(t, b, "x", time.Second)
		wantErr(t, readErr(b, time.Second), io.EOF)
		send(t, b, "y")
		receive(t, a, "y", time.Second)
		_, err := a.Write([]byte("z"))
		wantErr(t, err, syscall.EPIPE)
	})
}

func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, b := pipe(t, f)
		f.Reset("a", "b")
		wantErr(t, readErr(a, time.Second), syscall.ECONNRESET)
		wantErr(t, readErr(b, time.Second), syscall.ECONNRESET)
	})
}

func TestCorrupt(t *testing.T) {
	bubble(t, func(t *testing.T, f *Fabric) {
		a, b := pipe(t, f)
		f.Corrupt("a", "b")
		send(t, a, "hello")
		got := make([]byte, 5)
		io.ReadFull(b, got)
		if string(got) == "hello" || !f.Corrupted("a", "b") {
			t.Errorf("got %q", got)
		}
		send(t, a, "hello")
		receive(t, b, "hello", time.Second)
	})
}

func TestDatagrams(t *testing.T) {
	for _, c := range []struct {
		name string
		link Link
		dead bool
		ok   func(got []byte) bool
	}{
		{"all come in order", Link{}, false, func(got []byte) bool {
			return len(got) == 100 && bytes.Equal(got, sorted(got))
		}},
		{"lost", Link{Loss: 0.5}, false, func(got []byte) bool { return len(got) > 20 && len(got) < 80 }},
		{"doubled", Link{Double: 0.5}, false, func(got []byte) bool { return len(got) > 120 && len(got) < 180 }},
		{"reordered", Link{Reorder: 0.5}, false, func(got []byte) bool {
			return len(got) == 100 && !bytes.Equal(got, sorted(got))
		}},
		{"a full buffer", Link{Queue: 10}, false, func(got []byte) bool { return len(got) == 10 }},
		{"nobody there", Link{}, true, func(got []byte) bool { return len(got) == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *Fabric) {
				c.link.Delay = time.Millisecond
				f.SetLink(c.link)
				_, a, err := f.Host("a").Listen(netip.MustParseAddrPort("10.0.0.1:0"))
				if err != nil {
					t.Fatal(err)
				}
				_, b, err := f.Host("b").Listen(netip.MustParseAddrPort("10.0.0.2:0"))
				if err != nil {
					t.Fatal(err)
				}
				to := b.LocalAddr()
				if c.dead {
					b.Close()
					to = &net.UDPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 1}
				}
				for i := range 100 {
					if _, err := a.WriteTo([]byte{byte(i)}, to); err != nil {
						t.Fatal(err)
					}
				}
				var got []byte
				b.SetReadDeadline(time.Now().Add(time.Second))
				for p := make([]byte, 10); ; {
					n, from, err := b.ReadFrom(p)
					if err != nil {
						break
					}
					if from.String() != a.LocalAddr().String() {
						t.Fatalf("from %v", from)
					}
					got = append(got, p[:n]...)
				}
				if !c.ok(got) {
					t.Errorf("%d datagrams: %v", len(got), got)
				}
			})
		})
	}
}

func sorted(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		for j := i; j > 0 && b[j-1] > b[j]; j-- {
			b[j-1], b[j] = b[j], b[j-1]
		}
	}
	return b
}

func TestListen(t *testing.T) {
	f := NewFabric(1)
	a, b := f.Host("a"), f.Host("b")
	if a.Addr() != netip.MustParseAddr("10.0.0.1") || b.Addr() != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("addresses %v and %v", a.Addr(), b.Addr())
	}
	at := netip.MustParseAddrPort("10.0.0.1:7000")
	if _, _, err := a.Listen(at); err != nil {
		t.Fatal(err)
	}
	_, _, err := a.Listen(at)
	wantErr(t, err, syscall.EADDRINUSE)
	_, _, err = b.Listen(at)
	wantErr(t, err, syscall.EADDRNOTAVAIL)
	f.Kill("a")
	_, _, err = a.Listen(at)
	wantErr(t, err, net.ErrClosed)
	if _, _, err := f.Host("a").Listen(at); err != nil {
		t.Error(err)
	}
}
