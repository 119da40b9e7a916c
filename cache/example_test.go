package cache_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/interlok-ha/interlok-ha/cache"
)

// Two caches on one machine find each other by gossip. One is told to be
// master; the other follows it by itself.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	inStep := make(chan struct{}, 1)
	open := func(name string, peers ...string) *cache.Cache {
		c, err := cache.Open(cache.Config{
			Cluster: "example", Name: name, Bind: netip.MustParseAddrPort("127.0.0.1:0"),
			Peers: peers, AutoFollow: true,
			// A put returns when the slave holds the entry.
			Caches: []cache.Spec{{Name: "orders", MaxEntries: 1000, Eternal: true, Synchronous: true}},
			OnEvent: func(e cache.Event) {
				if e.Type == cache.EventInStep {
					select {
					case inStep <- struct{}{}:
					default: // told before; this must not block
					}
				}
			},
		})
		if err != nil {
			panic(err)
		}
		running.Go(func() { _ = c.Run(ctx) })
		return c
	}
	defer running.Wait()
	defer stop()

	master := open("a")
	slave := open("b", master.Addr().String())
	if err := master.Promote(cache.Reign{Epoch: 1, Instance: master.Instance()}); err != nil {
		panic(err)
	}
	<-inStep // the slave has found its master

	orders, _ := master.Named("orders")
	if err := orders.Put(ctx, "4711", []byte("paid")); err != nil {
		panic(err)
	}
	copied, _ := slave.Named("orders")
	e, ok := copied.Get("4711")
	fmt.Println(string(e.Value), ok)
	fmt.Println(copied.Put(ctx, "4711", []byte("sent")))
	// Output:
	// paid true
	// cache: this instance is not the master
}
