package cachetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

var (
	connectRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)
	readReset      = os.NewSyscallError("read", syscall.ECONNRESET)
	writeReset     = os.NewSyscallError("write", syscall.ECONNRESET)
	writePipe      = os.NewSyscallError("write", syscall.EPIPE)
)

// stream is one end of a connection. What it has yet to read waits in queue.
type stream struct {
	f      *Fabric
	id     uint64
	m      *machine
	local  netip.AddrPort
	remote netip.AddrPort
	peer   *stream

	queue   []chunk
	used    int       // bytes in the queue
	last    time.Time // arrival of the last chunk
	resetAt time.Time // a reset arrives; zero: none
	closed  bool      // by this end
	shut    bool      // this end sends no more

	readBy, writeBy time.Time
	changed         *signal // anything of the above
}

type chunk struct {
	data []byte // nil: the end
	at   time.Time
	held bool // lost by a cut; sent again after it
}

var _ net.Conn = (*stream)(nil)

func (f *Fabric) pair(from *machine, fromAddr netip.AddrPort, to *machine, toAddr netip.AddrPort) (*stream, *stream) {
	a := &stream{f: f, m: from, local: fromAddr, remote: toAddr, changed: newSignal()}
	b := &stream{f: f, m: to, local: toAddr, remote: fromAddr, changed: newSignal()}
	a.peer, b.peer = b, a
	f.made += 2
	a.id, b.id = f.made-1, f.made
	f.streams[a], f.streams[b] = struct{}{}, struct{}{}
	return a, b
}

// hold keeps back what has not arrived.
func (s *stream) hold(now time.Time) {
	for i := range s.queue {
		if s.queue[i].at.After(now) {
			s.queue[i].held = true
		}
	}
	if s.resetAt.After(now) {
		s.resetAt = time.Time{} // nobody repeats it
	}
	s.changed.wake()
}

func (s *stream) held() bool { return len(s.queue) > 0 && s.queue[len(s.queue)-1].held }

// deliver ends hold.
func (s *stream) deliver(at time.Time) {
	for i := range s.queue {
		if s.queue[i].held {
			s.queue[i].held = false
			s.queue[i].at = at
			s.last = at
		}
	}
	s.changed.wake()
}

// push puts a chunk under way to s.
func (s *stream) push(data []byte) {
	now := time.Now()
	at := now.Add(s.f.delay())
	if s.f.link.Loss > 0 && s.f.rng.Float64() < s.f.link.Loss {
		at = at.Add(retransmit)
	}
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	s.queue = append(s.queue, chunk{data: data, at: at, held: !s.f.open(way{s.peer.m, s.m})})
	s.used += len(data)
	s.changed.wake()
}

// reset puts a reset under way to s; it overtakes nothing that it could read.
func (s *stream) reset() {
	if s.resetAt.IsZero() && s.f.open(way{s.peer.m, s.m}) {
		s.resetAt = time.Now().Add(s.f.delay())
	}
	s.changed.wake()
}

func (s *stream) isReset(now time.Time) bool { return !s.resetAt.IsZero() && !now.Before(s.resetAt) }

// close is what the kernel does at close(2) and when the process dies.
func (s *stream) close() {
	if s.closed {
		return
	}
	unread := len(s.queue) > 0 && s.queue[0].data != nil && !s.queue[0].held && !time.Now().Before(s.queue[0].at)
	wasShut := s.shut
	s.drop()
	switch {
	case unread:
		s.peer.reset()
	case !wasShut:
		s.peer.push(nil)
	}
}

// drop ends this end, without a word to the other.
func (s *stream) drop() {
	s.closed, s.shut = true, true
	s.queue, s.used = nil, 0
	s.changed.wake()
	if s.peer.closed {
		delete(s.f.streams, s)
		delete(s.f.streams, s.peer)
	}
}

// Read implements [net.Conn].
func (s *stream) Read(p []byte) (int, error) {
	for {
		n, wait, woken, err := s.tryRead(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, s.fault("read", err)
		}
		_ = sleep(context.Background(), woken, wait)
	}
}

func (s *stream) tryRead(p []byte) (n int, wait time.Time, woken chan struct{}, err error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	now := time.Now()
	woken = s.changed.c
	if s.closed {
		return 0, wait, woken, net.ErrClosed
	}
	if s.m.stalled {
		return 0, wait, woken, nil
	}
	if !s.readBy.IsZero() && !now.Before(s.readBy) {
		return 0, wait, woken, os.ErrDeadlineExceeded
	}
	wait = s.readBy
	for len(s.queue) > 0 {
		c := &s.queue[0]
		if c.held || now.Before(c.at) {
			break
		}
		if c.data == nil {
			if s.isReset(now) {
				return n, wait, woken, readReset
			}
			if n == 0 {
				return 0, wait, woken, io.EOF
			}
			break
		}
		k := copy(p[n:], c.data)
		n += k
		s.used -= k
		c.data = c.data[k:]
		if len(c.data) > 0 {
			break
		}
		s.queue = s.queue[1:]
	}
	if n > 0 {
		s.peer.changed.wake() // there is room
		return n, wait, woken, nil
	}
	if s.isReset(now) {
		return 0, wait, woken, readReset
	}
	if len(s.queue) > 0 && !s.queue[0].held {
		wait = earlier(wait, s.queue[0].at)
	}
	return 0, earlier(wait, s.resetAt), woken, nil
}

