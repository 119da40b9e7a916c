package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// memberlist joins once, when told to, and forgets who is away for long: two
// halves of a cluster that were parted would stay apart for ever. So we try
// again, for ever: what the configuration names, what the heartbeats or the
// beacon tell of, and where a member was that went without a goodbye.
const (
	joinFirst  = time.Second      // after the first vain try; doubled from then on
	joinLast   = 20 * time.Second // to 30, with the jitter
	joinHeard  = 5 * time.Second  // the longest pause while the address is being told of
	joinAtOnce = 4
	// A join carries the whole table both ways, so it costs in proportion to who
	// is known already; and who joins one hears of the others. Were all to join
	// all, N instances that start together would exchange N³ entries.
	joinPace = 25 * time.Millisecond // for each known member, from one join to the next
	// joinSettled is how often what the configuration names is resolved anew
	// while all is well.
	joinSettled    = 30 * time.Second
	maxTargets     = 256 // the oldest is forgotten; not counted are those of the configuration
	resolveTimeout = 2 * time.Second
)

// targets are the addresses to join.
type targets struct {
	wake chan struct{}

	mu    sync.Mutex // guards what follows
	self  netip.AddrPort
	peers []*target // of the configuration
	addrs map[netip.AddrPort]*target
}

type target struct {
	peer  string         // host:port to resolve; "": addr
	addr  netip.AddrPort // fixed
	since time.Time
	tried time.Time
	next  time.Time
	wait  time.Duration
	busy  bool
}

func newTargets(peers []string, self netip.AddrPort) *targets {
	t := &targets{self: self, wake: make(chan struct{}, 1), addrs: make(map[netip.AddrPort]*target)}
	for _, p := range peers {
		t.peers = append(t.peers, &target{peer: p})
	}
	return t
}

// learn takes an address that somebody told of: a new one is tried at once.
func (t *targets) learn(a netip.AddrPort, now time.Time) {
	if ip := a.Addr(); !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || a.Port() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if a == t.self {
		return
	}
	known := t.addrs[a]
	if known == nil {
		t.add(a, now, now)
		return
	}
	if soon := known.tried.Add(joinHeard); !known.tried.IsZero() && known.next.After(soon) {
		known.next = soon
		t.poke()
	}
}

// lost takes the address of a member that went without a goodbye.
func (t *targets) lost(a netip.AddrPort, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.addrs[a] == nil && a != t.self {
		t.add(a, now, now.Add(jitter(joinFirst)))
	}
}

func (t *targets) add(a netip.AddrPort, now, next time.Time) {
	if len(t.addrs) >= maxTargets {
		var oldest *target
		for _, x := range t.addrs {
			if oldest == nil || x.since.Before(oldest.since) {
				oldest = x
			}
		}
		delete(t.addrs, oldest.addr)
	}
	t.addrs[a] = &target{addr: a, since: now, next: next}
	t.poke()
}

// moved notes that this instance has another address.
func (t *targets) moved(self netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.self = self
	delete(t.addrs, self)
}

// forget drops an address that is joined, or not to be.
func (t *targets) forget(a netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.addrs, a)
}

func (t *targets) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// due are up to most targets whose time has come, now marked busy, and how
// long it is to the next one.
func (t *targets) due(now time.Time, most int) (list []*target, pause time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pause = joinLast
	look := func(x *target) {
		switch left := x.next.Sub(now); {
		case x.busy:
		case left > 0:
			pause = min(pause, left)
		case len(list) < most:
			x.busy = true
			list = append(list, x)
		}
	}
	for _, x := range t.peers {
		look(x)
	}
	for _, x := range t.addrs {
		look(x)
	}
	return list, pause
}

// tried notes how a try went. The pauses between vain ones double.
func (t *targets) tried(x *target, joined bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.busy, x.tried = false, now
	switch {
	case joined:
		x.wait = 0
		x.next = now.Add(jitter(joinSettled))
		return
	case x.wait == 0:
		x.wait = joinFirst
	default:
		x.wait = min(2*x.wait, joinLast)
	}
	x.next = now.Add(jitter(x.wait))
}

// jitter is d to 1.5 d: instances that start together do not stay together.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/2+1) }

// rejoin tries what is due until ctx ends.
func (g *gossip) rejoin(ctx context.Context, m *memberlist.Memberlist) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, joinAtOnce)
	var paced time.Time // no join before
	for ctx.Err() == nil {
		now, known := time.Now(), g.table.there()
		most := joinAtOnce - len(slots)
		rest := paced.Sub(now)
		switch {
		case rest > 0:
			most = 0
		case known > 0:
			most = min(most, 1)
		}
		list, pause := g.targets.due(now, most)
		for _, x := range list {
			paced = now.Add(jitter(time.Duration(known) * joinPace))
			slots <- struct{}{}
			wg.Go(func() {
				joined := g.join(ctx, m, x)
				g.targets.tried(x, joined, time.Now())
				<-slots
				g.targets.poke()
			})
		}
		if rest = paced.Sub(now); rest > 0 {
			pause = rest
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-g.targets.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// join tries one target, at all its addresses where no member is.
func (g *gossip) join(ctx context.Context, m *memberlist.Memberlist, x *target) bool {
	addrs, err := x.resolve(ctx)
	if err != nil {
		g.port.lines.line(zerolog.WarnLevel, "resolve "+x.peer).Err(err).Str("peer", x.peer).Msg("Cache peer has no address; trying again")
		return false
	}
	joined := true
	for _, a := range addrs {
		if a == g.port.addr() || g.table.hasAddr(a) || ctx.Err() != nil {
			continue
		}
		// A name is required, and not looked at for a join.
		if _, err := m.Join([]string{"peer/" + a.String()}); err != nil {
			joined = false
			if ctx.Err() == nil {
				g.notJoined(a, err)
			}
		}
	}
	return joined
}

// notJoined tells of a vain try. That nobody answers is everyday life, that
// somebody refuses us is not. memberlist leaves only the text of an error.
func (g *gossip) notJoined(a netip.AddrPort, err error) {
	level := zerolog.WarnLevel
	if slices.ContainsFunc([]error{errUnreached, errNoAnswer, errDead}, func(e error) bool { return strings.Contains(err.Error(), e.Error()) }) {
		level = zerolog.DebugLevel
	}
	if one := errors.Unwrap(err); one != nil { // of a list of one, which has line breaks
		err = one
	}
	g.port.lines.line(level, "join "+level.String()).Str("reason", printable(err.Error())).Stringer("peer", a).
		Msg("Cache peer cannot be joined; trying again")
}

func (x *target) resolve(ctx context.Context) ([]netip.AddrPort, error) {
	if x.peer == "" {
		return []netip.AddrPort{x.addr}, nil
	}
	host, service, err := net.SplitHostPort(x.peer)
	if err != nil {
		return nil, fmt.Errorf("resolve peer: %w", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("resolve peer %s: %q is not a port", x.peer, service)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{unzoned(netip.AddrPortFrom(ip, uint16(port)))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve peer %s: %w", x.peer, err)
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, unzoned(netip.AddrPortFrom(ip, uint16(port))))
	}
	return addrs, nil
}
