package demo

import (
	"context"
	"fmt"
	"net"
	"net/rpc"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

// Beginning is what an order processor says first.
type Beginning struct {
	Token, Instance string
	PID             int
	Started         time.Duration // CLOCK_BOOTTIME
}

// work is one run of an order processor, as the world sees it.
type work struct {
	Beginning
	ended   time.Duration // CLOCK_BOOTTIME; 0 = it lives. Guarded by the board
	missing int           // messages that were handed out before it, and not done
}

// world is what lies outside the cluster: the source, the sink, and a socket
// that order processors reach both by. Both go by the greatest token that was
// seen. It also sees order processors begin and end.
type world struct {
	*board
	source *source
	sink   *sink
	path   string
	listen net.Listener
	begun  func(*work) // told under the board's lock
	ended  func(*work) // likewise

	works []*work // all that ever began, in that order; guarded by the board
}

// newWorld opens the socket under path. The sink's clock is boottime's.
func newWorld(b *board, path string) (*world, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the world's socket: %w", err)
	}
	return &world{
		board: b, source: newSource(), sink: newSink(boottime.Now), path: path, listen: l,
		begun: func(*work) {}, ended: func(*work) {},
	}, nil
}

// run makes a message every pace and serves order processors until ctx ends.
func (w *world) run(ctx context.Context, pace time.Duration) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = w.listen.Close() })
	defer stop()
	wg.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.source.make()
			case <-ctx.Done():
				return
			}
		}
	})
	for {
		c, err := w.listen.Accept()
		if err != nil {
			return // closed, by ctx
		}
		wg.Go(func() { w.serve(ctx, c) })
	}
}

// serve answers one connection until either end hangs up.
func (w *world) serve(closing context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(closing)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	defer cancel()
	d := &desk{w: w, ctx: ctx, hangUp: cancel, closing: closing}
	s := rpc.NewServer()
	if err := s.RegisterName("World", d); err != nil {
		panic(err) // the methods of desk are wrong, which each test shows
	}
	s.ServeConn(c)
	cancel()
	d.watching.Wait()
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

// desk answers one order processor. Its exported methods are called by net/rpc.
type desk struct {
	w        *world
	ctx      context.Context // ends with the connection or the processor
	hangUp   context.CancelFunc
	closing  context.Context // ends with the world
	watching sync.WaitGroup
}

// Begin is the first call: it tells which messages were handed out and not done.
// First the token is shown: whoever has a smaller one gets no message and writes
// none from then on, so the list stays true.
func (d *desk) Begin(b Beginning, missing *[]int) error {
	p, err := openProcess(b.PID)
	if err != nil {
		return err
	}
	if err := d.w.sink.see(b.Token); err != nil {
		p.close()
		return err
	}
	_, handed := d.w.source.count()
	list := d.w.sink.missing(handed)
	*missing = list
	k := &work{Beginning: b, missing: len(list)}
	d.w.change(func() {
		d.w.works = append(d.w.works, k)
		d.w.begun(k)
	})
	d.watching.Go(func() {
		stop := context.AfterFunc(d.closing, p.close)
		defer p.close()
		defer stop()
		if !p.wait() {
			return
		}
		at := boottime.Now()
		d.hangUp() // its calls have nobody to answer to
		d.w.change(func() {
			k.ended = at
			d.w.ended(k)
		})
	})
	return nil
}

// Take hands out the next message; 0 means that there will be none.
func (d *desk) Take(token string, n *int) (err error) {
	*n, err = d.w.source.take(d.ctx, func() error { return d.w.sink.see(token) })
	return err
}

// Write writes to the sink.
func (d *desk) Write(r Record, v *Verdict) error {
	*v = d.w.sink.write(r)
	d.w.ring()
	return nil
}
