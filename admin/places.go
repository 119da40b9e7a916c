package admin

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// places are the connections that a door has at once. When all are taken, a
// newcomer gets that of whoever has been idle the longest: who keeps connections
// open and asks nothing keeps nobody out. Safe for concurrent use; one at a time
// may wait in enter.
type places struct {
	most int

	mu   sync.Mutex             // guards in
	in   map[net.Conn]time.Time // since when it is idle; zero: a request of it is at work
	free chan struct{}          // somebody left, or fell idle
}

// fairTime is what a newcomer has for its request before another may have its
// place; longer than a busy machine needs.
const fairTime = 250 * time.Millisecond

func newPlaces(most int) *places {
	return &places{most: most, in: map[net.Conn]time.Time{}, free: make(chan struct{}, 1)}
}

// enter waits for a place for c, until closed is. Call leave afterwards.
func (p *places) enter(c net.Conn, closed <-chan struct{}) bool {
	for {
		out, wait, ok := p.try(c)
		if out != nil {
			_ = out.Close()
		}
		if ok {
			return true
		}
		var ripe <-chan time.Time // nil: all are at work
		if wait > 0 {
			ripe = time.After(wait)
		}
		select {
		case <-p.free:
		case <-ripe:
		case <-closed:
			return false
		}
	}
}

// try enters c if it can. out has to make room for it; wait is how long until
// somebody may be put out, 0: nobody is idle.
func (p *places) try(c net.Conn) (out net.Conn, wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if len(p.in) >= p.most {
		var since time.Time
		for other, idle := range p.in {
			if !idle.IsZero() && (out == nil || idle.Before(since)) {
				out, since = other, idle
			}
		}
		if out == nil {
			return nil, 0, false
		}
		if idle := now.Sub(since); idle < fairTime {
			return nil, fairTime - idle, false
		}
		delete(p.in, out)
	}
	p.in[c] = now
	return out, 0, true
}

// leave gives the place of c back, if it still has one.
func (p *places) leave(c net.Conn) {
	p.mu.Lock()
	delete(p.in, c)
	p.mu.Unlock()
	p.tell()
}

// note is for [http.Server.ConnState]: it says who is at work and who idle.
func (p *places) note(c net.Conn, state http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	p.mu.Lock()
	_, in := p.in[c]
	if in {
		switch state {
		case http.StateActive:
			p.in[c] = time.Time{}
		case http.StateIdle:
			p.in[c] = time.Now()
		}
	}
	p.mu.Unlock()
	if in && state == http.StateIdle {
		p.tell()
	}
}

func (p *places) tell() {
	select {
	case p.free <- struct{}{}:
	default:
	}
}
