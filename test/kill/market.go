package kill

import (
	"context"
	"net/rpc"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const (
	// backlog is how many orders wait for the master: it is never idle.
	backlog = 32
	// latency is the sink's: so publishes are open for a part of the time.
	latency = 300 * time.Microsecond
)

// market is the world outside the cluster: source, sink and audit.
type market struct {
	source *shop.Source
	sink   *shop.Sink
	audit  *audit
	addr   string
	stop   context.CancelFunc // of the making
}

// open serves a market at a path until the test ends. It makes at most so many
// orders in a second, 0 = as many as are taken.
func open(t testing.TB, addr string, rate int) *market {
	t.Helper()
	sink := shop.NewSink(boottime.Now)
	m := &market{source: shop.NewSource(), sink: sink, audit: &audit{sink: sink}, addr: addr}
	l, err := shop.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	audits, err := shop.Listen(addr + ".audit")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Audit", m.audit); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	making, stop := context.WithCancel(ctx)
	m.stop = stop
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := audits.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(c) // ends with its instance
		}
	})
	wg.Go(func() {
		if err := shop.Serve(ctx, l, shop.Services{Source: m.source, Sink: sink, Latency: latency}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for start := time.Now(); making.Err() == nil; {
			made, most := m.source.Count()
			most += backlog
			if rate > 0 {
				most = min(most, int(time.Since(start).Seconds()*float64(rate)))
			}
			for ; made < most; made++ {
				m.source.Make()
			}
			select {
			case <-tick.C:
			case <-making.Done():
			}
		}
		m.source.Close()
	})
	t.Cleanup(func() {
		cancel()
		_ = audits.Close()
		wg.Wait()
	})
	return m
}
