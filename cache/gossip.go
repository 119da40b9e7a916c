package cache

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Gossip says who is there, where, and whose copy differs. It carries no
// entries. It is not what finds out that a master died: the heartbeats and the
// streams are far quicker. So its pace is moderate: a silent member is suspected
// after one probe, at most a second, and told to be gone two seconds later,
// which is time enough to object.
const (
	probeInterval = time.Second
	probeTimeout  = 500 * time.Millisecond
	suspicionMult = 2
	// maxProbeMult bounds how much slower an instance probes that finds itself
	// short of time.
	maxProbeMult     = 8
	pushPullInterval = 15 * time.Second
	gossipInterval   = 500 * time.Millisecond
	retransmitMult   = 3
	// handoffDepth × maxDatagram × 2 queues is what a flood can fill.
	handoffDepth = 512
	leaveTimeout = 300 * time.Millisecond
	// moveTimeout is the same where the instance lives on: without a goodbye the
	// others refuse its other address for as long as they take it to be alive.
	moveTimeout = 4 * gossipInterval
	// leaveSend is for the datagram that memberlist says is sent when it has
	// only taken it from its queue.
	leaveSend = 10 * time.Millisecond

	gossipAEAD = "gossip-aead"
)

// gossipConfig is what a gossip is made of. The callbacks come from one
// goroutine, one after the other; they may take their time, and may call
// gossip's methods.
type gossipConfig struct {
	cfg      *Config
	port     *port
	count    *counters
	role     func() (master bool, r Reign) // of this instance
	digest   func() digest                 // of this instance
	onMember func(member)                  // came, or changed
	onGone   func(InstanceID)
	onDigest func(InstanceID, digest)
}

// member is another instance, as it tells of itself.
type member struct {
	Instance InstanceID
	Name     string
	Addr     netip.AddrPort // of its streams
	Master   bool
	Reign    Reign // the one it is master of, or follows
}

// gossip is membership. Its methods may be called from any goroutine, before,
// while and after it runs.
type gossip struct {
	gossipConfig
	tag     [8]byte
	label   string
	self    string
	bridge  *bridge
	keyring *memberlist.Keyring
	keysMu  sync.Mutex // serialises setKeys
	beacon  *beacon    // nil: none
	table   *memberTable
	targets *targets
	changed chan struct{} // the role did
	moved   chan struct{} // the port did
}

func newGossip(gc gossipConfig) (*gossip, error) {
	cfg := gc.cfg
	if cfg.Instance.IsZero() {
		return nil, errors.New("cache: gossip: Instance is not set")
	}
	if !gc.port.addr().IsValid() {
		return nil, fmt.Errorf("cache: gossip: %v is no address to tell others", gc.port.now.Load().listener.Addr())
	}
	g := &gossip{
		gossipConfig: gc, tag: clusterTag(cfg.Cluster), self: cfg.Instance.String(),
		bridge: &bridge{lines: gc.port.lines, count: gc.count},
		table:  newMemberTable(cfg.Instance), changed: make(chan struct{}, 1), moved: make(chan struct{}, 1),
	}
	g.label = "ilha1." + hex.EncodeToString(g.tag[:])
	g.targets = newTargets(cfg.Peers, gc.port.addr())
	var err error
	if g.keyring, err = memberlist.NewKeyring(nil, nil); err != nil {
		return nil, fmt.Errorf("cache: gossip: %w", err)
	}
	if cfg.Beacon != nil {
		g.beacon = newBeacon(cfg, gc.port, gc.count, g.learn)
	}
	if err := g.setKeys(cfg.Keys); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *gossip) config(d *delegate) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = g.self // of this start: a name that was dead and is back confuses nobody
	c.Transport = d.transport
	c.Label = g.label
	c.BindPort = int(g.port.addr().Port())
	c.AdvertisePort = c.BindPort
	c.Keyring = g.keyring
	c.GossipVerifyIncoming, c.GossipVerifyOutgoing = true, true
	c.EnableCompression = false // up to ten times slower, for nothing
	c.RequireNodeNames = true
	c.DeadNodeReclaimTime = time.Second // else an address that changed is locked out
	c.DelegateProtocolVersion, c.DelegateProtocolMin, c.DelegateProtocolMax = metaVersion, metaVersion, metaVersion
	c.Delegate, c.Events, c.Alive, c.Merge, c.Ping = d, d, d, d, d
	c.Logger = g.bridge.logger()
	c.TCPTimeout = streamTimeout
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.SuspicionMult, c.AwarenessMaxMultiplier = suspicionMult, maxProbeMult
	c.PushPullInterval, c.GossipInterval = pushPullInterval, gossipInterval
	c.RetransmitMult = retransmitMult
	c.HandoffQueueDepth = handoffDepth
	return c
}

// run takes part until ctx ends, says goodbye, and returns nil. It may be
// called once. memberlist's address is for life; where the port has another, a
// new life begins: the others see this instance go, and come back from there.
func (g *gossip) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		if err := g.live(ctx, &wg); err != nil || ctx.Err() != nil {
			return err
		}
		for _, m := range g.members() { // whoever is there says so again
			at := g.table.gossipAddr(m.Instance)
			g.table.gone(m.Instance, time.Now())
			g.targets.learn(at, time.Now())
		}
	}
}

