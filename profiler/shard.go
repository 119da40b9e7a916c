package profiler

import (
	"runtime"
	"sync"
	"time"
)

// maxFailed bounds the ids whose failures a shard remembers, to number their
// next attempt.
const maxFailed = 1024

// shard has the messages whose ids fall to it, and their events. All events of
// a message go through one shard: that keeps their order.
type shard struct {
	p      *Profiler
	mu     sync.Mutex // guards all that follows, and the messages of the shard
	buf    []Event    // made for the first event: an instance may never have one
	spare  []Event    // takes turns with buf
	limit  int        // of buf, but for ends of steps whose start is told
	gen    uint32     // which buf it is
	closed bool       // Run has ended
	open   map[string]*message
	failed map[string]uint16 // how often in a row, by id
	free   *run              // runs that nobody has
	room   chan struct{}     // closed when buf is emptied; nil: nobody waits

	events, dropped, late, repeated, untold uint64

	_ [64]byte // shards do not share a cache line
}

func (sh *shard) init(p *Profiler, limit int) {
	sh.p = p
	sh.limit = limit
	sh.open = map[string]*message{}
	sh.failed = map[string]uint16{}
}

func (sh *shard) count(s *Stats) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.Events += sh.events
	s.Dropped += sh.dropped
	s.Late += sh.late
	s.Repeated += sh.repeated
	s.Untold += sh.untold
}

// lock locks; with Block it first waits for room, without the lock.
func (sh *shard) lock() {
	sh.mu.Lock()
	if len(sh.buf) >= sh.limit && sh.p.cfg.Overflow == Block {
		sh.wait()
	}
}

func (sh *shard) wait() {
	p := sh.p
	for len(sh.buf) >= sh.limit && !sh.closed && p.state.Load() == running {
		if sh.room == nil {
			sh.room = make(chan struct{})
		}
		room := sh.room
		sh.mu.Unlock()
		poke(p.hurry)
		poke(p.wake)
		<-room
		sh.mu.Lock()
	}
}

// add puts an event into the buffer, and makes it if there is none. The shard
// is locked.
func (sh *shard) add(e Event) {
	if sh.buf == nil {
		sh.buf = make([]Event, 0, sh.limit)
	}
	sh.buf = append(sh.buf, e)
	sh.events++
}

// take swaps the buffers and returns the full one. Only Run's goroutine calls
// it, and gives the buffer back by the next call.
func (sh *shard) take(last bool) []Event {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed = sh.closed || last
	if sh.room != nil {
		close(sh.room)
		sh.room = nil
	}
	full := sh.buf
	if len(full) == 0 {
		return nil
	}
	if sh.spare == nil || cap(sh.spare) > 2*sh.limit {
		sh.spare = make([]Event, 0, sh.limit)
	}
	sh.buf, sh.spare = sh.spare[:0], full
	sh.gen++
	return full
}

// told does after an event, without the lock, what gets it going. n is how
// many there were with it.
func (p *Profiler) told(n, limit int) {
	switch n {
	case 1:
		poke(p.wake)
	case limit / 2:
		poke(p.hurry)
	case limit - limit/4:
		runtime.Gosched() // all processors are busy with steps: let Run have one
	}
}

// message is one that is, or was, in flight.
type message struct {
	sh      *shard
	id      string
	flow    *Step         // its workflow
	began   time.Duration // since base
	detail  *Detail       // of its start
	attempt uint16        // of its workflow
	scope   scope         // of its first workflow; here to save an allocation

	// Guarded by sh.mu.
	order uint32 // of the last step begun
	runs  int    // workflows under way
	mute  bool   // its start is not told, so nothing is
	ended bool
	fails []failure // of steps in it
}

type failure struct {
	step  *Step
	times uint16
}

// attemptOf numbers a run of the step: 1 more than it failed with this message.
func (m *message) attemptOf(s *Step) uint16 {
	for _, f := range m.fails {
		if f.step == s {
			return more(f.times)
		}
	}
	return 1
}

func (m *message) fail(s *Step) {
	for i := range m.fails {
		if f := &m.fails[i]; f.step == s {
			f.times = more(f.times)
			return
		}
	}
	m.fails = append(m.fails, failure{s, 1})
}

func more(n uint16) uint16 {
	if n == 1<<16-1 {
		return n
	}
	return n + 1
}

// fail remembers that the workflow of id failed, for the next attempt.
func (sh *shard) fail(id string, attempt uint16) {
	if len(sh.failed) >= maxFailed {
		for other := range sh.failed {
			delete(sh.failed, other)
			break
		}
	}
	sh.failed[id] = attempt
}
