package admin

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// gate lets in at most so many connections at once, and only of allowed users.
// Who comes when all are at work waits in the kernel's queue.
type gate struct {
	sock    atomic.Pointer[socket]
	places  *places
	allowed func(uid int) bool
	log     zerolog.Logger

	mu       sync.Mutex // guards that nothing is made again once closed is
	closed   chan struct{}
	watching sync.WaitGroup
}

// socketEvery is how often the socket's file is looked for.
const socketEvery = 10 * time.Second

func newGate(s *socket, most int, allowed func(uid int) bool, log zerolog.Logger) *gate {
	g := &gate{places: newPlaces(most), allowed: allowed, log: log, closed: make(chan struct{})}
	g.sock.Store(s)
	return g
}

// Addr is the socket's.
func (g *gate) Addr() net.Addr { return g.sock.Load().Addr() }

// Accept waits for a caller, then for a place for it.
func (g *gate) Accept() (net.Conn, error) {
	for {
		s := g.sock.Load()
		c, err := s.AcceptUnix()
		switch {
		case err != nil && s != g.sock.Load(): // made again meanwhile
			continue
		case err != nil:
			return nil, err
		}
		uid, known, err := dialler(c)
		if err != nil || known && !g.allowed(uid) {
			c.Close()
			g.log.Warn().Err(err).Int("uid", uid).Msg("admin connection refused")
			continue
		}
		in := &guest{UnixConn: c}
		in.leave = sync.OnceFunc(func() { g.places.leave(in) })
		if !g.places.enter(in, g.closed) {
			c.Close()
			return nil, net.ErrClosed
		}
		return in, nil
	}
}

// watch makes the socket again when its file is gone, as cleaners of temporary
// folders do, until the gate is closed.
func (g *gate) watch(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.renew()
		case <-g.closed:
			return
		}
	}
}

func (g *gate) renew() {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.sock.Load()
	if _, err := os.Lstat(old.path); g.isClosed() || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	s, err := listenSocket(old.path)
	if err != nil {
		g.log.Error().Err(err).Str("socket", old.path).Msg("The socket is gone and cannot be made again")
		return
	}
	g.sock.Store(s)
	_ = old.UnixListener.Close() // nobody can reach it any more
	g.log.Warn().Str("socket", s.path).Msg("The socket was gone; made it again")
}

func (g *gate) isClosed() bool {
	select {
	case <-g.closed:
		return true
	default:
		return false
	}
}

// Close ends Accept and removes the socket.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isClosed() {
		return nil
	}
	close(g.closed)
	return g.sock.Load().Close()
}

// guest gives its place back when it is closed.
type guest struct {
	*net.UnixConn
	leave func()
}

func (g *guest) Close() error {
	defer g.leave()
	return g.UnixConn.Close()
}
