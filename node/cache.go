package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// barrierTime is how long a new master waits for peers that did not say what
// they hold. Those that did are asked again as long as they live.
const barrierTime = 500 * time.Millisecond

// openCache opens FAILOVER_CACHE. own is the address of the multicast.
func (n *Node) openCache(own netip.Addr) (err error) {
	s := &n.s.Cache
	bind := s.Bind
	if s.Host != "" {
		ips, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip", s.Host)
		if err != nil {
			return fmt.Errorf("cache: host %s: %w; choose another with failover.cache.bind", s.Host, err)
		}
		bind = netip.AddrPortFrom(ips[0].Unmap(), bind.Port())
	}
	if !bind.Addr().IsValid() {
		bind = netip.AddrPortFrom(own, bind.Port())
		n.own.Store(&own)
	}
	cfg := cache.Config{
		Cluster: n.s.Cluster, Name: n.s.Name, Instance: cache.InstanceID(n.id), Bind: bind,
		Keys:          keysOf(n.s.Keys),
		SocketTimeout: s.SocketTimeout, RingBytes: s.RingBytes, MaxInFlight: s.MaxInFlight,
		OnEvent: n.observeCache, Log: n.o.Log,
	}
	if n.positions() {
		cfg.TellPromise = true
		if !s.Manual {
			cfg.Beacon = &cache.Beacon{Group: s.Group, Port: s.Port, Interface: n.card, TTL: s.TTL}
		}
	}
	if s.WhenAlone == config.AloneBlock {
		cfg.WhenAlone = cache.AloneBlock
		cfg.MinInStep = max(0, n.s.Election.Quorum-1)
	}
	for _, p := range s.Peers {
		cfg.Peers = append(cfg.Peers, net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))))
	}
	for _, c := range s.Caches {
		cfg.Caches = append(cfg.Caches, cache.Spec(c))
	}
	n.cache, err = cache.Open(cfg)
	if err == nil && n.positions() {
		n.rulers = newRulers(n.cache, n.s.Every())
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w; choose another with failover.cache.bind", err)
	}
	return err
}

func keysOf(secrets []config.Secret) [][32]byte {
	keys := make([][32]byte, len(secrets))
	for i, k := range secrets {
		keys[i] = k
	}
	return keys
}

func logPos(p cache.Pos) heartbeat.LogPos { return heartbeat.LogPos{Epoch: p.Epoch, N: p.N} }

// logAt is what the election wants to know of the cache before each step.
func (n *Node) logAt() election.LogAt {
	pos, sync, sureUntil := n.cache.Standing()
	return election.LogAt{Log: logPos(pos), Sync: sync, SureUntil: sureUntil}
}

// barrier pulls what the peers hold beyond this copy.
func (n *Node) barrier(e election.Event) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), barrierTime)
		defer cancel()
		var pos cache.Pos
		var err error
		if n.rulers != nil {
			err = n.rulers.pull(ctx)
		} else {
			pos, err = n.cache.Barrier(ctx, e.Epoch, e.Addrs)
		}
		if err != nil {
			n.o.Log.Debug().Err(err).Msg("Not every peer's cache answered before the promotion")
		}
		_ = n.manager.Tell(election.BarrierDone{Epoch: e.Epoch, Log: logPos(pos)})
	}()
}

// seal ends the log and waits until the heir holds all of it. The machine goes
// on by itself if that takes too long.
func (n *Node) seal(e election.Event) {
	pos := n.cache.Seal()
	go func() {
		var err error
		if e.Peer.IsZero() { // nobody waits for it; what is on its way may still arrive
			ctx, cancel := context.WithTimeout(context.Background(), n.s.Cache.SocketTimeout)
			defer cancel()
			_ = n.cache.Flush(ctx)
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			err = n.cache.Acked(ctx, cache.InstanceID(e.Peer), pos.N)
		}
		_ = n.manager.Tell(election.Sealed{Log: logPos(pos), Acked: err == nil})
	}()
}

// replicated is the work with the cache around it: the cache is writable
// before the work starts, and stays so until the work has stopped.
type replicated struct {
	failover.Work
	n *Node
}

func (r *replicated) Open(epoch uint64) {
	r.promote(epoch)
	r.n.reign.Store(epoch)
	r.n.mirror.Reset() // others may have reigned meanwhile
	r.n.ending.over()
	r.Work.Open(epoch)
}

func (r *replicated) Epoch(epoch uint64) {
	r.promote(epoch)
	r.n.reign.Store(epoch)
	r.Work.Epoch(epoch)
}

func (r *replicated) Stop(planned bool) {
	r.n.ending.begin()
	switch {
	case planned:
	case r.n.rulers != nil:
		r.n.rulers.lose()
	default:
		r.n.cache.Release()
	}
	r.Work.Stop(planned)
}

func (r *replicated) promote(epoch uint64) {
	var err error
	if r.n.rulers != nil {
		err = r.n.rulers.lead()
	} else {
		err = r.n.cache.Promote(cache.Reign{Epoch: epoch, Instance: cache.InstanceID(r.n.id)})
	}
	if err == nil {
		return
	}
	r.n.o.Log.Error().Err(err).Uint64("epoch", epoch).Msg("The cache does not accept this reign; handing over")
	go func() {
		_ = r.n.manager.Tell(election.Handover{NoClaimFor: r.n.s.Down(), Reason: "the cache does not accept this reign"})
	}()
}

