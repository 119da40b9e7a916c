package cache

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// maxMembers bounds the instances that are known at once, dead ones that
	// memberlist has not forgotten yet included. Without a key anyone can
	// invent some.
	maxMembers = 1024
	// memberlist forgets a dead member after 30 s or somewhat more.
	forgetAfter = 2 * time.Minute
)

var errFull = errors.New("too many instances")

// memberTable is who is there. It is kept beside memberlist's own list, which
// cannot be read without a race.
type memberTable struct {
	self InstanceID

	mu    sync.Mutex // guards what follows
	known map[InstanceID]*known
	addrs map[netip.AddrPort]int // of those who are there, in gossip
	byes  map[InstanceID]time.Time
	news  map[InstanceID]*news
	order []InstanceID // of the news
	wake  chan struct{}
}

type known struct {
	member
	gossip netip.AddrPort
	there  bool
	left   time.Time
}

// news is what the owner was not told yet of one instance.
type news struct {
	changed bool // came, changed or went
	digest  *digest
}

func newMemberTable(self InstanceID) *memberTable {
	return &memberTable{
		self: self, known: map[InstanceID]*known{}, addrs: map[netip.AddrPort]int{},
		byes: map[InstanceID]time.Time{}, news: map[InstanceID]*news{}, wake: make(chan struct{}, 1),
	}
}

// admits says whether an instance may come in.
func (t *memberTable) admits(id InstanceID, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known[id] != nil || len(t.known) < maxMembers {
		return nil
	}
	for id, k := range t.known {
		if !k.there && now.Sub(k.left) > forgetAfter {
			delete(t.known, id)
		}
	}
	if len(t.known) >= maxMembers {
		return errFull
	}
	return nil
}

func (t *memberTable) put(m member, at netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[m.Instance]; k != nil && k.there {
		t.drop(k.gossip)
	}
	t.known[m.Instance] = &known{member: m, gossip: at, there: true}
	t.addrs[at]++
	delete(t.byes, m.Instance) // it only moved
	t.tell(m.Instance).changed = true
}

// gone takes an instance out. lost is its address, if it did not say goodbye
// and nobody else is there.
func (t *memberTable) gone(id InstanceID, now time.Time) (lost netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[id]
	if k == nil || !k.there {
		return lost
	}
	k.there, k.left = false, now
	t.drop(k.gossip)
	t.tell(id).changed = true
	if _, bye := t.byes[id]; !bye && t.addrs[k.gossip] == 0 {
		return k.gossip
	}
	return lost
}

// bye notes that an instance ends on purpose, and returns its address.
func (t *memberTable) bye(id InstanceID, now time.Time) (at netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[id]
	if k == nil {
		return at
	}
	for old, when := range t.byes {
		if now.Sub(when) > forgetAfter {
			delete(t.byes, old)
		}
	}
	t.byes[id] = now
	return k.gossip
}

func (t *memberTable) digest(id InstanceID, d digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[id]; k != nil && k.there {
		t.tell(id).digest = &d
	}
}

func (t *memberTable) drop(a netip.AddrPort) {
	if t.addrs[a]--; t.addrs[a] <= 0 {
		delete(t.addrs, a)
	}
}

func (t *memberTable) tell(id InstanceID) *news {
	n := t.news[id]
	if n == nil {
		n = &news{}
		t.news[id] = n
		t.order = append(t.order, id)
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return n
}

func (t *memberTable) hasAddr(a netip.AddrPort) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.addrs[a] > 0
}

// there is how many are there.
func (t *memberTable) there() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, at := range t.addrs {
		n += at
	}
	return n
}

func (t *memberTable) gossipAddr(id InstanceID) (a netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[id]; k != nil {
		a = k.gossip
	}
	return a
}

func (t *memberTable) members() []member {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]member, 0, len(t.known))
	for _, k := range t.known {
		if k.there {
			list = append(list, k.member)
		}
	}
	slices.SortFunc(list, func(a, b member) int { return slices.Compare(a.Instance[:], b.Instance[:]) })
	return list
}

// next is the oldest news.
func (t *memberTable) next() (id InstanceID, k known, n news, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		return id, k, n, false
	}
	id = t.order[0]
	if t.order = t.order[1:]; len(t.order) == 0 {
		t.order = nil
	}
	n = *t.news[id]
	delete(t.news, id)
	if known := t.known[id]; known != nil {
		k = *known
	}
	return id, k, n, true
}

