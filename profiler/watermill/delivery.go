package watermill

import (
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// errNacked is the fault of a workflow whose handler was content.
var errNacked = errors.New("nacked")

// delivery is a message between its handler's end and its ack or nack.
type delivery struct {
	span          profiler.Span
	acked, nacked <-chan struct{}
	once          sync.Once
}

// end ends the workflow of a message that is settled, once. It returns when
// that is done, whoever does it.
func (d *delivery) end() {
	d.once.Do(func() {
		var err error
		select {
		case <-d.nacked:
			err = errNacked
		default:
		}
		d.span.End(&err)
	})
}

// deliveries makes the end of one come before the start of the next of the same
// id. A nack may bring the message again before the goroutine that waits for
// the nack runs; were it told of afterwards, the message would end as failed.
type deliveries struct {
	mu     sync.Mutex // guards latest
	latest map[string]*delivery
}

// settle ends the latest delivery of an id if it is settled.
func (ds *deliveries) settle(id string) {
	ds.mu.Lock()
	d := ds.latest[id]
	ds.mu.Unlock()
	if d == nil {
		return
	}
	select {
	case <-d.acked:
	case <-d.nacked:
	default:
		return // two at once
	}
	d.end()
}

// watch ends the workflow when the message is settled.
func (ds *deliveries) watch(id string, span profiler.Span, msg *message.Message) {
	d := &delivery{span: span, acked: msg.Acked(), nacked: msg.Nacked()}
	if d.acked == nil || d.nacked == nil { // not made by NewMessage: nobody can wait for it
		span.End(nil)
		return
	}
	if id != "" {
		ds.mu.Lock()
		ds.latest[id] = d
		ds.mu.Unlock()
	}
	go func() {
		select {
		case <-d.acked:
		case <-d.nacked:
		}
		d.end()
		ds.mu.Lock()
		defer ds.mu.Unlock()
		if ds.latest[id] == d {
			delete(ds.latest, id)
		}
	}()
}
