//go:build linux

package lab

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Market is the world outside a cluster: a source of orders, and a sink that
// checks tokens.
type Market struct {
	Source *shop.Source
	Sink   *shop.Sink
	Addr   string

	t    testing.TB
	stop context.CancelFunc // of the making
}

// OpenMarket serves a market on a Unix socket, which no cut of a network
// reaches, until the test ends. The sink takes latency to answer. stock is
// called each time that so much time has passed, to make orders.
func OpenMarket(t testing.TB, addr string, latency, every time.Duration, stock func(*shop.Source)) *Market {
	t.Helper()
	l, err := shop.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	making, stop := context.WithCancel(ctx)
	m := &Market{Source: shop.NewSource(), Sink: shop.NewSink(boottime.Now), Addr: addr, t: t, stop: stop}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := shop.Serve(ctx, l, shop.Services{Source: m.Source, Sink: m.Sink, Latency: latency}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for making.Err() == nil {
			stock(m.Source)
			select {
			case <-tick.C:
			case <-making.Done():
			}
		}
		m.Source.Close()
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return m
}

// Close ends the making, waits until the sink has every order, and returns how
// many were made.
func (m *Market) Close(within time.Duration) (made int) {
	m.t.Helper()
	m.stop()
	Wait(m.t, "the last message", within, func() bool {
		made, _ = m.Source.Count()
		return m.Sink.UpTo() >= made
	})
	return made
}
