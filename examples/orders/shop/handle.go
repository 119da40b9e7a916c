package shop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// alonePause is between two tries to publish while no slave is in step.
const alonePause = 10 * time.Millisecond

// steps are the hooks of the workflow.
type steps struct {
	orders, receive *profiler.Step
	services        []service
	publish         *profiler.Step
}

type service struct {
	*profiler.Step
	work func(Order, *Invoice) error
}

func newSteps(p *profiler.Profiler, unfenced bool) steps {
	var fence []profiler.StepOption
	if !unfenced {
		fence = append(fence, profiler.Fence())
	}
	return steps{
		orders:   p.Workflow("orders"),
		receive:  p.Consumer("receive"),
		services: []service{{p.Service("validate"), validate}, {p.Service("price"), price}, {p.Service("reserve"), reserve}},
		publish:  p.Producer(Publish, fence...),
	}
}

// settle does what is to be done with an order, and acknowledges it.
func (w *Work) settle(ctx context.Context, j job) (err error) {
	id := j.ID()
	s := Settlement{ID: id, Did: DidAll}
	switch {
	case j.left == nil && w.Master.Seen(id): // the predecessor did it and could not acknowledge it
		s.Did = DidAck
	case j.left == nil:
		s.Answer, err = w.handle(ctx, j.Order)
	default:
		s.Before, s.Did = j.left.Step, toDo(j.left)
		if s.Did == DidEnd {
			err = w.Master.Settle(id, mirror.Done)
		} else {
			s.Answer, err = w.handle(ctx, j.Order)
		}
	}
	if err != nil {
		return err
	}
	if err := w.Market.Ack(w.Master.Token(), j.Number); err != nil {
		return err
	}
	if j.left == nil {
		w.mu.Lock()
		delete(w.busy, id)
		w.mu.Unlock()
	}
	if (j.left != nil || s.Did == DidAck) && w.Settled != nil {
		w.Settled(s)
	}
	return nil
}

// toDo is what a message that was left asks for. A publish that failed, failed
// at the fence or was refused: nothing is out there.
func toDo(m *mirror.Message) Deed {
	deed := DidAll
	for _, s := range m.Steps {
		switch {
		case !s.Publish():
		case s.Phase == profiler.Completed:
			return DidEnd
		case s.Phase == profiler.Started:
			deed = DidPublish
		}
	}
	return deed
}

// inHand is the context of an order in hand. A planned hand-over, which also
// ends life, waits for it; a mastership that is lost leaves it to the next one.
func inHand(life context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(life))
	stop := context.AfterFunc(life, func() {
		if why := context.Cause(life); errors.Is(why, cache.ErrNotMaster) {
			cancel(why)
		}
	})
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// handle leads one order through all steps.
func (w *Work) handle(life context.Context, o Order) (v Verdict, err error) {
	ctx, done := inHand(life)
	defer done()
	ctx, span := w.steps.orders.BeginPayload(ctx, o.ID(), o.payload())
	defer span.End(&err)
	if err := w.steps.receive.Do(ctx, "", func(context.Context) error { return nil }); err != nil {
		return "", err
	}
	invoice := Invoice{}
	for _, s := range w.steps.services {
		if err := s.Do(ctx, "", func(ctx context.Context) error {
			if err := w.takeTime(ctx); err != nil {
				return err
			}
			return s.work(o, &invoice)
		}); err != nil {
			return "", err
		}
	}
	publish := func(ctx context.Context) (err error) {
		v, err = w.Market.Write(ctx, Write{ID: o.ID(), Token: w.Master.Token(), Invoice: invoice})
		return err
	}
	err = w.steps.publish.Do(ctx, "", publish)
	for errors.Is(err, cache.ErrNoReplica) && life.Err() == nil {
		// Nothing was published. Nobody but this instance would know of it, so
		// wait for a slave.
		time.Sleep(alonePause)
		err = w.steps.publish.Do(ctx, "", publish)
	}
	if err != nil {
		return "", fmt.Errorf("publish invoice %s: %w", o.ID(), err)
	}
	return v, nil
}

// takeTime takes about StepTime, as a service would.
func (w *Work) takeTime(ctx context.Context) error {
	if w.StepTime <= 0 {
		return nil
	}
	t := time.NewTimer(w.StepTime/2 + rand.N(w.StepTime))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
