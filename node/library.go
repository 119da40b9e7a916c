package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/workload"
)

// errHandedOver is why the context of work ends in a planned hand-over; when
// mastership is lost it is cache.ErrNotMaster.
var errHandedOver = errors.New("node: mastership is handed over")

// library is work that is a function of this process. Its own goroutine, Run,
// owns the fields below the line.
type library struct {
	*inbox
	n      *Node
	sup    *workload.Supervisor
	keeper *noWork // of this process

	guard   atomic.Pointer[election.Guard]
	present atomic.Pointer[reign]
	state   atomic.Pointer[string]
	restart atomic.Int64
	// expired: the guard ran out, the work has ended, and nobody has called it
	// again. A guard that is renewed does.
	expired atomic.Bool

	// ---
	wanted bool // the guard is open and the work should run
	epoch  uint64
	timer  *time.Timer
}

// reign is one run of the work.
type reign struct {
	master *Master
	cancel context.CancelCauseFunc
	stop   chan struct{} // closed: planned, the work has the time of a stop
	lost   chan struct{} // closed: mastership is gone
	done   chan struct{} // closed: the work has returned

	// To be read when done is closed and watch has returned.
	err     error // of the work
	expired bool  // the guard ran out before anybody told
}

func (w *library) Open(epoch uint64) {
	w.keeper.wishes(true)
	w.post(func() {
		w.wanted, w.epoch = true, epoch
		w.start()
	})
}

func (w *library) Guard(g election.Guard) {
	w.guard.Store(&g)
	if w.expired.Load() {
		w.post(w.renewed)
	}
}

func (w *library) Epoch(epoch uint64) {
	w.post(func() {
		w.epoch = epoch
		if r := w.present.Load(); r != nil {
			r.master.epoch.Store(epoch)
		}
	})
}

func (w *library) Stop(planned bool) {
	w.post(func() {
		w.wanted = false
		w.expired.Store(false)
		r := w.present.Load()
		if r == nil {
			w.stopped()
			return
		}
		w.set("stopping")
		if planned {
			shut(r.stop)
		} else {
			shut(r.lost)
		}
	})
}

// shut closes a channel once; only Run's goroutine calls it.
func shut(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// stopped tells the election that nothing runs any more.
func (w *library) stopped() {
	w.set("stopped")
	w.keeper.wishes(false)
	w.n.workStopped()
}

// Run does what was posted, and keeps the keeper.
func (w *library) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- w.keeper.Run(ctx) }()
	w.run(ctx)
	if w.timer != nil {
		w.timer.Stop()
	}
	return <-ended
}

func (w *library) Abandon() bool {
	r := w.present.Load()
	if r == nil {
		return true
	}
	r.cancel(errHandedOver)
	select {
	case <-r.done:
		return true
	case <-time.After(abandonPatience):
		return false
	}
}

func (w *library) set(state string) { w.state.Store(&state) }

// start calls the work under the present epoch.
func (w *library) start() {
	if !w.wanted || w.present.Load() != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &reign{master: &Master{n: w.n}, cancel: cancel, stop: make(chan struct{}), lost: make(chan struct{}), done: make(chan struct{})}
	r.master.epoch.Store(w.epoch)
	w.present.Store(r)
	w.set("running")
	w.n.feed.tell(admin.EventWorkloadStarted, "", "")
	go func() {
		defer close(r.done)
		r.master.inFlight = w.n.mirror.InFlight()
		r.err = w.n.o.Work(ctx, r.master)
	}()
	go func() {
		w.watch(r)
		cancel(nil)
		w.post(func() {
			w.present.Store(nil)
			w.ended(r)
		})
	}()
}

// watch ends the context of the work in time, also when the election's
// goroutine hangs, and the process if that is of no use. It returns when the
// work has returned.
func (w *library) watch(r *reign) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop, why := r.stop, "in time after the hand-over began"
	var due time.Duration // of a planned stop
	for lost := false; !lost; {
		at := now()
		until := w.guard.Load().Until
		if due > 0 {
			until = min(until, due)
		}
		if at >= until {
			r.expired = due == 0
			break
		}
		timer.Reset(until - at)
		select {
		case <-r.done:
			return
		case <-stop:
			stop, due = nil, now()+w.n.s.Workload.StopTimeout
			w.n.ending.begin()
			r.cancel(errHandedOver)
		case <-r.lost:
			lost = true
		case <-timer.C:
		}
	}
	budget := time.Duration(0)
	if due == 0 || now() < due {
		budget, why = w.n.s.StopBudget(), "in time after mastership was lost"
	}
	w.n.ending.begin() // what the work leaves now is in flight
	r.cancel(cache.ErrNotMaster)
	timer.Reset(budget)
	select {
	case <-r.done:
		return
	case <-timer.C:
	}
	select {
	case <-r.done:
	default:
		w.n.abort(fmt.Sprintf("the work of %s did not return %s", w.n.s.Name, why))
		<-r.done
	}
}

// ended decides what follows the return of the work.
func (w *library) ended(r *reign) {
	n := w.n
	result, detail := workload.Result{Cause: workload.CauseExited}, "returned"
	if r.err != nil {
		result.Code, detail = 1, r.err.Error()
	}
	w.set("stopped")
	n.feed.tell(admin.EventWorkloadExited, "", detail)
	switch {
	case !w.wanted:
		w.stopped()
		return
	case r.expired:
		// Ended by us; the guard tells what follows. If this process stood still
		// it may have been renewed all the same, or will be.
		w.expired.Store(true)
		w.renewed()
		return
	}
	switch d := w.sup.Next(now(), result); d.Action {
	case workload.ActionRestart:
		n.o.Log.Warn().Str("result", detail).Stringer("after", d.After).Msg("The work ended; starting it again")
		w.restart.Add(1)
		w.set("waiting")
		w.timer = time.AfterFunc(d.After, func() { w.post(w.start) })
	case workload.ActionResign:
		n.o.Log.Error().Str("result", detail).Msg("The work fails too often; giving mastership up")
		_ = n.manager.Tell(election.Handover{NoClaimFor: d.NoClaimFor, Reason: "the work fails too often"})
	case workload.ActionGoodbye, workload.ActionNone:
		n.o.Log.Info().Str("result", detail).Msg("The work has ended; leaving")
		if r.err != nil {
			n.quit(r.err)
		} else {
			n.quit(&ExitError{})
		}
	}
}

// renewed calls the work again that had ended because the guard ran out, if the
// guard is open. What the hooks told of its end goes before.
func (w *library) renewed() {
	if !w.guard.Load().Open(now()) || !w.expired.Swap(false) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		w.n.flushHooks(ctx)
		w.post(func() {
			if w.wanted && w.present.Load() == nil {
				w.n.ending.over()
				w.start()
			}
		})
	}()
}

// Status tells what the work does.
func (w *library) Status() *admin.Workload {
	st := &admin.Workload{Command: []string{}, State: "stopped", Restarts: int(w.restart.Load())}
	if s := w.state.Load(); s != nil {
		st.State = *s
	}
	if w.present.Load() != nil {
		st.PID = os.Getpid()
	}
	return st
}