// tell hands the news to the owner. memberlist calls its delegates under its
// lock, where the owner must not be kept waiting.
func (g *gossip) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.table.wake:
		}
		for ctx.Err() == nil {
			id, k, n, ok := g.table.next()
			if !ok {
				break
			}
			if n.changed && k.there && g.onMember != nil {
				g.onMember(k.member)
			}
			if n.digest != nil && k.there && g.onDigest != nil {
				g.onDigest(id, *n.digest)
			}
			if n.changed && !k.there && g.onGone != nil {
				g.onGone(id)
			}
		}
	}
}

// delegate is what memberlist asks and tells. Its methods must not block: some
// are called under memberlist's lock.
type delegate struct {
	gossip    *gossip
	transport *transport
	ended     atomic.Bool // what memberlist says from now on is of the past
}

var (
	_ memberlist.Delegate      = (*delegate)(nil)
	_ memberlist.EventDelegate = (*delegate)(nil)
	_ memberlist.AliveDelegate = (*delegate)(nil)
	_ memberlist.MergeDelegate = (*delegate)(nil)
	_ memberlist.PingDelegate  = (*delegate)(nil)
)

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte {
	g := d.gossip
	m := meta{Tag: g.tag, Port: g.port.addr().Port(), Name: g.cfg.Name}
	if g.role != nil {
		m.Master, m.Reign = g.role()
	}
	return m.append(make([]byte, 0, metaMin+nameMax))
}

// NotifyMsg implements memberlist.Delegate. b is memberlist's.
func (d *delegate) NotifyMsg(b []byte) {
	if len(b) != byeSize || b[0] != 'B' {
		return
	}
	g := d.gossip
	if at := g.table.bye(InstanceID(b[1:]), time.Now()); at.IsValid() {
		g.targets.forget(at)
	}
}

// GetBroadcasts implements memberlist.Delegate: there are none. That queue
// carries some fifty entries a second, and loses the rest.
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte {
	g := d.gossip
	var own digest
	if g.digest != nil {
		own = g.digest()
	}
	return own.append(make([]byte, 0, digestSize), g.cfg.Instance)
}

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	g := d.gossip
	if id, other, err := parseDigest(b); err == nil && id != g.cfg.Instance {
		g.table.digest(id, other)
	}
}

// NotifyAlive implements memberlist.AliveDelegate.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	g := d.gossip
	if n.Name == g.self {
		return nil
	}
	m, _, err := g.member(n)
	if err != nil {
		return err
	}
	return g.table.admits(m.Instance, time.Now())
}

// NotifyMerge implements memberlist.MergeDelegate.
func (d *delegate) NotifyMerge(nodes []*memberlist.Node) error {
	for _, n := range nodes {
		if n.State != memberlist.StateAlive || n.Name == d.gossip.self {
			continue
		}
		if _, _, err := d.gossip.member(n); err != nil {
			return err
		}
	}
	return nil
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *delegate) NotifyJoin(n *memberlist.Node) {
	g := d.gossip
	if n.Name == g.self || d.ended.Load() {
		return
	}
	if m, at, err := g.member(n); err == nil {
		g.table.put(m, at)
		g.targets.forget(at)
	}
}

// NotifyUpdate implements memberlist.EventDelegate.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.NotifyJoin(n) }

// NotifyLeave implements memberlist.EventDelegate.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	g := d.gossip
	id, ok := parseInstance(n.Name)
	if !ok || d.ended.Load() {
		return
	}
	now := time.Now()
	if lost := g.table.gone(id, now); lost.IsValid() {
		g.targets.lost(lost, now)
	}
}

// AckPayload implements memberlist.PingDelegate.
func (d *delegate) AckPayload() []byte { return nil }

// NotifyPingComplete implements memberlist.PingDelegate.
func (d *delegate) NotifyPingComplete(*memberlist.Node, time.Duration, []byte) {
	d.transport.answered()
}

// member reads what memberlist knows of an instance.
func (g *gossip) member(n *memberlist.Node) (m member, at netip.AddrPort, err error) {
	id, ok := parseInstance(n.Name)
	if !ok {
		return m, at, fmt.Errorf("%q is no instance", printable(n.Name[:min(len(n.Name), 40)]))
	}
	mt, err := parseMeta(n.Meta, g.tag)
	if err != nil {
		return m, at, err
	}
	if at, ok = addrOf(n); !ok {
		return m, at, errors.New("no address")
	}
	return member{
		Instance: id, Name: mt.Name, Addr: g.port.zoned(netip.AddrPortFrom(at.Addr(), mt.Port)), Master: mt.Master, Reign: mt.Reign,
	}, at, nil
}
