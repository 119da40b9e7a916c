package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// gossipNet is a network in memory for a synctest bubble. Datagrams to nowhere
// vanish, as on a real one.
type gossipNet struct {
	mu    sync.Mutex
	hosts map[netip.Addr]*gossipHost
	cut   map[netip.Addr]bool // alone
}

func newGossipNet() *gossipNet {
	return &gossipNet{hosts: map[netip.Addr]*gossipHost{}, cut: map[netip.Addr]bool{}}
}

// host is the i-th one; its earlier sockets are gone.
func (n *gossipNet) host(i byte) *gossipHost { return n.at(netip.AddrFrom4([4]byte{10, 0, 0, i})) }

func (n *gossipNet) at(ip netip.Addr) *gossipHost {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &gossipHost{net: n, ip: ip, in: make(chan gossipDatagram, 256), conns: make(chan net.Conn, 16), shut: make(chan struct{}), closed: make(chan struct{})}
	n.hosts[h.ip] = h
	return h
}

func (n *gossipNet) setCut(i byte, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[netip.AddrFrom4([4]byte{10, 0, 0, i})] = cut
}

// to is the host there, if a way leads to it.
func (n *gossipNet) to(from *gossipHost, to netip.Addr) *gossipHost {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[from.ip] || n.cut[to] || n.hosts[from.ip] != from {
		return nil
	}
	return n.hosts[to]
}

type gossipDatagram struct {
	b    []byte
	from netip.AddrPort
}

// gossipHost is a Network, a net.Listener and a net.PacketConn.
type gossipHost struct {
	net    *gossipNet
	ip     netip.Addr
	in     chan gossipDatagram
	conns  chan net.Conn
	deaf   sync.Once
	shut   chan struct{} // the listener
	once   sync.Once
	closed chan struct{} // the datagram socket

	mu   sync.Mutex
	dial []time.Time
}

const gossipPort = 7000

func (h *gossipHost) addr() netip.AddrPort { return netip.AddrPortFrom(h.ip, gossipPort) }

func (h *gossipHost) Listen(netip.AddrPort) (net.Listener, net.PacketConn, error) {
	return gossipListener{h}, gossipPackets{h}, nil
}

func (h *gossipHost) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	h.mu.Lock()
	h.dial = append(h.dial, time.Now())
	h.mu.Unlock()
	fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	p := h.net.to(h, to.Addr())
	if p == nil {
		<-ctx.Done()
		return fail(ctx.Err())
	}
	a, b := net.Pipe()
	select {
	case <-p.shut:
		return fail(syscall.ECONNREFUSED)
	default:
	}
	select {
	case p.conns <- gossipConn{b, h.addr()}:
		return gossipConn{a, to}, nil
	case <-p.shut:
		return fail(syscall.ECONNREFUSED)
	}
}

func (h *gossipHost) dials() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]time.Time(nil), h.dial...)
}

type gossipConn struct {
	net.Conn
	remote netip.AddrPort
}

func (c gossipConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

type gossipListener struct{ *gossipHost }

func (l gossipListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.shut:
		return nil, net.ErrClosed
	}
}

