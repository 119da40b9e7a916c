package cache

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

func gossipPeers(peers ...string) func(*Config) {
	return func(c *Config) { c.Peers = peers }
}

func gossipKeys(keys ...byte) [][32]byte {
	var list [][32]byte
	for _, k := range keys {
		list = append(list, [32]byte{k})
	}
	return list
}

func TestGossipMembership(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
		c := gossipStart(t, n.host(3), 3, gossipPeers("10.0.0.1:7000"))
		gossipPass(2 * time.Second)
		a.wantSees(2, 3)
		b.wantSees(1, 3)
		c.wantSees(1, 2)
		if got, want := a.see(2), (member{Instance: InstanceID{2}, Name: "node-b", Addr: b.host.addr()}); got != want {
			t.Errorf("a sees %+v, want %+v", got, want)
		}

		b.mu.Lock()
		b.is, b.reign = true, Reign{Epoch: 7, Instance: InstanceID{2}}
		b.mu.Unlock()
		for range 100 {
			b.updateMeta()
		}
		gossipPass(2 * time.Second)
		for _, x := range []*gossipNode{a, c} {
			if m := x.see(2); !m.Master || m.Reign != (Reign{7, InstanceID{2}}) {
				t.Errorf("%s sees %+v after the promotion", x.cfg.Name, m)
			}
		}

		c.die()
		gossipPass(8 * time.Second)
		a.wantSees(2)
		b.wantSees(1)

		b.stop()
		gossipPass(time.Second)
		a.wantSees()
		a.stop()
		if a.goneN[InstanceID{2}] != 1 || a.goneN[InstanceID{3}] != 1 {
			t.Errorf("a was told of who is gone: %v", a.goneN)
		}
		for _, x := range []*gossipNode{a, b, c} {
			if w := x.log.warnings(t); len(w) > 0 {
				t.Errorf("%s warned: %s", x.cfg.Name, w)
			}
		}
	})
}

// IPv6 addresses of one link work only with a zone, which gossip cannot carry.
func TestGossipLinkLocal(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		var all []*gossipNode
		for _, ip := range []string{"fe80::1%eth9", "fe80::2%eth9", "fe80::3%eth9"} {
			all = append(all, gossipStart(t, n.at(netip.MustParseAddr(ip)), byte(len(all)+1), gossipPeers("[fe80::1%eth9]:7000")))
		}
		gossipPass(3 * time.Second)
		all[0].wantSees(2, 3)
		all[1].wantSees(1, 3)
		if got := all[1].see(3).Addr; got != all[2].host.addr() {
			t.Errorf("told %v, which is at %v", got, all[2].host.addr())
		}
		all[0].learn(all[1].host.addr())
		if len(all[0].targets.addrs) > 0 {
			t.Error("a member is learned anew")
		}
		for _, x := range all {
			x.stop()
		}
	})
}

func TestGossipDigest(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
		defer a.stop()
		defer b.stop()
		b.mu.Lock()
		b.own = digest{Pos{3, 44}, 5, 6}
		b.mu.Unlock()
		gossipPass(2 * pushPullInterval)
		a.mu.Lock()
		defer a.mu.Unlock()
		if got := a.digests[InstanceID{2}]; got != (digest{Pos{3, 44}, 5, 6}) || len(a.digests) != 1 {
			t.Errorf("a heard the digests %v", a.digests)
		}
	})
}

// A cluster that was parted for long, so that all memory in memberlist is
// gone, comes together again, whoever was named in the configuration.
func TestGossipRejoin(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		b := gossipStart(t, n.host(2), 2, nil)
		a.learn(b.host.addr())
		gossipPass(time.Second)
		a.wantSees(2)
		n.setCut(2, true)
		gossipPass(time.Hour)
		a.wantSees()
		b.wantSees()
		n.setCut(2, false)
		gossipPass(35 * time.Second) // the longest pause, and a dial
		a.wantSees(2)
		b.wantSees(1)
		if len(a.targets.addrs)+len(b.targets.addrs) > 0 {
			t.Error("who is there is still to be joined")
		}
		n.setCut(9, true)
		a.learn(n.host(9).addr())
		gossipPass(time.Second)
		begun := time.Now()
		b.stop()
		a.stop() // its dial to nowhere does not hold it up
		if took := time.Since(begun); took > 2*(leaveTimeout+leaveSend) {
			t.Errorf("stop took %v", took)
		}
		if w := append(a.log.warnings(t), b.log.warnings(t)...); len(w) > 0 {
			t.Errorf("warnings: %s", w)
		}
	})
}

