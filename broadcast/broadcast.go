package broadcast

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Conn sends datagrams. Neither method may block for long.
type Conn interface {
	Multicast(b []byte) error
	Unicast(b []byte, to netip.AddrPort) error
}

// Codec turns a packet into bytes, appended to dst. It is not called by two
// goroutines at once.
type Codec interface {
	Seal(dst []byte, p *heartbeat.Packet) ([]byte, error)
}

var _ Codec = (*heartbeat.Codec)(nil)

// Config is what a Service needs.
type Config struct {
	Conn  Conn
	Codec Codec // used by nobody else
	// Peers get every heartbeat by unicast too. Each is host:port; the host is an
	// IP address or a name. A name with several addresses stands for all of them.
	Peers []string
	// IPv6 is the family of Conn. Addresses of the other family cannot be reached.
	IPv6 bool
	// Lookup resolves a name; network is "ip4" or "ip6". nil = the system's resolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	Log    zerolog.Logger
}

// Path is a way that packets go.
type Path uint8

// The paths, in the order of [Service.Stats].
const (
	Multicast Path = iota // to the group
	Peers                 // to configured peers
	Direct                // SendTo
	paths
)

var pathNames = [paths]string{"multicast", "peers", "direct"}

// String is the path's word in logs and metrics.
func (p Path) String() string {
	if p < paths {
		return pathNames[p]
	}
	return "unknown"
}

// Count is how many packets went one way, and how many the kernel refused.
type Count struct {
	Path         string
	Sent, Errors uint64
}

// warnEvery bounds the log lines on a path that fails while another works.
const warnEvery = time.Minute

// Service is a broadcaster. [Service.Send] and [Service.SendTo] are for one
// goroutine; the other methods are safe for concurrent use.
type Service struct {
	cfg    Config
	codec  atomic.Pointer[Codec] // the goroutine that sends uses it
	buf    []byte
	warned time.Time
	fixed  []netip.AddrPort                 // peers given by address
	names  []*name                          // peers given by name
	peers  atomic.Pointer[[]netip.AddrPort] // all there are now; replaced, never changed
	mu     sync.Mutex                       // guards name.addrs and the building of peers
	counts [paths]struct{ sent, errors atomic.Uint64 }
}

// New makes a Service that can send at once, to the group and to the peers
// given by address.
func New(cfg Config) (*Service, error) {
	var errs []error
	if cfg.Conn == nil {
		errs = append(errs, errors.New("no Conn"))
	}
	if cfg.Codec == nil {
		errs = append(errs, errors.New("no Codec"))
	}
	if cfg.Lookup == nil {
		cfg.Lookup = systemLookup
	}
	s := &Service{cfg: cfg, buf: make([]byte, 0, heartbeat.MaxSize)}
	s.codec.Store(&cfg.Codec)
	for _, p := range cfg.Peers {
		errs = append(errs, s.addPeer(p))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("broadcast: %w", err)
	}
	s.publish()
	return s, nil
}

// Send sends p to the group and to each configured peer. It fails only if every
// way failed: then nobody can have heard p. Some ways failing is counted, and
// logged once a minute at most.
func (s *Service) Send(p *heartbeat.Packet) error {
	b, err := (*s.codec.Load()).Seal(s.buf[:0], p)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	s.buf = b[:0]
	sent := 0
	first := s.cfg.Conn.Multicast(b)
	if s.count(Multicast, first) {
		sent++
	}
	var others []error
	for _, to := range *s.peers.Load() {
		if err := s.cfg.Conn.Unicast(b, to); s.count(Peers, err) {
			sent++
		} else {
			others = append(others, fmt.Errorf("to peer %v: %w", to, err))
		}
	}
	if len(others) > 0 {
		s.lookAgain()
	}
	if first == nil && len(others) == 0 {
		return nil
	}
	err = errors.Join(append([]error{first}, others...)...)
	if sent == 0 {
		return fmt.Errorf("broadcast: every path failed: %w", err)
	}
	if now := time.Now(); now.Sub(s.warned) >= warnEvery {
		s.warned = now
		s.cfg.Log.Warn().Err(err).Int("sent", sent).Msg("Heartbeat sent, but not on every path")
	}
	return nil
}

// SendTo sends p to one address.
func (s *Service) SendTo(p *heartbeat.Packet, to netip.AddrPort) error {
	b, err := (*s.codec.Load()).Seal(s.buf[:0], p)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	s.buf = b[:0]
	if err := s.cfg.Conn.Unicast(b, to); !s.count(Direct, err) {
		return fmt.Errorf("broadcast: to %v: %w", to, err)
	}
	return nil
}

func (s *Service) count(p Path, err error) (sent bool) {
	if err != nil {
		s.counts[p].errors.Add(1)
		return false
	}
	s.counts[p].sent.Add(1)
	return true
}

// Stats counts the packets since the start, all paths in fixed order.
func (s *Service) Stats() []Count {
	all := make([]Count, paths)
	for i := range all {
		all[i] = Count{pathNames[i], s.counts[i].sent.Load(), s.counts[i].errors.Load()}
	}
	return all
}

// Targets is the addresses that heartbeats go to by unicast now.
func (s *Service) Targets() []netip.AddrPort {
	return append([]netip.AddrPort(nil), *s.peers.Load()...)
}