// live takes part until ctx ends or the port moves. What memberlist leaves
// running goes on in wg.
func (g *gossip) live(ctx context.Context, wg *sync.WaitGroup) error {
	select {
	case <-g.moved: // before this life
	default:
	}
	t := newTransport(g.port, g.cfg.Network, g.label)
	if !g.port.attach(t) {
		_ = t.Shutdown()
		if ctx.Err() != nil {
			return nil
		}
		return errNoGossip
	}
	defer g.port.detach()
	d := &delegate{gossip: g, transport: t}
	m, err := memberlist.Create(g.config(d))
	if err != nil {
		_ = t.Shutdown()
		return fmt.Errorf("start gossip: %w", err)
	}
	t.mu.Lock()
	t.score = m.GetHealthScore
	t.mu.Unlock()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { g.tell(inner) })
	parts.Go(func() { g.rejoin(inner, m) })
	parts.Go(func() { g.announce(inner, m) })
	if g.beacon != nil {
		parts.Go(func() { g.beacon.run(inner) })
	}
	timeout := leaveTimeout
	select {
	case <-ctx.Done():
	case <-g.moved:
		timeout = moveTimeout
	}
	cancel()
	t.hangUp()
	parts.Wait()
	g.goodbye(m, timeout)
	_ = m.Shutdown() // it has no errors of its own
	d.ended.Store(true)
	_ = m.NumMembers() // it waits for the call of d that is under way
	wg.Go(t.drain)
	return nil
}

// move goes on at the address that the port has now. It does not block.
func (g *gossip) move() {
	g.targets.moved(g.port.addr())
	select {
	case g.moved <- struct{}{}:
	default:
	}
}

// announce publishes a changed role.
func (g *gossip) announce(ctx context.Context, m *memberlist.Memberlist) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.changed:
		}
		// It queues the news and would then wait for it to be sent; there is
		// nothing to do about it if it is not.
		_ = m.UpdateNode(time.Nanosecond)
		select {
		case <-ctx.Done():
			return
		case <-time.After(gossipInterval): // however often the role changes
		}
	}
}

// byeSize is the message that says that an instance ends on purpose: 'B' and
// the instance. memberlist does not tell who gets to hear of a leave why.
const byeSize = 1 + len(InstanceID{})

func (g *gossip) goodbye(m *memberlist.Memberlist, timeout time.Duration) {
	there := g.members()
	if len(there) == 0 {
		return
	}
	bye := append([]byte{'B'}, g.cfg.Instance[:]...)
	for _, p := range there {
		a := memberlist.Address{Addr: g.table.gossipAddr(p.Instance).String(), Name: p.Instance.String()}
		_ = m.SendToAddress(a, bye) // a hint: unheard, it costs the other a few vain dials
	}
	if err := m.Leave(timeout); err != nil {
		g.port.lines.log.Debug().Err(err).Msg("Gossip ended before everybody heard the goodbye")
	}
	time.Sleep(leaveSend)
}

// learn tells of an address where another instance's cache may be. It is cheap
// and never blocks.
func (g *gossip) learn(addr netip.AddrPort) {
	addr = unzoned(addr)
	if g.table.hasAddr(addr) {
		return
	}
	g.targets.learn(addr, time.Now())
}

// members are the others that are there, by instance.
func (g *gossip) members() []member { return g.table.members() }

// updateMeta tells the others of a changed role or reign. It does not block.
func (g *gossip) updateMeta() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// setKeys replaces the keys: the first is used, all are accepted. Gossip cannot
// go from some to none while it runs.
func (g *gossip) setKeys(keys [][32]byte) error {
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	old := g.keyring.GetKeys()
	if len(keys) == 0 {
		if len(old) > 0 {
			return errors.New("cache: gossip: the last key cannot be dropped while running")
		}
		return nil
	}
	derived := make([][]byte, len(keys))
	for i, k := range keys {
		var err error
		if derived[i], err = deriveKey(k, g.cfg.Cluster, gossipAEAD); err != nil {
			return fmt.Errorf("cache: gossip: %w", err)
		}
	}
	if g.beacon != nil {
		if err := g.beacon.setKeys(keys); err != nil {
			return fmt.Errorf("cache: gossip: %w", err)
		}
	}
	if err := replaceKeys(g.keyring, derived); err != nil {
		return fmt.Errorf("cache: gossip: %w", err)
	}
	g.port.keyed.Store(true)
	return nil
}

// replaceKeys makes keys the ring's, the first in use.
func replaceKeys(ring *memberlist.Keyring, keys [][]byte) error {
	if err := ring.AddKey(keys[0]); err != nil {
		return err
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return err
	}
	// RemoveKey shifts the keys behind the one removed, in the array that
	// readers may be walking through. The last one has none behind it, so all
	// go from the end. What is wanted comes back at once.
	for old := ring.GetKeys(); len(old) > 1; old = ring.GetKeys() {
		if sameKeys(old, keys) {
			return nil
		}
		if err := ring.RemoveKey(old[len(old)-1]); err != nil {
			return err
		}
	}
	for _, k := range keys[1:] {
		if err := ring.AddKey(k); err != nil {
			return err
		}
	}
	return nil
}

func sameKeys(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// addrOf is a member's address in gossip.
func addrOf(n *memberlist.Node) (netip.AddrPort, bool) {
	ip, ok := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port), ok && n.Port != 0 && !ip.IsUnspecified() && !ip.IsMulticast()
}
