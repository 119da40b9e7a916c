package kill

import (
	"net/rpc"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	// backlog is how many orders wait for the master: it is never idle.
	backlog = 32
	// latency is the sink's: so publishes are open for a part of the time.
	latency = 300 * time.Microsecond
)

// market is a market with an audit.
type market struct {
	*lab.Market
	audit *audit
}

// open serves a market at a path until the test ends, and its audit at the path
// with ".audit" behind it. It makes at most so many orders in a second, 0 = as
// many as are taken.
func open(t testing.TB, addr string, rate int) *market {
	t.Helper()
	start := time.Now()
	m := &market{Market: lab.OpenMarket(t, addr, latency, time.Millisecond, func(s *shop.Source) {
		made, most := s.Count()
		most += backlog
		if rate > 0 {
			most = min(most, int(time.Since(start).Seconds()*float64(rate)))
		}
		for ; made < most; made++ {
			s.Make()
		}
	})}
	m.audit = &audit{sink: m.Sink}
	l, err := shop.Listen(addr + ".audit")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Audit", m.audit); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(c) // ends with its instance
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return m
}
