package cache

import (
	"net/netip"
	"testing"
	"time"
)

// roam gives a node another address in place of the one it has.
func (x *gossipNode) roam(to byte) {
	x.t.Helper()
	n := x.host.net
	n.mu.Lock()
	delete(n.hosts, x.host.ip)
	n.mu.Unlock()
	x.host = n.host(to)
	l, p, err := x.host.Listen(netip.AddrPort{})
	if err != nil {
		x.t.Fatal(err)
	}
	x.cfg.Network = x.host
	if err := x.port.move(newBound(l, p)); err != nil {
		x.t.Fatal(err)
	}
	x.gossip.move()
}

func (t *targets) has(a netip.AddrPort) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.addrs[a] != nil
}

// Who moves says goodbye from there, and comes back at once. If nobody hears
// that, the others first have to find out that it is gone. Later it is one like
// all: if it dies it is looked for.
func TestGossipMove(t *testing.T) {
	for _, tt := range []struct {
		name  string
		unmet time.Duration // it is not heard after the move
		most  time.Duration
	}{
		{"goodbye", 0, 4 * time.Second},
		{"goodbye lost", 3 * time.Second, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gossipBubble(t, func(t *testing.T, n *gossipNet) {
				a := gossipStart(t, n.host(1), 1, nil)
				b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
				c := gossipStart(t, n.host(3), 3, nil)
				c.learn(a.host.addr()) // and nobody names it to c again
				gossipPass(3 * time.Second)
				c.wantSees(1, 2)
				for to := byte(13); to < 15; to++ {
					was := c.host.addr()
					n.setCut(to, tt.unmet > 0)
					c.roam(to)
					gossipPass(tt.unmet)
					n.setCut(to, false)
					gossipPass(tt.most)
					if c.learn(was); !c.targets.has(was) {
						t.Error("whoever has the old address now cannot be learnt of")
					}
					if c.learn(c.host.addr()); c.targets.has(c.host.addr()) {
						t.Error("its own address is learnt")
					}
					c.wantSees(1, 2)
					for _, x := range []*gossipNode{a, b} {
						x.wantSees(1+2-x.cfg.Instance[0], 3)
						if got := x.see(3).Addr; got != c.host.addr() {
							t.Errorf("%s is told %v, want %v", x.cfg.Name, got, c.host.addr())
						}
					}
				}
				c.die()
				gossipPass(30 * time.Second)
				a.wantSees(2)
				if !a.targets.has(c.host.addr()) {
					t.Error("who moved and died is not looked for")
				}
				a.stop()
				b.stop()
			})
		})
	}
}