// The pauses between vain tries grow, and are never under a second; an address
// that is told of is tried at once the first time, and more often than others.
func TestGossipPace(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, gossipPeers("10.0.0.9:7000"))
		gossipPass(10 * time.Minute)
		vain := a.host.dials()
		if len(vain) < 15 || len(vain) > 40 {
			t.Errorf("%d dials in ten minutes to a peer that is not there", len(vain))
		}
		a.learn(n.host(8).addr())
		gossipPass(time.Millisecond)
		if got := len(a.host.dials()); got != len(vain)+1 {
			t.Errorf("%d dials at once for an address that was learned", got-len(vain))
		}
		a.stop()
		if w := a.log.warnings(t); len(w) > 0 {
			t.Errorf("that a peer is away is no warning: %s", w)
		}
		for i := range len(vain) - 1 {
			if gap := vain[i+1].Sub(vain[i]); gap < time.Second {
				t.Errorf("dial %d came %v after the one before", i+1, gap)
			}
		}
	})
}

// A peer that is there is not joined again and again.
func TestGossipSettled(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
		gossipPass(2 * time.Second)
		before := len(b.host.dials())
		gossipPass(10 * time.Minute)
		if got, most := len(b.host.dials())-before, int(10*time.Minute/pushPullInterval); got > most {
			t.Errorf("%d dials in ten minutes, more than %d exchanges of state", got, most)
		}
		a.stop()
		b.stop()
	})
}

func TestGossipLearnAgain(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		defer a.stop()
		b := n.host(2)
		for range 120 { // heartbeats tell of it, once a second
			a.learn(b.addr())
			gossipPass(time.Second)
		}
		if got := len(a.host.dials()); got < 10 || got > 40 {
			t.Errorf("%d dials in two minutes to an address that is told of and not reached", got)
		}
	})
}

// Who said goodbye is not dialled any more; who vanished is.
func TestGossipGoodbye(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*gossipNode)
		more bool
	}{
		{"goodbye", func(x *gossipNode) { x.stop() }, false},
		{"death", func(x *gossipNode) { x.die() }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gossipBubble(t, func(t *testing.T, n *gossipNet) {
				a := gossipStart(t, n.host(1), 1, nil)
				b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
				gossipPass(2 * time.Second)
				a.wantSees(2)
				tt.end(b)
				gossipPass(30 * time.Second)
				a.wantSees()
				before := len(a.host.dials())
				gossipPass(10 * time.Minute)
				a.stop()
				if more := len(a.host.dials()) > before; more != tt.more {
					t.Errorf("dials after %s: %v, want %v", tt.name, more, tt.more)
				}
			})
		})
	}
}

// The same address with another instance is a restart: the old one goes, the
// new one is there.
func TestGossipRestart(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
		gossipPass(2 * time.Second)
		b.die()
		c := gossipStart(t, n.host(2), 3, gossipPeers("10.0.0.1:7000"))
		gossipPass(15 * time.Second)
		a.wantSees(3)
		c.wantSees(1)
		a.stop()
		c.stop()
	})
}

