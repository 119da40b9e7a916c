package cache

import (
	"sync"
	"unsafe"
)

// events tells the user what happened, from one goroutine, in order. Whoever
// has something to tell never waits: beyond maxEvents only what others decide by
// is told.
type events struct {
	do func(Event)

	mu     sync.Mutex // guards what follows
	queue  []Event
	closed bool
	wake   chan struct{}
}

const maxEvents = 4096

func newEvents(do func(Event)) *events {
	return &events{do: do, wake: make(chan struct{}, 1)}
}

func (e *events) put(ev Event) {
	if e.do == nil {
		return
	}
	e.mu.Lock()
	if len(e.queue) < maxEvents || ev.Type.matters() {
		e.queue = append(e.queue, ev)
	}
	e.mu.Unlock()
	e.poke()
}

// matters reports whether somebody decides by events of this type.
func (t EventType) matters() bool {
	switch t {
	case EventConnected, EventBroken, EventObituary, EventRefused, EventLost, EventDeposed, EventSealed:
		return true
	}
	return false
}

func (e *events) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *events) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.poke()
}

// run tells until close, and then what is left.
func (e *events) run() {
	for {
		e.mu.Lock()
		queue, closed := e.queue, e.closed
		e.queue = nil
		e.mu.Unlock()
		for _, ev := range queue {
			e.do(ev)
		}
		if len(queue) > 0 {
			continue
		}
		if closed {
			return
		}
		<-e.wake
	}
}

// tell queues an event; the lock may be held.
func (c *Cache) tell(e Event) { c.events.put(e) }

// bytesOf is s without a copy: only to be read, and not to be kept.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
