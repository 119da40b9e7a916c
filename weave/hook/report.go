package hook

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

const (
	maxQueue = 16384 // events that wait; a fence is always let in
	maxBatch = 500   // events of one request
	maxBytes = 800 << 10
	every    = 2 * time.Millisecond
)

// The phases of a step, as the API calls them.
const (
	started   = "started"
	completed = "completed"
	failed    = "failed"
)

// event is something to report.
type event struct {
	id    string
	step  *Step
	phase string
	text  string
	fence chan<- verdict // nil unless somebody waits; has room for one
}

// verdict is the answer to a fence: how long the step may take, or why it must
// not run.
type verdict struct {
	left time.Duration
	err  error
}

// errNoTime refuses a step that the instance took, and told too late to begin.
var errNoTime = errors.New("interlok-ha: the mastership ends")

// reporter sends events, in the order in which they came. One goroutine does;
// it ends with the program.
type reporter struct {
	c     client
	wake  chan struct{} // has room for one
	empty chan struct{} // closed when all is reported; guarded by mu

	mu     sync.Mutex // guards what is below
	queue  []event
	urgent bool // somebody waits: don't wait for more
	busy   bool // a batch is on its way
	lost   uint64
}

var theReporter = sync.OnceValue(func() *reporter {
	path := os.Getenv("INTERLOK_HA_SOCKET")
	if path == "" || !canDial {
		return nil
	}
	return newReporter(path)
})

func newReporter(path string) *reporter {
	r := &reporter{c: client{path: path}, wake: make(chan struct{}, 1)}
	go r.run()
	return r
}

func (r *reporter) add(e event) {
	r.mu.Lock()
	if len(r.queue) >= maxQueue && e.fence == nil {
		r.lost++
		r.mu.Unlock()
		return
	}
	r.queue = append(r.queue, e)
	first := len(r.queue) == 1 || e.fence != nil
	r.urgent = r.urgent || e.fence != nil
	r.mu.Unlock()
	if first {
		r.rouse()
	}
}

func (r *reporter) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// fence reports an event and returns how long the step may take from the
// moment of the call.
func (r *reporter) fence(ctx context.Context, e event) (time.Duration, error) {
	answer := make(chan verdict, 1)
	e.fence = answer
	r.add(e)
	var done <-chan struct{}
	if ctx != nil {
		done = ctx.Done()
	}
	var v verdict
	select {
	case v = <-answer:
	case <-done:
		v.err = ctx.Err()
	}
	if v.err != nil && (errors.Is(v.err, errNoTime) || done != nil && ctx.Err() != nil) {
		// The instance knows the step as started, or will.
		r.add(event{id: e.id, step: e.step, phase: failed, text: v.err.Error()})
	}
	return v.left, v.err
}

// flush waits until nothing is left to report, but no longer than patience.
func (r *reporter) flush(patience time.Duration) {
	r.mu.Lock()
	if len(r.queue) == 0 && !r.busy {
		r.mu.Unlock()
		return
	}
	if r.empty == nil {
		r.empty = make(chan struct{})
	}
	empty := r.empty
	r.urgent = true
	r.mu.Unlock()
	r.rouse()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-empty:
	case <-t.C:
	}
}

func (r *reporter) run() {
	for {
		<-r.wake
		if !r.hurry() {
			t := time.NewTimer(every)
			select {
			case <-t.C:
			case <-r.wake: // a fence, or somebody who flushes
				t.Stop()
			}
		}
		for batch := r.take(); len(batch) > 0; batch = r.take() {
			r.report(batch)
		}
	}
}

func (r *reporter) hurry() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urgent
}

// take is the next batch; it is empty when all is reported. A fence ends it,
// since an answer tells of one.
func (r *reporter) take() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, bytes, fence := 0, 0, false
	for n < len(r.queue) && n < maxBatch && !fence {
		e := &r.queue[n]
		fence = e.fence != nil
		if bytes += 100 + 6*(len(e.id)+len(e.step.name)+len(e.text)); bytes > maxBytes && n > 0 {
			break
		}
		n++
	}
	batch := r.queue[:n:n]
	if r.queue = r.queue[n:]; len(r.queue) == 0 {
		r.queue, r.urgent = nil, false
	}
	if r.busy = n > 0; !r.busy && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
	return batch
}

// report sends a batch until each event is taken, or refused, which is an
// answer too. An instance that is gone for long takes the batch with it.
func (r *reporter) report(batch []event) {
	for tries := 0; len(batch) > 0; {
		a, err := r.c.post(batch)
		if err != nil {
			if tries++; tries > 5 {
				answer(batch, verdict{err: errors.New("interlok-ha: report a fenced step: " + err.Error())})
				return
			}
			time.Sleep(every << tries)
			continue
		}
		taken := min(a.taken, len(batch))
		if a.status == 200 {
			taken = len(batch)
		}
		yes := verdict{left: a.left}
		if a.left <= 0 {
			yes.err = errNoTime
		}
		answer(batch[:taken], yes)
		if batch = batch[taken:]; len(batch) == 0 {
			return
		}
		no := verdict{err: errors.New("interlok-ha: " + batch[0].step.name + " must not run: " + a.detail)}
		switch {
		case a.status == 429:
			time.Sleep(a.after)
		case a.kind == "refused", a.kind == "no-replica", a.kind == "timeout", a.kind == "full":
			// One event's fault: it is told, and the others go on without it.
			answer(batch[:1], no)
			batch = batch[1:]
		default:
			answer(batch, no)
			return
		}
	}
}

func answer(batch []event, v verdict) {
	for _, e := range batch {
		if e.fence != nil {
			e.fence <- v
		}
	}
}
