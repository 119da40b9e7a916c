//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
)

const valueSize = 200

// now is CLOCK_BOOTTIME, one clock for all processes, read the cheap way: the
// runtime's own clock runs as fast.
var now = func() func() int64 {
	start, at := time.Now(), boottime.Now()
	return func() int64 { return int64(at + time.Since(start)) }
}()

// keyName is a key as redis-benchmark makes them, and as it does made anew for
// each put: a list of all of them would measure how fast that list is read.
func keyName(i int) string {
	b := [...]byte{'k', 'e', 'y', ':', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0'}
	for at := len(b) - 1; i > 0; at-- {
		b[at] = '0' + byte(i%10)
		i /= 10
	}
	return string(b[:])
}

// value is 200 bytes: the time, a number, and letters.
func value() []byte {
	v := make([]byte, valueSize)
	for i := range v {
		v[i] = 'a' + byte(i%26)
	}
	return v
}

// load puts values into one cache.
type load struct {
	c    *cache.Cache
	n    *cache.Named
	keys int
}

// fast puts as fast as one goroutine can, and waits until the slaves have
// acknowledged the last.
func (l load) fast(ctx context.Context, count int, slaves []string) (a answer, err error) {
	rng := rand.New(rand.NewPCG(1, uint64(count)))
	v := value()
	start := time.Now()
	for i := range count {
		binary.BigEndian.PutUint64(v[8:], uint64(i))
		key := i // to fill: each key once
		if count != l.keys {
			key = rng.IntN(l.keys)
		}
		if err := l.n.Put(ctx, keyName(key), v); err != nil {
			return a, err
		}
	}
	put := time.Since(start)
	n := l.c.Pos().N
	for _, s := range slaves {
		if err := l.c.Acked(ctx, instanceID(s), n); err != nil {
			return a, fmt.Errorf("acked by %s: %w", s, err)
		}
	}
	return answer{N: uint64(count), Took: time.Since(start), Max: put}, nil
}

// synchronous puts from several goroutines at once, for a time.
func (l load) synchronous(ctx context.Context, putters int, during time.Duration) (answer, error) {
	hists := make([]hist, putters)
	errs := make([]error, putters)
	var all sync.WaitGroup
	start := time.Now()
	for p := range putters {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(p)))
			v := value()
			for from := start; from.Sub(start) < during; {
				if errs[p] = l.n.Put(ctx, keyName(rng.IntN(l.keys)), v); errs[p] != nil {
					return
				}
				to := time.Now()
				hists[p].add(to.Sub(from))
				from = to
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	for p := range putters {
		if errs[p] != nil {
			return answer{}, errs[p]
		}
		if p > 0 {
			hists[0].merge(&hists[p])
		}
	}
	a := hists[0].answer()
	a.Took = took
	return a, nil
}

// tick is how often a paced load puts what is due. Shorter ones would sleep and
// wake so often that the load itself is a load.
const tick = 200 * time.Microsecond

// paced puts at a rate. What a put took is measured; the value carries when it
// began and its number.
func (l load) paced(ctx context.Context, rate int, during time.Duration) (answer, error) {
	rng := rand.New(rand.NewPCG(3, uint64(rate)))
	v := value()
	h := &hist{}
	start := time.Now()
	for n := 0; ; {
		since := time.Since(start)
		if since >= during {
			break
		}
		for due := int(since.Seconds() * float64(rate)); n < due; n++ {
			from := now()
			binary.BigEndian.PutUint64(v, uint64(from))
			binary.BigEndian.PutUint64(v[8:], uint64(n))
			if err := l.n.Put(ctx, keyName(rng.IntN(l.keys)), v); err != nil {
				return answer{}, err
			}
			h.add(time.Duration(now() - from))
		}
		time.Sleep(tick)
	}
	a := h.answer()
	a.Took = time.Since(start)
	return a, nil
}

// window is how long the lag is measured for one quantile of it. A virtual
// machine's host takes its processors away now and then, for 5 to 15 ms at a
// time; in the quantile of a whole run that is most of what there is to see.
const window = 100 * time.Millisecond

// lag measures how long puts of a paced load took to arrive, by watching.
type lag struct {
	cancel context.CancelFunc
	done   chan error
	h      hist // of all
	part   hist // of one window
	since  int64
	p99    []time.Duration // of each window
	last   uint64          // number in the last value
	n      uint64          // of the last record
	any    bool
	gaps   int
}

func startLag(c *cache.Cache) *lag {
	ctx, cancel := context.WithCancel(context.Background())
	l := &lag{cancel: cancel, done: make(chan error, 1)}
	go func() { l.done <- c.Watch(ctx, l.see) }()
	return l
}

func (l *lag) see(changes []cache.Change) {
	at := now()
	if at-l.since > int64(window) {
		l.closeWindow()
		l.since = at
	}
	for i := range changes {
		c := &changes[i]
		if c.Op != cache.OpPut && c.Op != cache.OpUpdate || len(c.Value) < 16 {
			continue
		}
		late := time.Duration(at - int64(binary.BigEndian.Uint64(c.Value)))
		l.h.add(late)
		l.part.add(late)
		seq := binary.BigEndian.Uint64(c.Value[8:])
		if l.any && (seq != l.last+1 || c.N <= l.n) {
			l.gaps++
		}
		l.any, l.last, l.n = true, seq, c.N
	}
}

func (l *lag) closeWindow() {
	if l.part.n >= 1000 {
		l.p99 = append(l.p99, l.part.at(0.99))
	}
	l.part = hist{}
}

// stop ends it. An error of the watcher, such as one that fell behind, is one
// of the measurement.
func (l *lag) stop() (answer, error) {
	l.cancel()
	err := <-l.done
	if err != nil && ctxEnded(err) {
		err = nil
	}
	l.closeWindow()
	a := l.h.answer()
	a.Gaps = l.gaps
	if len(l.p99) > 0 {
		a.WindowP99 = median(l.p99)
	}
	return a, err
}
