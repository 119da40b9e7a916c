package profiler

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run hands events to the plugins until ctx ends, then what is left, and
// returns nil. It is called once. Hooks used after that only count what they
// drop.
//
// The error is about a plugin that is stuck: its goroutine is left behind, for
// nothing can end it. All others have ended when Run returns.
func (p *Profiler) Run(ctx context.Context) error {
	if !p.state.CompareAndSwap(created, running) {
		return errors.New("profiler: run: Run was called before")
	}
	for _, h := range p.hearers {
		go h.run()
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for p.collect(ctx, timer) {
	}
	p.state.Store(ended)
	close(p.over)
	p.drain(true)
	return p.leave()
}

// collect waits for events, gives others time to join them, and hands them on.
// It is false when ctx has ended.
func (p *Profiler) collect(ctx context.Context, timer *time.Timer) bool {
	select {
	case <-ctx.Done():
		return false
	case f := <-p.flushes:
		p.flush(f)
		return true
	case <-p.wake:
	case <-p.hurry:
		p.drain(false)
		return true
	}
	timer.Reset(p.cfg.Flush)
	select {
	case <-ctx.Done():
		return false
	case f := <-p.flushes:
		p.flush(f)
	case <-timer.C:
		p.drain(false)
	case <-p.hurry:
		p.drain(false)
	}
	return true
}

// drain hands the events of all shards to all plugins.
func (p *Profiler) drain(last bool) {
	for i := range p.shards {
		sh := &p.shards[i]
		events := sh.take(last)
		if len(events) == 0 {
			continue
		}
		for _, h := range p.hearers {
			h.put(events)
		}
		clear(events) // let go of ids and payloads
	}
}

func (p *Profiler) flush(f *flush) {
	p.drain(false)
	f.left.Store(int32(len(p.hearers)) + 1)
	for _, h := range p.hearers {
		h.flush(f)
	}
	f.done()
}

// leave waits for the plugins, but not for those that are stuck.
func (p *Profiler) leave() error {
	for _, h := range p.hearers {
		h.close()
	}
	timer := time.NewTimer(p.cfg.Patience)
	defer timer.Stop()
	var faults []error
	for _, h := range p.hearers {
		select {
		case <-h.gone:
			continue
		case <-timer.C:
			timer.Reset(0)
		}
		select {
		case <-h.gone:
		default:
			faults = append(faults, fmt.Errorf("profiler: run: plugin %T is stuck; its goroutine is left behind", h.pl))
		}
	}
	return errors.Join(faults...)
}