func (l gossipListener) Close() error {
	l.deaf.Do(func() {
		close(l.shut)
		for {
			select {
			case c := <-l.conns:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}
func (l gossipListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr()) }

type gossipPackets struct{ *gossipHost }

func (p gossipPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.in:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p gossipPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	default:
	}
	if h := p.net.to(p.gossipHost, to.(*net.UDPAddr).AddrPort().Addr()); h != nil {
		select {
		case h.in <- gossipDatagram{bytes.Clone(b), p.addr()}:
		default:
		}
	}
	return len(b), nil
}
func (p gossipPackets) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
func (p gossipPackets) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(p.addr()) }
func (p gossipPackets) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (p gossipPackets) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (p gossipPackets) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// gossipLog collects log lines.
type gossipLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *gossipLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// warnings are the lines of that level, each once.
func (l *gossipLog) warnings(t *testing.T) (list []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		var f struct{ Level string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if f.Level != "debug" && f.Level != "info" {
			list = append(list, line)
		}
	}
	return list
}

// gossipNode is a port and its gossip, running.
type gossipNode struct {
	*gossip
	t     *testing.T
	host  *gossipHost // nil: real sockets
	count *counters
	log   *gossipLog
	port  *port
	stop  func()

	mu      sync.Mutex
	is      bool
	reign   Reign
	own     digest
	present map[InstanceID]member
	goneN   map[InstanceID]int
	digests map[InstanceID]digest
	streams chan net.Conn
}

// gossipStart starts one. It ends with the test, or in a bubble by its stop.
func gossipStart(t *testing.T, n Network, id byte, change func(*Config), before ...func(*gossipNode)) *gossipNode {
	t.Helper()
	x := &gossipNode{
		t: t, count: &counters{}, log: &gossipLog{}, present: map[InstanceID]member{}, goneN: map[InstanceID]int{},
		digests: map[InstanceID]digest{}, streams: make(chan net.Conn, 100),
	}
	x.host, _ = n.(*gossipHost)
	cfg := &Config{
		Cluster: "test", Name: "node-" + string('a'+rune(id)-1), Instance: InstanceID{id}, Bind: netip.MustParseAddrPort("127.0.0.1:0"),
		Network: n, Log: zerolog.New(x.log),
	}
	if change != nil {
		change(cfg)
	}
	l, p, err := cfg.Network.Listen(cfg.Bind)
	if err != nil {
		t.Fatal(err)
	}
	x.port = newPort(l, p, len(cfg.Keys) > 0, x.count, cfg.Log)
	x.gossip, err = newGossip(gossipConfig{
		cfg: cfg, port: x.port, count: x.count,
		role: func() (bool, Reign) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.is, x.reign
		},
		digest: func() digest {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.own
		},
		onMember: func(m member) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.present[m.Instance] = m
		},
		onGone: func(id InstanceID) {
			x.mu.Lock()
			defer x.mu.Unlock()
			delete(x.present, id)
			x.goneN[id]++
		},
		onDigest: func(id InstanceID, d digest) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.digests[id] = d
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range before {
		do(x)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.port.run(ctx, func(c net.Conn) { x.streams <- c }); err != nil {
			t.Errorf("port: %v", err)
		}
	})
	wg.Go(func() {
		if err := x.gossip.run(ctx); err != nil {
			t.Errorf("gossip: %v", err)
		}
	})
	x.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	return x
}

// die ends a node without a goodbye, as SIGKILL does.
func (x *gossipNode) die() {
	x.host.net.mu.Lock()
	delete(x.host.net.hosts, x.host.ip)
	x.host.net.mu.Unlock()
	x.stop()
}

func (x *gossipNode) sees() (ids []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range 255 {
		if _, ok := x.present[InstanceID{byte(id)}]; ok {
			ids = append(ids, byte(id))
		}
	}
	return ids
}

func (x *gossipNode) see(id byte) member {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.present[InstanceID{id}]
}

// wantSees fails unless the node is told of just these, and its list agrees.
func (x *gossipNode) wantSees(ids ...byte) {
	x.t.Helper()
	if got := x.sees(); !bytes.Equal(got, ids) {
		x.t.Errorf("%s sees %v, want %v", x.cfg.Name, got, ids)
	}
	var list []byte
	for _, m := range x.members() {
		list = append(list, m.Instance[0])
	}
	if !bytes.Equal(list, ids) {
		x.t.Errorf("%s lists %v, want %v", x.cfg.Name, list, ids)
	}
}

// gossipBubble runs a test in simulated time, on a network in memory.
func gossipBubble(t *testing.T, test func(t *testing.T, n *gossipNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newGossipNet()) })
}

// gossipPass lets time go by.
func gossipPass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// gossipLeaks fails the test if it leaves goroutines behind.
func gossipLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// gossipUntil waits, in real time, for what another goroutine does.
func gossipUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}
