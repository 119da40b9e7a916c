package mirror

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// BenchmarkObserve is one message of five steps, in batches of a hundred
// messages: ended within the batch, or begun in one and ended in another.
func BenchmarkObserve(b *testing.B) {
	c, err := cache.Open(cache.Config{Cluster: "bench", Name: "a", Bind: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if err := c.Promote(cache.Reign{Epoch: 1, Instance: c.Instance()}); err != nil {
		b.Fatal(err)
	}
	m, err := New(Config{Cache: c})
	if err != nil {
		b.Fatal(err)
	}
	h := newHooks(b)
	const each = 100
	for _, split := range []bool{false, true} {
		b.Run(fmt.Sprint("split=", split), func(b *testing.B) {
			var first, second []profiler.Event
			for i := range each {
				id := fmt.Sprintf("order-%06d", i)
				begin := []profiler.Event{
					{ID: id, Step: h.orders, Order: 1, Phase: profiler.Started},
					{ID: id, Step: h.validate, Order: 2, Phase: profiler.Completed},
					{ID: id, Step: h.validate, Order: 3, Phase: profiler.Completed},
				}
				end := []profiler.Event{
					{ID: id, Step: h.audit, Order: 4, Phase: profiler.Completed},
					{ID: id, Step: h.orders, Order: 1, Phase: profiler.Completed, Took: time.Millisecond},
				}
				if first = append(first, begin...); split {
					second = append(second, end...)
				} else {
					first = append(first, end...)
				}
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += each {
				m.Observe(first)
				m.Observe(second)
			}
		})
	}
}
