package listen

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Conn is where packets come from.
type Conn interface {
	// Run calls fn for each datagram until ctx is cancelled, then returns nil. fn
	// may be called by several goroutines; b is valid during the call.
	Run(ctx context.Context, fn func(b []byte, from netip.AddrPort, multicast bool)) error
}

// Codec turns bytes into a packet, which it overwrites. It is not called by two
// goroutines at once.
type Codec interface {
	Open(b []byte, p *heartbeat.Packet) error
}

var _ Codec = (*heartbeat.Codec)(nil)

// Config is what a Service needs.
type Config struct {
	Conn  Conn
	Codec Codec                // used by nobody else
	Self  heartbeat.InstanceID // whose packets are our own
	// Buffer is how many packets wait in [Service.Packets] at most, 0 = 256.
	Buffer int
	// Drop, if not nil, refuses packets before they count for anything, as if the
	// network had lost them. It must be fast, and must not keep p.
	Drop func(from netip.AddrPort, p *heartbeat.Packet) bool
	// Taken, if not nil, is called for each packet that is handed on.
	Taken func()
	Log   zerolog.Logger
}

func (cfg *Config) validate() error {
	var errs []error
	if cfg.Conn == nil {
		errs = append(errs, errors.New("no Conn"))
	}
	if cfg.Codec == nil {
		errs = append(errs, errors.New("no Codec"))
	}
	if cfg.Self.IsZero() {
		errs = append(errs, errors.New("no Self"))
	}
	if cfg.Buffer < 0 {
		errs = append(errs, fmt.Errorf("the Buffer is negative: %d", cfg.Buffer))
	}
	return errors.Join(errs...)
}

const defaultBuffer = 256

// Received is a packet that counts.
type Received struct {
	Packet    *heartbeat.Packet // the receiver's to keep
	From      netip.AddrPort    // where its sender can be reached
	Multicast bool              // by the group, else to this instance alone
}

// Service is a listener. Its methods are safe for concurrent use.
type Service struct {
	cfg    Config
	out    chan Received
	counts [causes]atomic.Uint64
	taken  atomic.Uint64

	mu      sync.Mutex       // guards what follows; both sockets' goroutines come here
	scratch heartbeat.Packet // so that a dropped packet costs no allocation
	seen    *seen
	floods  floods
	warner  warner
}

// New makes a Service. It listens when [Service.Run] runs.
func New(cfg Config) (*Service, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = defaultBuffer
	}
	return &Service{
		cfg:    cfg,
		out:    make(chan Received, cfg.Buffer),
		seen:   newSeen(maxSeen),
		floods: newFloods(),
		warner: newWarner(),
	}, nil
}

// Run listens until ctx is cancelled, then returns nil. It fails if the sockets do.
func (s *Service) Run(ctx context.Context) error {
	if err := s.cfg.Conn.Run(ctx, s.handle); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// Packets hands on what counts, in order of arrival. It is never closed. When
// it is full the oldest packet is dropped: its reader is stalled, and when it
// wakes it must find the peers' last heartbeats, not those of before its sleep.
func (s *Service) Packets() <-chan Received { return s.out }

// Accepted is how many packets were not dropped on arrival. Those of
// [Overflow] are among them.
func (s *Service) Accepted() uint64 { return s.taken.Load() }

// handle is one packet's way through. The order is that of cost and trust:
// shape and signature first, then whose it is, then whether it is new.
func (s *Service) handle(b []byte, from netip.AddrPort, multicast bool) {
	if c, warn := s.take(b, from, multicast); warn { // without the lock: the log may take its time
		s.cfg.Log.Warn().Stringer("cause", c).Stringer("from", from).Msg(warnings[c])
	}
}

// take hands a packet on, or drops it; warn says that its cause is to be told.
func (s *Service) take(b []byte, from netip.AddrPort, multicast bool) (c Cause, warn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.scratch
	if err := s.cfg.Codec.Open(b, p); err != nil {
		return s.drop(causeOf(err), from)
	}
	if p.Instance == s.cfg.Self {
		return s.drop(Own, from)
	}
	if s.cfg.Drop != nil && s.cfg.Drop(from, p) {
		return s.drop(Rule, from)
	}
	if last, known := s.seen.last(p.Instance); known {
		if p.Seq <= last {
			return s.drop(Duplicate, from)
		}
	} else if !s.floods.admit(from.Addr(), time.Now()) {
		return s.drop(Flood, from)
	}
	s.seen.put(p.Instance, p.Seq)
	s.taken.Add(1)
	if s.cfg.Taken != nil {
		s.cfg.Taken()
	}
	own := *p
	own.Heard = slices.Clone(p.Heard)
	s.push(Received{&own, from, multicast})
	return 0, false
}

// push adds r, and makes room for it if there is none. The lock is held, so
// nobody else adds.
func (s *Service) push(r Received) {
	for {
		select {
		case s.out <- r:
			return
		default:
		}
		select {
		case old := <-s.out:
			_, _ = s.drop(Overflow, old.From) // nobody is warned of these
		default:
		}
	}
}

// drop counts a packet, and says whether its cause is to be told.
func (s *Service) drop(c Cause, from netip.AddrPort) (Cause, bool) {
	s.counts[c].Add(1)
	return c, warnings[c] != "" && s.warner.allows(c, from.Addr(), time.Now())
}