// Write implements [net.Conn].
func (s *stream) Write(p []byte) (int, error) {
	done := 0
	for {
		n, wait, woken, err := s.tryWrite(p[done:])
		done += n
		if err != nil || done == len(p) {
			return done, s.fault("write", err)
		}
		_ = sleep(context.Background(), woken, wait)
	}
}

func (s *stream) tryWrite(p []byte) (n int, wait time.Time, woken chan struct{}, err error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	now := time.Now()
	woken = s.changed.c
	switch {
	case s.closed:
		return 0, wait, woken, net.ErrClosed
	case s.shut:
		return 0, wait, woken, writePipe
	case s.m.stalled:
		return 0, wait, woken, nil
	case !s.writeBy.IsZero() && !now.Before(s.writeBy):
		return 0, wait, woken, os.ErrDeadlineExceeded
	case s.isReset(now):
		return 0, wait, woken, writeReset
	}
	wait = earlier(s.writeBy, s.resetAt)
	room := s.f.link.Buffer - s.peer.used
	if len(p) == 0 || room <= 0 {
		return 0, wait, woken, nil
	}
	n = min(room, len(p))
	if s.peer.closed {
		// Taken by this kernel; the other one answers with a reset.
		s.peer.used += n
		if s.f.open(way{s.m, s.peer.m}) {
			s.reset()
		}
		return n, earlier(wait, s.resetAt), s.changed.c, nil
	}
	data := append(make([]byte, 0, n), p[:n]...)
	if w := (way{s.m, s.peer.m}); s.f.corrupt[w] && n > 1 {
		delete(s.f.corrupt, w)
		data[s.f.rng.IntN(n)] ^= 1 << s.f.rng.IntN(8)
	}
	s.peer.push(data)
	return n, wait, woken, nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (s *stream) fault(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// Close implements [net.Conn].
func (s *stream) Close() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.closed {
		return s.fault("close", net.ErrClosed)
	}
	s.close()
	return nil
}

// CloseWrite is as of a [net.TCPConn].
func (s *stream) CloseWrite() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.closed {
		return s.fault("close", net.ErrClosed)
	}
	if !s.shut {
		s.shut = true
		s.peer.push(nil)
		s.changed.wake()
	}
	return nil
}

// LocalAddr implements [net.Conn].
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr implements [net.Conn].
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// SetDeadline implements [net.Conn].
func (s *stream) SetDeadline(t time.Time) error { return s.deadlines(&t, &t) }

// SetReadDeadline implements [net.Conn].
func (s *stream) SetReadDeadline(t time.Time) error { return s.deadlines(&t, nil) }

// SetWriteDeadline implements [net.Conn].
func (s *stream) SetWriteDeadline(t time.Time) error { return s.deadlines(nil, &t) }

func (s *stream) deadlines(read, write *time.Time) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.closed {
		return s.fault("set", net.ErrClosed)
	}
	if read != nil {
		s.readBy = *read
	}
	if write != nil {
		s.writeBy = *write
	}
	s.changed.wake()
	return nil
}

// listener takes connections until its backlog is full.
type listener struct {
	host    *Host
	addr    netip.AddrPort
	queue   []*stream
	closed  bool
	changed *signal
}

var _ net.Listener = (*listener)(nil)

// connect is the handshake; it gives the dialler's end.
func (l *listener) connect(from *Host) *stream {
	mine, theirs := l.host.f.pair(from.m, netip.AddrPortFrom(from.m.addr, from.m.port()), l.host.m, l.addr)
	l.queue = append(l.queue, theirs)
	l.changed.wake()
	return mine
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	f := l.host.f
	for {
		f.mu.Lock()
		if l.closed {
			f.mu.Unlock()
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		}
		if len(l.queue) > 0 && !l.host.m.stalled {
			s := l.queue[0]
			l.queue = l.queue[1:]
			f.mu.Unlock()
			return s, nil
		}
		woken := l.changed.c
		f.mu.Unlock()
		<-woken
	}
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.host.f.mu.Lock()
	defer l.host.f.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.close()
	return nil
}

func (l *listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	for _, s := range l.queue {
		if !s.closed {
			s.drop()
			s.peer.reset()
		}
	}
	l.queue = nil
	delete(l.host.m.listeners, l.addr.Port())
	l.changed.wake()
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }
