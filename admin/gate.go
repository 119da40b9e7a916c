package admin

import (
	"net"
	"sync"

	"github.com/rs/zerolog"
)

// gate lets in at most so many connections at once, and only of allowed users.
// Who comes when it is full waits in the kernel's queue.
type gate struct {
	*socket
	places  chan struct{}
	allowed func(uid int) bool
	log     zerolog.Logger

	once   sync.Once
	closed chan struct{}
}

func newGate(s *socket, most int, allowed func(uid int) bool, log zerolog.Logger) *gate {
	return &gate{socket: s, places: make(chan struct{}, most), allowed: allowed, log: log, closed: make(chan struct{})}
}

// Accept waits for a place, then for a caller.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case g.places <- struct{}{}:
	case <-g.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := g.AcceptUnix()
		if err != nil {
			<-g.places
			return nil, err
		}
		uid, known, err := dialler(c)
		if err == nil && (!known || g.allowed(uid)) {
			return &guest{UnixConn: c, leave: sync.OnceFunc(func() { <-g.places })}, nil
		}
		c.Close()
		g.log.Warn().Err(err).Int("uid", uid).Msg("admin connection refused")
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
