package profiler

import (
	"bytes"
	"context"
	"time"
)

// open begins a workflow: a new message, or another run with one in flight. It
// returns the context of the message. ErrUntold goes with a zero span.
func (s *Step) open(ctx context.Context, id string, payload []byte, at time.Duration) (context.Context, Span, error) {
	p := s.p
	var around *scope
	if c := scopeOf(ctx); c != nil && c.m.sh.p == p && (id == "" || id == c.m.id) {
		around, id = c, c.m.id
	}
	if id == "" {
		id = p.name()
	}
	d := p.keep(payload)
	sh := p.shard(id)

	sh.lock()
	m := sh.open[id]
	again := m != nil
	if !again {
		m = &message{sh: sh, id: id, flow: s, began: at, detail: d, attempt: more(sh.failed[id])}
		m.scope = scope{Context: ctx, m: m, order: 1}
		if p.open.Add(1) > int64(p.cfg.Open) {
			p.open.Add(-1)
			m.ended, m.mute = true, true
			sh.untold++
			sh.mu.Unlock()
			return &m.scope, Span{}, ErrUntold
		}
		sh.open[id] = m
	}
	m.order++
	m.runs++
	r := sh.borrow()
	r.s, r.at, r.m, r.id, r.order, r.parent, r.attempt = s, at, m, id, m.order, 0, m.attempt
	switch {
	case again && around != nil && around.m == m: // a workflow in a workflow
		r.parent, r.attempt = around.order, m.attemptOf(s)
	case again:
		sh.repeated++
		r.attempt = more(sh.failed[id])
		for range m.runs - 1 {
			r.attempt = more(r.attempt)
		}
	}
	sp := Span{r: r, seq: r.seq}
	n := r.start(d)
	if n == 0 && !again {
		m.mute = true
		sh.untold++
	}
	sh.mu.Unlock()
	p.told(n, sh.limit)

	if again {
		return &scope{Context: ctx, m: m, order: r.order}, sp, nil
	}
	return &m.scope, sp, nil
}

// keep copies a payload that is to be kept.
func (p *Profiler) keep(payload []byte) *Detail {
	if !p.cfg.Payload || len(payload) == 0 {
		return nil
	}
	if len(payload) > p.cfg.MaxPayload {
		p.payloads.Add(1)
		return nil
	}
	return &Detail{Payload: bytes.Clone(payload)}
}