func TestGossipForeign(t *testing.T) {
	for _, tt := range []struct {
		name  string
		a, b  func(*Config)
		count func(*counters) uint64
		says  string // the log of the one outside
	}{
		{"other cluster", nil, func(c *Config) { c.Cluster = "other" }, func(c *counters) uint64 { return c.RefusedCluster.Load() }, "another cluster"},
		{"other key", func(c *Config) { c.Keys = gossipKeys(1) }, func(c *Config) { c.Keys = gossipKeys(2) }, func(c *counters) uint64 { return c.RefusedKey.Load() }, "no installed keys could decrypt"},
		{"no key", func(c *Config) { c.Keys = gossipKeys(1) }, nil, func(c *counters) uint64 { return c.RefusedKey.Load() }, "this cluster has a key"},
		{"key of its own", nil, func(c *Config) { c.Keys = gossipKeys(2) }, func(c *counters) uint64 { return c.RefusedKey.Load() }, "not encrypted"},
		{"other cluster, same key", func(c *Config) { c.Keys = gossipKeys(1) }, func(c *Config) { c.Keys, c.Cluster = gossipKeys(1), "other" },
			func(c *counters) uint64 { return c.RefusedCluster.Load() }, "not encrypted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gossipBubble(t, func(t *testing.T, n *gossipNet) {
				a := gossipStart(t, n.host(1), 1, tt.a)
				b := gossipStart(t, n.host(2), 2, func(c *Config) {
					c.Peers = []string{"10.0.0.1:7000"}
					if tt.b != nil {
						tt.b(c)
					}
				})
				gossipPass(9 * time.Second)
				a.wantSees()
				b.wantSees()
				if tt.count(a.count) == 0 {
					t.Errorf("not counted: %+v", a.count.snapshot())
				}
				if w := a.log.warnings(t); len(w) != 1 {
					t.Errorf("%d lines, want one: %s", len(w), w)
				}
				if w := b.log.warnings(t); len(w) == 0 || len(w) > 2 || !strings.Contains(strings.Join(w, ""), tt.says) {
					t.Errorf("the one outside has %d lines: %s", len(w), w)
				}
				a.stop()
				b.stop()
			})
		})
	}
}

// The three sweeps of a rotation: accept both, use the new one, drop the old
// one. Nobody is lost at any time.
func TestGossipRotation(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		var all []*gossipNode
		for i := range byte(3) {
			all = append(all, gossipStart(t, n.host(i+1), i+1, func(c *Config) {
				c.Keys, c.Peers = gossipKeys(1), []string{"10.0.0.1:7000"}
			}))
		}
		gossipPass(2 * time.Second)
		for _, keys := range [][]byte{{1, 2}, {2, 1}, {2}, {2, 3, 4}, {4, 2, 3}, {4, 3}, {3, 4}, {3}} {
			for _, x := range all {
				if err := x.setKeys(gossipKeys(keys...)); err != nil {
					t.Fatal(err)
				}
				gossipPass(5 * time.Second)
				if got := len(x.keyring.GetKeys()); got != len(keys) {
					t.Errorf("%d keys in the ring, want %d", got, len(keys))
				}
			}
		}
		all[0].wantSees(2, 3)
		all[1].wantSees(1, 3)
		all[2].wantSees(1, 2)
		for _, x := range all {
			if c := x.count.snapshot(); c.RefusedKey != 0 || len(x.goneN) != 0 {
				t.Errorf("%s refused %d and lost %v during the rotation", x.cfg.Name, c.RefusedKey, x.goneN)
			}
		}
		if err := all[0].setKeys(nil); err == nil {
			t.Error("the last key was dropped")
		}
		if err := all[0].setKeys(gossipKeys(9)); err != nil { // dropped too early
			t.Fatal(err)
		}
		gossipPass(10 * time.Second)
		all[0].wantSees()
		for _, x := range all {
			x.stop()
		}
	})
}

func TestGossipMany(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		const many = 24
		var all []*gossipNode
		for i := range byte(many) {
			all = append(all, gossipStart(t, n.host(i+1), i+1, gossipPeers("10.0.0.1:7000", "10.0.0.2:7000")))
		}
		gossipPass(2 * time.Minute)
		for i, x := range all {
			want := []byte{}
			for j := range byte(many) {
				if int(j) != i {
					want = append(want, j+1)
				}
			}
			x.wantSees(want...)
			if len(x.goneN) > 0 {
				t.Errorf("%s lost %v", x.cfg.Name, x.goneN)
			}
		}
		for _, x := range all {
			x.stop()
		}
	})
}

