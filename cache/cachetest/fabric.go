package cachetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/interlok-ha/interlok-ha/cache"
)

// Link is what every way from one host to another does.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // at most so much is added
	// Of datagrams, from 0 to 1. Loss also delays streams, as a lost segment
	// that is sent again.
	Loss    float64
	Double  float64 // sent twice
	Reorder float64 // held back by up to ten delays
	Buffer  int     // bytes that one direction of a stream takes unread
	Queue   int     // datagrams that a socket takes unread
}

const (
	retransmit = 200 * time.Millisecond // of a lost segment
	backlog    = 128
)

// Fabric is a network of hosts. All methods may be used at any time, from any
// goroutine. In a synctest bubble it must be made inside.
type Fabric struct {
	mu       sync.Mutex // guards all that follows, and all hosts and sockets
	rng      *rand.Rand
	link     Link
	machines []*machine
	cut      map[way]bool
	corrupt  map[way]bool
	streams  map[*stream]struct{}
	made     uint64 // streams so far
	dials    map[*dial]struct{}
}

type way struct{ from, to *machine }

// machine is a computer; processes come and go on it.
type machine struct {
	name      string
	addr      netip.Addr
	stalled   bool
	off       bool
	processes []*Host
	listeners map[uint16]*listener
	sockets   map[uint16]*socket
	lastPort  uint16
}

// Host is the network as one process sees it. After [Fabric.Kill] it is of no
// more use, and [Fabric.Host] gives the next process's.
type Host struct {
	f    *Fabric
	m    *machine
	dead bool
}

var _ cache.Network = (*Host)(nil)

// NewFabric makes a network without hosts. What is left to chance is drawn
// from the seed.
func NewFabric(seed uint64) *Fabric {
	return &Fabric{
		rng:     rand.New(rand.NewPCG(seed, 0xfab)),
		link:    Link{Delay: 100 * time.Microsecond, Buffer: 256 << 10, Queue: 256},
		cut:     map[way]bool{},
		corrupt: map[way]bool{},
		streams: map[*stream]struct{}{},
		dials:   map[*dial]struct{}{},
	}
}

// SetLink changes all links, for what is sent from now on. Zero Buffer and
// Queue: as before.
func (f *Fabric) SetLink(l Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.Buffer == 0 {
		l.Buffer = f.link.Buffer
	}
	if l.Queue == 0 {
		l.Queue = f.link.Queue
	}
	f.link = l
}

// Host starts a process on the host of that name. The first host has the
// address 10.0.0.1, the next 10.0.0.2 and so on.
func (f *Fabric) Host(name string) *Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machine(name)
	h := &Host{f: f, m: m}
	m.processes = append(m.processes, h)
	return h
}

func (f *Fabric) machine(name string) *machine {
	for _, m := range f.machines {
		if m.name == name {
			return m
		}
	}
	n := len(f.machines) + 1
	m := &machine{
		name:      name,
		addr:      netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}),
		listeners: map[uint16]*listener{},
		sockets:   map[uint16]*socket{},
		lastPort:  40000,
	}
	f.machines = append(f.machines, m)
	return m
}

func (f *Fabric) at(addr netip.Addr) *machine {
	for _, m := range f.machines {
		if m.addr == addr {
			return m
		}
	}
	return nil
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.m.addr }

// Cut loses all that is sent between two hosts. Nobody is told.
func (f *Fabric) Cut(a, b string) {
	f.CutOneWay(a, b)
	f.CutOneWay(b, a)
}

// CutOneWay loses all that one host sends to another.
func (f *Fabric) CutOneWay(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := way{f.machine(from), f.machine(to)}
	f.cut[w] = true
	now := time.Now()
	for s := range f.streams {
		if s.m == w.to && s.peer.m == w.from {
			s.hold(now)
		}
	}
}

// Heal ends both cuts between two hosts. A stream with bytes under way goes on
// after a while; one in four breaks.
func (f *Fabric) Heal(a, b string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heal(way{f.machine(a), f.machine(b)})
	f.heal(way{f.machine(b), f.machine(a)})
}

// HealAll ends all cuts.
func (f *Fabric) HealAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.machines { // in order, for the draws
		for _, b := range f.machines {
			f.heal(way{a, b})
		}
	}
}