// follow tells the cache what the election tells of others.
func (n *Node) follow(e election.Event) {
	if n.rulers != nil {
		n.rulers.heardOf(e)
		return
	}
	switch e.Type {
	case election.EventPeerJoined:
		if e.Addr.IsValid() {
			n.cache.Learn(e.Addr)
		}
	case election.EventMaster:
		if !e.Peer.IsZero() && e.Addr.IsValid() {
			n.cache.Follow(cache.Reign{Epoch: e.Epoch, Instance: cache.InstanceID(e.Peer)}, e.Addr)
		}
	}
}

// observeCache hears what happens to the cache, on a goroutine of the cache's.
func (n *Node) observeCache(e cache.Event) {
	if n.positions() {
		n.observeRulers(e)
	} else {
		n.observeStreams(e)
	}
	n.tellCache(e)
}

// observeRulers passes on what the 3.3 design's reigns follow from.
func (n *Node) observeRulers(e cache.Event) {
	switch e.Type {
	case cache.EventMember, cache.EventMemberGone:
		n.rulers.member(e)
	case cache.EventDeposed, cache.EventSealed:
		n.rulers.deposed()
	}
}

// observeStreams passes on what the election has to know.
func (n *Node) observeStreams(e cache.Event) {
	peer := heartbeat.InstanceID(e.Peer)
	ofMaster := e.Epoch > 0 // else it is a slave's stream to us
	switch e.Type {
	case cache.EventObituary:
		name := n.nameOf(peer) // which is forgotten with the dead
		n.died(e.Obituary)
		n.o.Log.Warn().Str("peer", name).Stringer("ago", e.Obituary.Age.Round(time.Microsecond)).Msg("The master is dead, says its keeper")
		return
	case cache.EventRefused:
		_ = n.manager.Tell(election.Refused{Peer: peer})
		return
	case cache.EventConnected, cache.EventBroken:
		if ofMaster {
			_ = n.manager.Tell(election.Stream{Peer: peer, Open: e.Type == cache.EventConnected, RoundTrip: e.RoundTrip})
		}
	}
	if e.Type == cache.EventDeposed || e.Type == cache.EventSealed {
		_ = n.manager.Tell(election.Reigned{Epoch: e.Epoch})
	}
}

// nameOf is a peer's name, or its id if no heartbeat told the name.
func (n *Node) nameOf(peer heartbeat.InstanceID) string {
	v, err := n.manager.View()
	if err == nil {
		for _, p := range v.Peers {
			if p.ID == peer {
				return p.Name
			}
		}
	}
	return peer.String()
}

// tellCache logs, and tells the API.
func (n *Node) tellCache(e cache.Event) {
	switch e.Type {
	case cache.EventObituary, cache.EventRefused:
		return // the election tells what follows from it
	case cache.EventOutOfStep, cache.EventAlone:
		n.missed[e.Name] = true
	}
	e.Name = n.cacheName(e)
	log := n.o.Log.Debug()
	switch e.Type {
	case cache.EventOutOfStep, cache.EventAlone, cache.EventLost, cache.EventMaybeLost, cache.EventResync, cache.EventOrphans, cache.EventDeposed:
		log = n.o.Log.Warn()
	case cache.EventSnapshot:
		log = n.o.Log.Info()
	case cache.EventInStep:
		if n.missed[e.Name] || n.missed[""] { // the all-clear after a warning
			log = n.o.Log.Info()
		}
		delete(n.missed, e.Name)
		delete(n.missed, "")
	case cache.EventMember, cache.EventMemberGone, cache.EventSealed:
		if e.Addr.IsValid() {
			log = log.Stringer("addr", e.Addr)
		}
		if e.Name != "" {
			log = log.Str("name", e.Name)
		}
		log.Msg(e.Type.String())
		return
	}
	if e.Name != "" {
		log = log.Str("peer", e.Name)
	}
	if e.Detail != "" {
		log = log.Str("detail", e.Detail)
	}
	if e.Count > 0 || e.To > 0 {
		log = log.Int("count", e.Count).Uint64("from", e.From).Uint64("to", e.To)
	}
	log.Msg(cacheLine[e.Type])
	n.feed.tell(e.Type.String(), e.Name, e.Detail)
}

// cacheName is the name of an event's peer. Many events have only the id; who
// was heard of before is known by it, and else the election may know.
func (n *Node) cacheName(e cache.Event) string {
	id := e.Peer
	known := n.cacheNames[id]
	switch {
	case id == (cache.InstanceID{}):
		return e.Name
	case e.Type == cache.EventMemberGone:
		delete(n.cacheNames, id)
	case e.Name != "":
		n.cacheNames[id] = e.Name
	}
	switch {
	case e.Name != "":
		return e.Name
	case known != "":
		return known
	case id == cache.InstanceID(n.id):
		return n.s.Name
	}
	return n.nameOf(heartbeat.InstanceID(id))
}

// cacheLine is what the log says.
var cacheLine = map[cache.EventType]string{
	cache.EventConnected: "Cache stream opened",
	cache.EventBroken:    "Cache stream ended",
	cache.EventInStep:    "A slave's cache is in step",
	cache.EventOutOfStep: "A slave's cache is out of step",
	cache.EventAlone:     "No slave's cache is in step",
	cache.EventLost:      "Part of the cache is lost",
	cache.EventMaybeLost: "Part of the cache may be lost",
	cache.EventSnapshot:  "Cache snapshot",
	cache.EventResync:    "This copy of the cache differs from the master's; it is fetched anew",
	cache.EventOrphans:   "Cache entries that only a deposed master had",
	cache.EventDeposed:   "A newer reign has been promised to; this one's writes are refused",
}