// A probe waits for its answer on a goroutine that memberlist's Shutdown does
// not end. run does not return before it has.
func TestGossipStopUnanswered(t *testing.T) {
	for i := range 48 {
		after := time.Duration(50 * (i + 1))
		gossipBubble(t, func(t *testing.T, n *gossipNet) {
			a := gossipStart(t, n.host(1), 1, nil)
			b := gossipStart(t, n.host(2), 2, gossipPeers("10.0.0.1:7000"))
			c := gossipStart(t, n.host(3), 3, gossipPeers("10.0.0.1:7000"))
			gossipPass(2 * time.Second)
			b.die()
			gossipPass(after * time.Millisecond)
			begun := time.Now()
			var wg sync.WaitGroup
			wg.Go(a.stop)
			wg.Go(c.stop)
			wg.Wait()
			if took := time.Since(begun); took > leaveTimeout+leaveSend+maxProbeMult*probeInterval {
				t.Errorf("stop took %v", took)
			}
			gossipNothingLeft(t)
		})
	}
}

// So does a probe for another member, as anyone without a key can ask for.
func TestGossipStopRelaying(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		gossipPass(time.Second)
		b := []byte("\x01\x85\xa5SeqNo\x01\xa6Target\xa4\x0a\x00\x00\x07\xa4Port\xcd\x1b\x58\xa4Node\xa1x\xa4Nack\xc3")
		if _, err := (gossipPackets{n.host(9)}).WriteTo(gossipPacket(a.label, b...), net.UDPAddrFromAddrPort(a.host.addr())); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begun := time.Now()
		a.stop()
		if took := time.Since(begun); took != probeTimeout {
			t.Errorf("stop took %v, the probe's rest is %v", took, probeTimeout)
		}
		gossipNothingLeft(t)
	})
}

func gossipNothingLeft(t *testing.T) {
	t.Helper()
	synctest.Wait()
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	if strings.Contains(string(all), "hashicorp/memberlist") {
		t.Errorf("left behind:\n%s", all)
	}
}

func TestReplaceKeys(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		defer a.stop()
		for _, keys := range []string{"321", "2", "29", "1", "54321", "5", "35"} {
			if err := a.setKeys(gossipKeys([]byte(keys)...)); err != nil {
				t.Fatal(err)
			}
			var want [][]byte
			for _, k := range gossipKeys([]byte(keys)...) {
				d, err := deriveKey(k, "test", gossipAEAD)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, d)
			}
			got := a.keyring.GetKeys()
			if !a.port.keyed.Load() || len(got) != len(want) || !slices.Equal(got[0], want[0]) {
				t.Errorf("%s: %d keys, want %d", keys, len(got), len(want))
			}
			for _, w := range want {
				if !slices.ContainsFunc(got, func(g []byte) bool { return slices.Equal(g, w) }) {
					t.Errorf("%s: a key is missing", keys)
				}
			}
		}
	})
}

// What has our label and is not of our kind does not come in.
func TestGossipDelegate(t *testing.T) {
	gossipBubble(t, func(t *testing.T, n *gossipNet) {
		a := gossipStart(t, n.host(1), 1, nil)
		defer a.stop()
		d := &delegate{gossip: a.gossip}
		sound := func() *memberlist.Node {
			m := meta{Tag: a.tag, Port: 7000, Name: "x"}
			return &memberlist.Node{Name: InstanceID{9}.String(), Addr: []byte{10, 0, 0, 9}, Port: 7000, Meta: m.append(nil)}
		}
		for _, tt := range []struct {
			name   string
			change func(*memberlist.Node)
			ok     bool
		}{
			{"sound", func(*memberlist.Node) {}, true},
			{"itself", func(n *memberlist.Node) { *n = memberlist.Node{Name: a.self} }, true},
			{"no meta", func(n *memberlist.Node) { n.Meta = nil }, false},
			{"other cluster", func(n *memberlist.Node) { n.Meta[1] ^= 1 }, false},
			{"other version", func(n *memberlist.Node) { n.Meta[0]++ }, false},
			{"no instance", func(n *memberlist.Node) { n.Name = "peer" }, false},
			{"no address", func(n *memberlist.Node) { n.Addr = nil }, false},
			{"any address", func(n *memberlist.Node) { n.Addr = []byte{0, 0, 0, 0} }, false},
			{"no port", func(n *memberlist.Node) { n.Port = 0 }, false},
		} {
			node := sound()
			tt.change(node)
			if err := d.NotifyAlive(node); (err == nil) != tt.ok {
				t.Errorf("alive: %s: %v", tt.name, err)
			}
			if err := d.NotifyMerge([]*memberlist.Node{sound(), node}); (err == nil) != tt.ok {
				t.Errorf("merge: %s: %v", tt.name, err)
			}
			d.NotifyJoin(node)
			if got := len(a.members()) == 1; got != (tt.name == "sound") {
				t.Errorf("join: %s: %v", tt.name, a.members())
			}
			d.NotifyLeave(node)
		}
		lost := netip.MustParseAddrPort("10.0.0.9:7000")
		if a.targets.addrs[lost] == nil {
			t.Error("the address of a lost one is not kept")
		}
		id := InstanceID{9}
		d.NotifyMsg(append([]byte{'B'}, id[:]...)) // its goodbye comes after all
		if a.targets.addrs[lost] != nil {
			t.Error("the address is kept after the goodbye")
		}
		own := append([]byte{'B'}, a.cfg.Instance[:]...)
		for _, b := range [][]byte{nil, {'B'}, own[:byeSize-1], own, append(own, 0)} {
			d.NotifyMsg(b) // nobody known: nothing happens
		}
		if len(a.table.byes) != 1 {
			t.Errorf("goodbyes of strangers are kept: %v", a.table.byes)
		}
	})
}