func (f *Fabric) heal(w way) {
	if !f.cut[w] {
		return
	}
	delete(f.cut, w)
	f.release(w)
	f.wakeDials()
}

// release lets go what waits on a way that was cut, or to a host that was off.
func (f *Fabric) release(w way) {
	if !f.open(w) {
		return
	}
	for _, s := range slices.SortedFunc(maps.Keys(f.streams), func(a, b *stream) int { return cmp.Compare(a.id, b.id) }) {
		if s.m != w.to || s.peer.m != w.from {
			continue
		}
		switch {
		case s.closed && s.used > 0:
			s.peer.reset() // its bytes come to a socket that is gone
		case s.held() && f.rng.IntN(4) == 0:
			s.reset()
			s.peer.reset()
		default:
			s.deliver(time.Now().Add(f.delay() + time.Duration(f.rng.Int64N(int64(retransmit)))))
		}
	}
}

// open reports whether what is sent that way arrives.
func (f *Fabric) open(w way) bool { return !f.cut[w] && !w.to.off && !w.from.off }

// Reachable reports whether each of two hosts hears the other, and neither is
// stalled or off.
func (f *Fabric) Reachable(a, b string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, y := f.machine(a), f.machine(b)
	return f.open(way{x, y}) && f.open(way{y, x}) && !x.stalled && !y.stalled
}

// Stall stops a host: it neither reads nor writes, and no deadline ends a wait
// in it. Its kernel still takes connections and bytes until the buffers are full.
func (f *Fabric) Stall(name string) { f.setStalled(name, true) }

// Wake ends a stall.
func (f *Fabric) Wake(name string) { f.setStalled(name, false) }

func (f *Fabric) setStalled(name string, stalled bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machine(name)
	m.stalled = stalled
	f.wakeMachine(m)
}

func (f *Fabric) wakeMachine(m *machine) {
	for s := range f.streams {
		if s.m == m {
			s.changed.wake()
		}
	}
	for _, l := range m.listeners {
		l.changed.wake()
	}
	for _, u := range m.sockets {
		u.changed.wake()
	}
	f.wakeDials()
}

func (f *Fabric) wakeDials() {
	for d := range f.dials {
		d.changed.wake()
	}
}

// Kill ends all processes of a host as a killed process ends: its kernel closes
// the sockets, with a reset where bytes were unread, and refuses connections.
func (f *Fabric) Kill(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machine(name)
	for s := range f.streams {
		if s.m == m {
			s.close()
		}
	}
	f.end(m)
}

// Off takes a host's power: its streams end without a word.
func (f *Fabric) Off(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machine(name)
	m.off = true
	now := time.Now()
	for s := range f.streams {
		if s.m == m {
			s.peer.hold(now)
			s.drop()
		}
	}
	f.end(m)
}

// On gives it back, with no process.
func (f *Fabric) On(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machine(name)
	m.off = false
	for _, other := range f.machines {
		f.release(way{other, m})
	}
	f.wakeDials()
}

func (f *Fabric) end(m *machine) {
	for _, l := range m.listeners {
		l.close()
	}
	for _, u := range m.sockets {
		u.close()
	}
	for _, h := range m.processes {
		h.dead = true
	}
	m.processes = nil
	m.stalled = false
	f.wakeDials()
}

// Reset breaks every stream between two hosts, on both ends at once.
func (f *Fabric) Reset(a, b string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, y := f.machine(a), f.machine(b)
	for s := range f.streams {
		if s.m == x && s.peer.m == y || s.m == y && s.peer.m == x {
			s.reset()
		}
	}
}

// Corrupt flips a bit of what one host next sends to another on a stream.
func (f *Fabric) Corrupt(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.corrupt[way{f.machine(from), f.machine(to)}] = true
}

// Corrupted reports whether the bit of the last [Fabric.Corrupt] was flipped.
func (f *Fabric) Corrupted(from, to string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.corrupt[way{f.machine(from), f.machine(to)}]
}

// Streams counts the open streams between two hosts.
func (f *Fabric) Streams(a, b string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, x, y := 0, f.machine(a), f.machine(b)
	for s := range f.streams {
		if s.m == x && s.peer.m == y && !s.closed && !s.isReset(time.Now()) {
			n++
		}
	}
	return n
}

