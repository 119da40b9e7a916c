package shop

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// Publish is the name of the producer's step.
const Publish = "publish"

// overPatience is how long a master whom others take for deposed may not know it.
const overPatience = 5 * time.Second

// Master is what the work needs of a mastership; *node.Master has it.
type Master interface {
	Token() string
	// InFlight is what the predecessor began and did not end.
	InFlight() []mirror.Message
	// Seen tells whether a message was done.
	Seen(id string) bool
	// Settle writes down the end of a message that InFlight told of.
	Settle(id string, s mirror.State) error
	Profiler() *profiler.Profiler
}

// Work is what the master does, for one reign.
type Work struct {
	Master   Master
	Market   *Client
	Instance string        // name, for the source
	Workers  int           // 4 if 0
	StepTime time.Duration // that each service takes, about
	// Unfenced publishes without asking the slaves. It shows what the fence is
	// for, and is good for nothing else.
	Unfenced bool
	// Found is told what the predecessor left, Settled what became of each of
	// it, by several goroutines. May be nil.
	Found   func([]mirror.Message)
	Settled func(Settlement)

	steps steps

	mu     sync.Mutex                // guards what follows
	failed error                     // the first failure
	left   []job                     // by the predecessor, and in nobody's hands yet
	bare   map[string]mirror.Message // likewise, but the bytes are to come from the source
	// busy are ids that are in somebody's hands, or were left. The latter stay
	// here: the source may have handed one out again just before its ack came.
	busy map[string]bool
}

// job is an order to do.
type job struct {
	Order
	left *mirror.Message // what the predecessor left of it; nil: nothing
}

// Settlement is what became of a message that the predecessor left.
type Settlement struct {
	ID     string
	Before string  // the step that it had reached; empty with DidAck
	Did    Deed    // what was done with it
	Answer Verdict // of the sink; empty if it was not asked
}

// Deed is what a new master did with a message that it found in flight.
type Deed string

// The deeds.
const (
	// Nothing had been published, so it was done from the start.
	DidAll Deed = "done from the start"
	// The publish was open, so only the sink knows: it was published again,
	// with the same id.
	DidPublish Deed = "published again"
	// The publish had ended, and only the end of the workflow was missing.
	DidEnd Deed = "only closed"
	// It was done, and the source had not been told.
	DidAck Deed = "only acknowledged"
)

// Run works until ctx ends and what is in hand is done, or until something
// fails. What is in hand when the mastership is lost is stopped by the fence.
func (w *Work) Run(ctx context.Context) error {
	w.steps = newSteps(w.Master.Profiler(), w.Unfenced)
	a := Attachment{Token: w.Master.Token(), Instance: w.Instance, PID: os.Getpid(), Started: boottime.Now()}
	if err := w.Market.Attach(a); err != nil {
		return unlessOver(ctx, err)
	}
	defer func() { _ = w.Market.Leave(a) }() // if not now, the source learns it when the next one comes
	w.inherit(w.Master.InFlight())

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for range cmp.Or(w.Workers, 4) {
		wg.Go(func() {
			if err := w.worker(ctx); err != nil {
				w.fail(err)
				cancel()
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// inherit takes over what the predecessor left.
func (w *Work) inherit(list []mirror.Message) {
	w.left, w.bare, w.busy = nil, map[string]mirror.Message{}, map[string]bool{}
	for _, m := range list {
		o, err := parseOrder(m.Payload)
		if err != nil {
			w.bare[m.ID] = m
			continue
		}
		w.left = append(w.left, job{o, &m})
		w.busy[m.ID] = true
	}
	if w.Found != nil {
		w.Found(slices.Clone(list))
	}
}

func (w *Work) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

// worker does one order after the other.
func (w *Work) worker(ctx context.Context) error {
	for ctx.Err() == nil {
		j, ok, err := w.next(ctx)
		if err == nil && ok {
			err = w.settle(ctx, j)
		}
		if err != nil {
			return unlessOver(ctx, err)
		}
	}
	return nil
}

// next is an order to do: first what the predecessor left, then what the source
// has. ok is false if there is none just now.
func (w *Work) next(ctx context.Context) (j job, ok bool, err error) {
	w.mu.Lock()
	if len(w.left) > 0 {
		j, w.left = w.left[0], w.left[1:]
		w.mu.Unlock()
		return j, true, nil
	}
	w.mu.Unlock()
	if j.Order, ok, err = w.Market.Take(ctx, w.Master.Token()); err != nil || !ok {
		return job{}, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := j.ID()
	if w.busy[id] {
		return job{}, false, nil // it was left: here it is the second time
	}
	w.busy[id] = true
	if m, ok := w.bare[id]; ok {
		j.left = &m
		delete(w.bare, id)
	}
	return j, true, nil
}

// unlessOver is err, or nil if it came of the end of the mastership. Who hears
// of that before ctx has ended waits for it.
func unlessOver(ctx context.Context, err error) error {
	over := errors.Is(err, cache.ErrNotMaster) || errors.Is(err, ErrStale)
	if over {
		late := time.NewTimer(overPatience)
		defer late.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-late.C:
		}
	}
	return err
}