// Invented instances find no room for ever; those that are dead make some.
func TestMemberTableFull(t *testing.T) {
	table := newMemberTable(InstanceID{1})
	now := time.Unix(1000, 0)
	id := func(i int) InstanceID { return InstanceID{2, byte(i >> 8), byte(i)} }
	at := netip.MustParseAddrPort("10.0.0.9:7000")
	for i := range maxMembers {
		if err := table.admits(id(i), now); err != nil {
			t.Fatalf("the %dth: %v", i, err)
		}
		table.put(member{Instance: id(i)}, at)
	}
	more := id(maxMembers)
	if err := table.admits(more, now); err == nil {
		t.Error("one more came in")
	}
	if err := table.admits(id(7), now); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if lost := table.gone(id(7), now); lost.IsValid() {
		t.Error("an address is lost where others are")
	}
	if err := table.admits(more, now.Add(forgetAfter)); err == nil {
		t.Error("one more came in, for one that memberlist still knows")
	}
	if err := table.admits(more, now.Add(forgetAfter+1)); err != nil {
		t.Errorf("there is room: %v", err)
	}
	if got := len(table.members()); got != maxMembers-1 {
		t.Errorf("%d members", got)
	}
}

// Without a key nobody can have gossip work harder than it does in a great
// cluster.
func TestGossipRate(t *testing.T) {
	for _, keyed := range []bool{false, true} {
		gossipBubble(t, func(t *testing.T, n *gossipNet) {
			a := gossipStart(t, n.host(1), 1, func(c *Config) {
				if keyed {
					c.Keys = gossipKeys(1)
				}
			})
			evil := gossipPackets{n.host(9)}
			b := gossipPacket(a.label, gossipNack, 0x80)
			if keyed {
				b = gossipPacket(a.label, append([]byte{1}, make([]byte, 40)...)...)
			}
			gossipPass(time.Second)
			begin := time.Now()
			for range 50 {
				for range 100 {
					_, _ = evil.WriteTo(b, net.UDPAddrFromAddrPort(a.host.addr()))
				}
				synctest.Wait()
			}
			if time.Since(begin) != 0 {
				t.Fatal("time went by")
			}
			want := uint64(5000 - gossipBurst)
			if keyed {
				want = 0
			}
			if got := a.count.RefusedBusy.Load(); got != want {
				t.Errorf("keyed %v: %d of 5000 refused, want %d", keyed, got, want)
			}
			a.stop()
		})
	}
}

func TestGossipName(t *testing.T) {
	id := InstanceID{1, 0xab}
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{id.String(), true},
		{strings.ToUpper(id.String()), false},
		{id.String()[1:], false},
		{InstanceID{}.String(), false},
		{strings.Repeat("x", 32), false},
		{"", false},
	} {
		if got, ok := parseInstance(tt.name); ok != tt.ok || ok && got != id {
			t.Errorf("%q: %v, %v", tt.name, got, ok)
		}
	}
}
