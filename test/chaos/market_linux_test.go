package chaos

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// market is the world outside the cluster: it makes an order every few
// milliseconds, and its sink checks tokens.
type market struct {
	source *shop.Source
	sink   *shop.Sink
	addr   string
	stop   context.CancelFunc // of the making
}

// open serves a market at a path until the test ends. It is reached by a Unix
// socket, which no cut of the network reaches.
func open(t testing.TB, addr string) *market {
	t.Helper()
	m := &market{source: shop.NewSource(), sink: shop.NewSink(boottime.Now), addr: addr}
	l, err := shop.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	making, stop := context.WithCancel(ctx)
	m.stop = stop
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := shop.Serve(ctx, l, shop.Services{Source: m.source, Sink: m.sink}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for making.Err() == nil {
			m.source.Make()
			select {
			case <-tick.C:
			case <-making.Done():
			}
		}
		m.source.Close()
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return m
}
