package broadcast

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	lookupEvery   = 30 * time.Second // ± 10%, so that instances do not ask together
	lookupTimeout = 5 * time.Second
	// lookupPause is the least time between two look-ups of a name, whatever fails.
	lookupPause = time.Second
	// maxAddrs is how many addresses of one name count.
	maxAddrs = 64
)

// name is a peer whose addresses are looked up.
type name struct {
	host  string
	port  uint16
	addrs []netip.Addr  // guarded by Service.mu
	again chan struct{} // a send failed: look sooner
}

func systemLookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}

func (s *Service) addPeer(peer string) error {
	host, p, err := net.SplitHostPort(peer)
	if err != nil {
		return fmt.Errorf("peer %q: %w", peer, err)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("peer %q: port %q is not a number from 1 to 65535", peer, p)
	}
	if host == "" {
		return fmt.Errorf("peer %q: no host", peer)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a = a.Unmap(); a.Is6() != s.cfg.IPv6 {
			return fmt.Errorf("peer %q: an address of the other family than the group's", peer)
		}
		s.fixed = append(s.fixed, netip.AddrPortFrom(a, uint16(port)))
		return nil
	}
	s.names = append(s.names, &name{host: host, port: uint16(port), again: make(chan struct{}, 1)})
	return nil
}

// publish replaces the list that Send reads.
func (s *Service) publish() {
	all := slices.Clone(s.fixed)
	for _, n := range s.names {
		for _, a := range n.addrs {
			all = append(all, netip.AddrPortFrom(a, n.port))
		}
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	all = slices.Compact(all) // two names may lead to one peer
	s.peers.Store(&all)
}

// lookAgain asks Run to look up all names soon. It does not block.
func (s *Service) lookAgain() {
	for _, n := range s.names {
		select {
		case n.again <- struct{}{}:
		default:
		}
	}
}

// Run looks up the peers given by name, at its start, every 30 s and after a
// failed send, until ctx is cancelled; then it returns nil. A name that cannot
// be looked up keeps the addresses it had.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, n := range s.names {
		wg.Go(func() { s.follow(ctx, n) })
	}
	<-ctx.Done()
	wg.Wait()
	return nil
}

// follow keeps one name up to date. Each has its own goroutine, so that a slow
// name server for one does not hold up the others.
func (s *Service) follow(ctx context.Context, n *name) {
	failed, pause := false, lookupPause
	for {
		err := s.lookup(ctx, n)
		wait := lookupEvery
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = pause
			pause = min(2*pause, lookupEvery)
			if !failed {
				s.cfg.Log.Warn().Err(err).Msg("Peer cannot be looked up; its last known addresses stay in use")
			}
		default:
			pause = lookupPause
		}
		failed = err != nil
		if !sleep(ctx, lookupPause, nil) || !sleep(ctx, jitter(wait-lookupPause), n.again) {
			return
		}
	}
}

func (s *Service) lookup(ctx context.Context, n *name) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	network := "ip4"
	if s.cfg.IPv6 {
		network = "ip6"
	}
	found, err := s.cfg.Lookup(ctx, network, n.host)
	if err != nil {
		return fmt.Errorf("look up peer %s: %w", n.host, err)
	}
	var addrs []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); a.Is6() == s.cfg.IPv6 && len(addrs) < maxAddrs {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return fmt.Errorf("look up peer %s: %w", n.host, errors.New("no "+network+" address"))
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(addrs, n.addrs) {
		s.cfg.Log.Debug().Str("peer", n.host).Any("addresses", addrs).Msg("Peer has new addresses")
		n.addrs = addrs
		s.publish()
	}
	return nil
}

// sleep waits for d, or less if again says so. It reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration, again <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-again:
	}
	return true
}

// jitter is d ± 10%.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}
