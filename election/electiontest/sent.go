package electiontest

import "github.com/interlok-ha/interlok-ha/heartbeat"

// sent looks at each packet that leaves.
func (c *checker) sent(n *node, p *heartbeat.Packet) {
	s := c.s
	switch {
	case p.Kind == heartbeat.KindClaim:
		c.claimed(n, p)
	case p.State != heartbeat.StateClaiming:
		n.claim.active = false
	}
	if p.Kind == heartbeat.KindResign && !c.resigned[p.Resigned] {
		c.resigned[p.Resigned] = true
		c.expectHeir(p.Resigned.Heir)
	}
	if p.Kind == heartbeat.KindPrepare {
		c.asked = s.now
	}
	if !p.State.Reigns() {
		return
	}
	n.beatAt = s.now
	if p.State != heartbeat.StateOpening && n.guard.Until > 0 && n.local() >= n.guard.Until {
		s.violate("S7", "%s speaks as master after its guard ran out", n.spec.Name)
	}
}

// claimed: no node claims again and again (L4).
func (c *checker) claimed(n *node, p *heartbeat.Packet) {
	s, k := c.s, &n.claim
	next := claimSeen{at: s.now, active: true, epoch: p.Epoch, master: p.Master,
		heir: p.Resigned.Heir == p.Instance, resigned: p.Resigned, dead: p.Flags.Has(heartbeat.FlagGone), deadID: p.Obituary.Instance, forced: p.Flags.Has(heartbeat.FlagForced), refused: p.Flags.Has(heartbeat.FlagRefused)}
	if k.active {
		if p.Epoch != k.epoch { // raised; or another one, after one that was given up without a packet
			*k = next
		}
		return
	}
	s.rep.Claims++
	if k.at > 0 && s.now-k.at < 3*n.delay()*9/10 && k.master == p.Master && !next.heir && !next.dead && !next.forced && (next.refused || !k.refused) {
		s.violate("L4", "%s claims again after %v", n.spec.Name, s.now-k.at)
	}
	*k = next
}

// expectHeir: when all is well the heir opens soon (L3).
func (c *checker) expectHeir(id heartbeat.InstanceID) {
	s := c.s
	if !c.clean() || !c.planned {
		return
	}
	for _, n := range s.nodes {
		if n.id == id && n.up {
			c.heirBy = c.workEnd + n.delay()/5 + n.delay() + 3*c.delta() + s.sc.Barrier + s.diskTime()
		}
	}
}
