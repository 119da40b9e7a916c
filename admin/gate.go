package admin

import (
	"net"
	"sync"

	"github.com/rs/zerolog"
)

// gate lets in at most so many connections at once, and only of allowed users.
// Who comes when all are at work waits in the kernel's queue.
type gate struct {
	*socket
	places  *places
	allowed func(uid int) bool
	log     zerolog.Logger

	once   sync.Once
	closed chan struct{}
}

func newGate(s *socket, most int, allowed func(uid int) bool, log zerolog.Logger) *gate {
	return &gate{socket: s, places: newPlaces(most), allowed: allowed, log: log, closed: make(chan struct{})}
}

// Accept waits for a caller, then for a place for it.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.AcceptUnix()
		if err != nil {
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

// Close ends Accept and removes the socket.
func (g *gate) Close() error {
	err := error(nil)
	g.once.Do(func() {
		close(g.closed)
		err = g.socket.Close()
	})
	return err
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