func (f *Fabric) lossy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.link.Loss > 0
}

func (f *Fabric) delay() time.Duration {
	d := f.link.Delay
	if f.link.Jitter > 0 {
		d += time.Duration(f.rng.Int64N(int64(f.link.Jitter)))
	}
	return d
}

// Listen implements [cache.Network].
func (h *Host) Listen(bind netip.AddrPort) (net.Listener, net.PacketConn, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	fail := func(err error) (net.Listener, net.PacketConn, error) {
		return nil, nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(bind), Err: err}
	}
	if h.dead {
		return fail(net.ErrClosed)
	}
	if addr := bind.Addr(); addr != h.m.addr && !addr.IsUnspecified() {
		return fail(syscall.EADDRNOTAVAIL)
	}
	port := bind.Port()
	if port == 0 {
		port = h.m.port()
	}
	if h.m.listeners[port] != nil || h.m.sockets[port] != nil {
		return fail(syscall.EADDRINUSE)
	}
	at := netip.AddrPortFrom(h.m.addr, port)
	l := &listener{host: h, addr: at, changed: newSignal()}
	u := &socket{host: h, addr: at, changed: newSignal()}
	h.m.listeners[port], h.m.sockets[port] = l, u
	h.f.wakeDials()
	return l, u, nil
}

// port is a free one.
func (m *machine) port() uint16 {
	for {
		m.lastPort = max(m.lastPort+1, 40000)
		if m.listeners[m.lastPort] == nil && m.sockets[m.lastPort] == nil {
			return m.lastPort
		}
	}
}

type dial struct{ changed *signal }

// Dial implements [cache.Network]. It is refused by a host that is up and does
// not listen, and gets no answer from one that is cut off, off, or unknown.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	f := h.f
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	d := &dial{changed: newSignal()}
	f.mu.Lock()
	f.dials[d] = struct{}{}
	arrives := time.Now().Add(f.delay()) // the next SYN
	back := time.Time{}                  // its answer; zero: it is under way
	f.mu.Unlock()
	var answer *stream
	var refused bool
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.dials, d)
		if answer != nil {
			answer.close()
		}
	}()
	for {
		f.mu.Lock()
		now := time.Now()
		m := f.at(to.Addr())
		if h.dead {
			f.mu.Unlock()
			return fail(net.ErrClosed)
		}
		if back.IsZero() && !now.Before(arrives) && m != nil && f.open(way{h.m, m}) && f.open(way{m, h.m}) {
			l := m.listeners[to.Port()]
			switch {
			case l == nil:
				refused, back = true, now.Add(f.delay())
			case len(l.queue) < backlog:
				answer = l.connect(h)
				back = now.Add(f.delay())
			}
		}
		if back.IsZero() && !now.Before(arrives) {
			arrives = now.Add(time.Second) // the SYN is sent again
		}
		wait := arrives
		if !back.IsZero() {
			wait = back
		}
		if !back.IsZero() && !now.Before(back) && !h.m.stalled {
			f.mu.Unlock()
			if refused {
				return fail(connectRefused)
			}
			s := answer
			answer = nil
			return s, nil
		}
		if h.m.stalled && !now.Before(wait) {
			wait = time.Time{}
		}
		woken := d.changed.c
		f.mu.Unlock()
		if err := sleep(ctx, woken, wait); err != nil {
			return fail(err)
		}
	}
}

// sleep waits until the channel is closed, or that time (zero: never).
func sleep(ctx context.Context, woken <-chan struct{}, until time.Time) error {
	var timer <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-woken:
	case <-timer:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// signal wakes all who wait on its channel. The fabric's mutex guards it.
type signal struct{ c chan struct{} }

func newSignal() *signal { return &signal{c: make(chan struct{})} }

func (s *signal) wake() {
	close(s.c)
	s.c = make(chan struct{})
}

// String shows the cuts, stalls and hosts without power.
func (f *Fabric) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, m := range f.machines {
		if m.stalled {
			out = append(out, m.name+" stalled")
		}
		if m.off {
			out = append(out, m.name+" off")
		}
	}
	for w := range f.cut {
		out = append(out, w.from.name+"-/>"+w.to.name)
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}
