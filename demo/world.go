package demo

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/examples/orders/shop"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// work is one run of an order processor, as the world sees it.
type work struct {
	shop.Attachment
	open  []int         // orders that were handed out before it and not acknowledged
	ended time.Duration // CLOCK_BOOTTIME; 0 = it lives. Guarded by the board
}

// world is what lies outside the cluster: the source, the sink, and a socket
// that order processors reach both by. It also sees order processors begin and
// end: they say so, or their process dies.
type world struct {
	*board
	source *shop.Source
	sink   *shop.Sink
	path   string
	listen net.Listener
	begun  func(*work) // told under the board's lock
	ended  func(*work) // likewise

	works    []*work // all that ever began, in that order; guarded by the board
	watching sync.WaitGroup
}

// newWorld opens the socket under path. The sink's clock is boottime's.
func newWorld(b *board, path string) (*world, error) {
	l, err := shop.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("open the world's socket: %w", err)
	}
	return &world{
		board: b, source: shop.NewSource(), sink: shop.NewSink(boottime.Now), path: path, listen: l,
		begun: func(*work) {}, ended: func(*work) {},
	}, nil
}

// run makes an order every pace and serves order processors until ctx ends.
func (w *world) run(ctx context.Context, pace, latency time.Duration) {
	var wg sync.WaitGroup
	defer w.watching.Wait()
	defer wg.Wait()
	wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.source.Make()
			case <-ctx.Done():
				return
			}
		}
	})
	_ = shop.Serve(ctx, w.listen, shop.Services{ // an error: nobody can reach it, as all will tell
		Source: w.source, Sink: w.sink, Latency: latency,
		Attached: func(a shop.Attachment) error { return w.attached(ctx, a) },
		Left:     w.left,
		Wrote:    w.ring,
	})
}

// attached takes an order processor in, and watches its process.
func (w *world) attached(ctx context.Context, a shop.Attachment) error {
	p, err := openProcess(a.PID)
	if err != nil {
		return err
	}
	k := &work{Attachment: a, open: w.source.Open()}
	w.change(func() {
		w.works = append(w.works, k)
		w.begun(k)
	})
	w.watching.Go(func() {
		stop := context.AfterFunc(ctx, p.close)
		defer p.close()
		defer stop()
		if p.wait() {
			w.end(k)
		}
	})
	return nil
}

// left hears an order processor say that it has ended.
func (w *world) left(a shop.Attachment) {
	var k *work
	w.change(func() {
		if i := slices.IndexFunc(w.works, func(k *work) bool { return k.Attachment == a }); i >= 0 {
			k = w.works[i]
		}
	})
	if k != nil {
		w.end(k)
	}
}

func (w *world) end(k *work) {
	at := boottime.Now()
	w.change(func() {
		if k.ended == 0 {
			k.ended = at
			w.ended(k)
		}
	})
}

// current is the order processor that began last and lives, or nil. The board
// is locked.
func (w *world) current() *work {
	for _, k := range slices.Backward(w.works) {
		if k.ended == 0 {
			return k
		}
	}
	return nil
}
