package profiler

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// hearer hands events to one plugin, on a goroutine of its own: a plugin that
// waits makes nobody else wait.
type hearer struct {
	p    *Profiler
	pl   Plugin
	wake chan struct{} // there are events, or the end
	most int           // events queued; more than all shards have
	room chan struct{} // the queue was emptied
	gone chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards all below
	queue   []Event
	spare   []Event // takes turns with queue
	in, out uint64  // events queued, and heard or lost, since the start
	waiters []waiter
	lost    uint64 // to be told to the plugin
	busy    bool
	since   time.Duration // when it became busy
	stuck   bool
	closing bool

	dropped, panics, stucks uint64
}

// waiter waits until out has reached n.
type waiter struct {
	n uint64
	f *flush
}

// flush is closed when the last of those it waits for is done with it.
type flush struct {
	left atomic.Int32
	over chan struct{}
}

func (f *flush) done() {
	if f.left.Add(-1) == 0 {
		close(f.over)
	}
}

func newHearer(p *Profiler, pl Plugin) *hearer {
	return &hearer{
		p: p, pl: pl,
		most: 4 * max(p.cfg.Buffer, minBuffer*len(p.shards)),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

func (h *hearer) count(s *Stats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Dropped += h.dropped
	s.Panics += h.panics
	s.Stuck += h.stucks
}

// put queues events. Only Run's goroutine calls it. With Block it waits for
// room, but for no longer than until the plugin is stuck.
func (h *hearer) put(events []Event) {
	h.mu.Lock()
	if len(h.queue)+len(events) > h.most && h.p.cfg.Overflow == Block {
		h.wait(len(events))
	}
	h.judge()
	if len(h.queue)+len(events) <= h.most || len(h.queue) == 0 {
		h.queue = append(h.queue, events...)
		h.in += uint64(len(events))
	} else {
		h.squeeze(events)
	}
	h.mu.Unlock()
	poke(h.wake)
}

// squeeze keeps of what is too much the ends of messages, within reason: a
// plugin that misses one takes the message for one in flight.
func (h *hearer) squeeze(events []Event) {
	var lost uint64
	for i := range events {
		e := &events[i]
		if e.Step.kind == Workflow && e.Phase != Started && len(h.queue) < 2*h.most {
			h.queue = append(h.queue, *e)
			h.in++
		} else {
			lost++
		}
	}
	h.lost += lost
	h.dropped += lost
}

// wait waits for room for n events while the plugin is not stuck. h is locked.
func (h *hearer) wait(n int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(h.queue) > 0 && len(h.queue)+n > h.most && !h.judge() {
		left := h.p.cfg.Patience
		if h.busy {
			left -= time.Since(h.p.base) - h.since
		}
		timer.Reset(left + time.Millisecond)
		h.mu.Unlock()
		poke(h.wake)
		select {
		case <-h.room:
		case <-timer.C:
		}
		h.mu.Lock()
	}
}

// judge says whether the plugin is stuck, and logs it the first time. h is
// locked.
func (h *hearer) judge() bool {
	if h.busy && !h.stuck && time.Since(h.p.base)-h.since >= h.p.cfg.Patience {
		h.stuck = true
		h.stucks++
		h.release(1<<64 - 1) // those who flush do not wait for it
		h.say(fmt.Sprintf("profiler: plugin %T is stuck: Observe has not returned for %v", h.pl, h.p.cfg.Patience))
	}
	return h.stuck
}

// say logs without h's lock, which it holds before and after.
func (h *hearer) say(text string) {
	h.mu.Unlock()
	defer h.mu.Lock()
	defer func() { _ = recover() }() // the logger is user code too
	h.p.cfg.Log(text)
}

// flush is done with f when the plugin has heard all that is queued, or is stuck.
func (h *hearer) flush(f *flush) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.judge() || h.out == h.in {
		f.done()
		return
	}
	h.waiters = append(h.waiters, waiter{h.in, f})
}

// release lets go of those who wait for n events or fewer. h is locked.
func (h *hearer) release(n uint64) {
	rest := h.waiters[:0]
	for _, w := range h.waiters {
		if w.n <= n {
			w.f.done()
		} else {
			rest = append(rest, w)
		}
	}
	clear(h.waiters[len(rest):])
	h.waiters = rest
}

// close ends the goroutine when the queue is empty.
func (h *hearer) close() {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	poke(h.wake)
}

// run is the plugin's goroutine. If Observe ends it by runtime.Goexit another
// one takes over.
func (h *hearer) run() {
	over := false
	defer func() {
		if over {
			close(h.gone)
			return
		}
		h.mu.Lock()
		h.say(fmt.Sprintf("profiler: plugin %T called runtime.Goexit", h.pl))
		h.mu.Unlock()
		h.done(true)
		go h.run()
	}()
	for {
		batch, lost, ok := h.next()
		if !ok {
			over = true
			return
		}
		if len(batch) == 0 && lost == 0 {
			<-h.wake
			continue
		}
		h.done(h.hand(batch, lost))
	}
}

// next takes all that is queued. It is false when there is no more to come.
func (h *hearer) next() (batch []Event, lost uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 && h.lost == 0 {
		return nil, 0, !h.closing
	}
	batch, lost = h.queue, h.lost
	h.queue, h.spare, h.lost = h.spare[:0], batch, 0
	h.busy, h.since = true, time.Since(h.p.base)
	poke(h.room)
	return batch, lost, true
}

// hand calls the plugin. It is true if the plugin panicked.
func (h *hearer) hand(batch []Event, lost uint64) (panicked bool) {
	defer func() {
		if r := recover(); r != nil {
			panicked = true
			h.mu.Lock()
			h.say(fmt.Sprintf("profiler: plugin %T panicked: %v", h.pl, r))
			h.mu.Unlock()
		}
	}()
	if l, ok := h.pl.(Loser); ok && lost > 0 {
		l.Lost(lost)
	}
	if len(batch) > 0 {
		h.pl.Observe(batch)
	}
	return false
}

// done books the batch in spare as heard.
func (h *hearer) done(broke bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if broke {
		h.panics++
	}
	h.out += uint64(len(h.spare))
	h.busy, h.stuck = false, false
	clear(h.spare)
	if cap(h.spare) > 2*h.most {
		h.spare = nil
	} else {
		h.spare = h.spare[:0]
	}
	h.release(h.out)
}
