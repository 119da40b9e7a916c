package mcast

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

func TestRest(t *testing.T) {
	const every = 50 * time.Millisecond
	at := time.Now()
	const size = 700
	r := rest{every: every, most: 50 * (size + perPacket)}
	wanted := false
	run := func(packets int, gap time.Duration) (rests int) {
		for range packets {
			at = at.Add(gap)
			if wanted {
				r.wanted.Add(1)
			}
			if r.due(at, size) {
				r.held = 0
				rests++
			}
		}
		return rests
	}
	if n := run(1000, every/10); n != 0 {
		t.Errorf("%d rests for what a stranger sends", n)
	}
	wanted = true
	if n := run(1000, every); n != 0 {
		t.Errorf("%d rests where each would be for one packet", n)
	}
	if n := run(100, every/10); n != 0 {
		t.Errorf("%d rests before the rate was known", n)
	}
	if n := run(1000, every/10); n < 800 {
		t.Errorf("%d rests after 1000 packets, ten in the time of one", n)
	}
	if n := run(1000, every); n > 2*overRests {
		t.Errorf("%d rests after all was quiet again", n)
	}
	if n := run(1000, every/10); n < 800 {
		t.Errorf("%d rests when it began again", n)
	}
	at = at.Add(time.Hour)
	if n := run(1, 0); n != 0 {
		t.Error("a rest after an hour of silence")
	}
	r.every = 0
	if n := run(1000, time.Microsecond); n != 0 {
		t.Errorf("%d rests that nobody asked for", n)
	}
}

// A flood is no reason for a rest: it would fill the buffer, and push out what
// the others say. Long packets fill it soonest.
func TestNoRestInAFlood(t *testing.T) {
	const every = 50 * time.Millisecond
	for _, flood := range []struct {
		size int
		gap  time.Duration
	}{{60, 10 * time.Microsecond}, {700, 100 * time.Microsecond}, {readSize, every / 10}} {
		at := time.Now()
		r := rest{every: every, most: 200_000}
		ended := at // of the last rest
		run := func(size int, gap, during time.Duration) (rests int) {
			for end := at.Add(during); at.Before(end); {
				at = at.Add(gap)
				r.wanted.Add(1)
				if r.due(at, size) && at.Sub(ended) >= every { // what gathered was read
					r.held, ended = 0, at
					rests++
				}
			}
			return rests
		}
		if n := run(700, every/10, 4*overRests*every); n < 2*overRests {
			t.Errorf("%d rests before the flood", n)
		}
		if n := run(flood.size, flood.gap, 10*overRests*every); n > 1 {
			t.Errorf("%d rests in a flood of %d bytes each %v, want the one that it began in", n, flood.size, flood.gap)
		}
		if n := run(700, every/10, 4*overRests*every); n < 2*overRests {
			t.Errorf("%d rests after the flood", n)
		}
	}
}

// What waits is read before a rest, and an end does not wait for one to be over.
func TestRestOfASocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no rest here")
	}
	cfg := loopback(t, false)
	cfg.Rest = time.Hour
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.now.Load()
	s.rest.since, s.rest.busy = time.Now(), true
	const waiting = 10
	for range waiting {
		if err := c.Multicast([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	heard := 0
	err = c.Run(ctx, func(_ []byte, _ netip.AddrPort, multicast bool) {
		if !multicast { // that one does not wait
			cancel()
			return
		}
		if heard++; heard == waiting {
			if err := c.Unicast([]byte("end"), c.LocalAddr()); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || heard != waiting {
		t.Errorf("heard %d of %d packets, %v", heard, waiting, err)
	}
	if s.rest.held != 0 {
		t.Error("no rest followed")
	}
}
