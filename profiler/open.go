package profiler

import (
	"bytes"
	"context"
)

// open begins a workflow: a new message, or another run with one in flight. It
// returns the context of the message.
func (sp *Span) open(ctx context.Context, payload []byte) context.Context {
	s, p := sp.s, sp.s.p
	var parent *scope
	if c := scopeOf(ctx); c != nil && c.m.p == p {
		if sp.id == "" {
			sp.id = c.m.id
		}
		if sp.id == c.m.id {
			parent = c
		}
	}
	if sp.id == "" {
		sp.id = p.name()
	}
	d := p.keep(payload)
	sh := p.shard(sp.id)
	sp.sh = sh

	sh.lock(p)
	m, again := sh.open[sp.id], true
	if m == nil {
		m, again = &message{p: p, sh: sh, id: sp.id, flow: s, began: sp.at, detail: d}, false
		if p.open.Add(1) > int64(p.cfg.Open) {
			p.open.Add(-1)
			sh.untold++
			sh.mu.Unlock()
			return sp.untold(ctx, m)
		}
		sh.open[sp.id] = m
	}
	m.order++
	m.runs++
	sp.m, sp.order = m, m.order
	sp.attempt = more(sh.failed[sp.id])
	if again && parent != nil && parent.m == m {
		sp.parent = parent.order // a workflow in a workflow
		sp.attempt = m.attemptOf(s)
	} else if again {
		sh.repeated++
		for range m.runs - 1 {
			sp.attempt = more(sp.attempt)
		}
	}
	if !again {
		m.attempt = sp.attempt
	}
	n := 0
	if m.mute {
		sp.index = -1
		sh.dropped++
	} else if n = sp.start(d); n == 0 && !again {
		m.mute = true
		sh.untold++
	}
	sh.mu.Unlock()
	p.told(n, sh.limit)

	if again {
		return &scope{Context: ctx, m: m, order: sp.order}
	}
	m.scope = scope{Context: ctx, m: m, order: sp.order}
	return &m.scope
}

// untold is the context of a message that nobody hears of: its steps know its
// id, and what they tell is dropped.
func (sp *Span) untold(ctx context.Context, m *message) context.Context {
	*sp = Span{}
	m.ended, m.mute = true, true // nobody else has it yet
	m.scope = scope{Context: ctx, m: m, order: 1}
	return &m.scope
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
