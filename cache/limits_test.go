package cache

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// silent is a connection that only closes.
type silent struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSilent() *silent { return &silent{closed: make(chan struct{})} }

func (c *silent) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *silent) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimit(3)
		var conns []*silent
		var turns []*turn
		enter := func(want bool) {
			t.Helper()
			c := newSilent()
			turn, ok := l.enter(c)
			if ok != want {
				t.Fatalf("enter: %v, want %v", ok, want)
			}
			if ok {
				conns, turns = append(conns, c), append(turns, turn)
			}
		}
		for range 3 {
			enter(true)
			time.Sleep(fairTime / 10)
		}
		enter(false) // the oldest is too new
		time.Sleep(fairTime)
		enter(true)
		if !conns[0].isClosed() || conns[1].isClosed() || conns[3].isClosed() {
			t.Error("not the oldest was pushed out")
		}
		if !turns[0].leave() || turns[1].leave() {
			t.Error("leave does not tell who was pushed out")
		}
		if turns[1].leave() { // twice is no more than once
			t.Error("left twice")
		}
		enter(true) // in the place of the one that left
		if conns[2].isClosed() {
			t.Error("pushed out though there was room")
		}
		enter(true)
		if !conns[2].isClosed() || conns[3].isClosed() {
			t.Error("not the oldest was pushed out, after one left")
		}
		for _, turn := range turns {
			turn.leave()
		}
		if len(l.in) != 0 {
			t.Errorf("%d are still in", len(l.in))
		}
	})
}

// TestCrowd is handshakes of which most say nothing: one that has the key gets
// through in between.
func TestCrowd(t *testing.T) {
	g := newTestGuard(t, "c", keyA)
	g.within = time.Hour
	var wg sync.WaitGroup
	var conns []net.Conn
	errs := make(chan error, maxHandshakes)
	for range maxHandshakes {
		him, server := connected(t)
		conns = append(conns, him, server)
		wg.Go(func() {
			_, err := g.server(t.Context(), server)
			errs <- err
		})
	}
	s := shaken{}
	for s.server == nil { // until the oldest has had its time
		if s = shakeHands(t, g, g); s.serverErr != nil && !errors.Is(s.serverErr, errCrowded) {
			t.Fatal(s.serverErr)
		}
	}
	if err := <-errs; !errors.Is(err, errCrowded) {
		t.Errorf("the one pushed out: %v", err)
	}
	passes(t, s.client, s.server, 1000)
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
	if len(g.limit.in) != 0 {
		t.Errorf("%d are still in", len(g.limit.in))
	}
}

func TestDoorman(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		d := newDoorman(zerolog.New(&out))
		lines := func() int {
			n := strings.Count(out.String(), "\n")
			out.Reset()
			return n
		}
		a := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
		known := []error{errWrongKey, errNeedsKey, errHasNoKey, errCluster, errMalformed, errChecksum, errVersion, ErrTooLarge, errSlow, errCrowded, errBusy}
		for range 10 {
			for _, err := range known {
				d.note(a, fmt.Errorf("from somebody: %w", err))
			}
			d.note(a, net.ErrClosed) // broke by itself
		}
		// One of each cause: three are about keys, three are malformed.
		if n := lines(); n != 6 {
			t.Errorf("%d lines for one address, want 6", n)
		}
		var c Counters
		d.fill(&c)
		if want := (Counters{RefusedKey: 30, RefusedCluster: 10, RefusedMalformed: 30, RefusedTooLarge: 10, RefusedSlow: 10, RefusedBusy: 20}); c != want {
			t.Errorf("counted %+v, want %+v", c, want)
		}
		d.note(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 2}, errSlow)
		if n := lines(); n != 0 {
			t.Errorf("%d lines for another port of the same address", n)
		}
		for i := range 1000 {
			d.note(&net.TCPAddr{IP: net.IPv4(198, 18, byte(i>>8), byte(i)), Port: 1}, errSlow)
		}
		if n := lines(); n != maxWarned-6 {
			t.Errorf("%d lines for 1,000 addresses, want %d", n, maxWarned-6)
		}
		time.Sleep(warnEvery)
		d.note(a, errSlow)
		if n := lines(); n != 1 {
			t.Errorf("%d lines in the next minute, want 1", n)
		}
	})
}
