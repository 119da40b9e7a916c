package cache

import (
	"bufio"
	"net"
	"sync"
)

// pipeSize is a little more than the records of one write of the log.
const pipeSize = 264 << 10

// pipe lies between TLS and the connection. TLS writes and reads records of 16
// KiB; this turns many of them into one system call.
type pipe struct {
	net.Conn
	in *bufio.Reader // nil until the other end is known: strangers get no memory

	mu   sync.Mutex // guards what follows
	hold bool
	out  []byte
}

func newPipe(c net.Conn) *pipe { return &pipe{Conn: c} }

// widen is for the goroutine that has read so far, before others read.
func (p *pipe) widen() { p.in = bufio.NewReaderSize(p.Conn, pipeSize) }

func (p *pipe) Read(b []byte) (int, error) {
	if p.in == nil {
		return p.Conn.Read(b)
	}
	return p.in.Read(b)
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hold {
		return p.Conn.Write(b)
	}
	if len(p.out)+len(b) > pipeSize {
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// together sends what do writes at its end.
func (p *pipe) together(do func() (int, error)) (int, error) {
	p.mu.Lock()
	p.hold = true
	p.mu.Unlock()
	n, err := do()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = false
	if err == nil {
		err = p.flush()
	}
	return n, err
}

func (p *pipe) flush() error {
	b := p.out
	p.out = p.out[:0]
	if len(b) == 0 {
		return nil
	}
	_, err := p.Conn.Write(b)
	return err
}

// writeBoth writes a header and a body in one system call, and without a copy
// where there is none needed.
func writeBoth(conn net.Conn, header, body []byte) error {
	if c, ok := conn.(*secured); ok {
		return c.writeBoth(header, body)
	}
	below := conn
	for {
		// What wraps a connection here changes reading only.
		w, ok := below.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		below = w.NetConn()
	}
	if tcp, ok := below.(*net.TCPConn); ok {
		both := net.Buffers{header, body}
		_, err := both.WriteTo(tcp)
		return err
	}
	if _, err := conn.Write(header); err != nil {
		return err
	}
	_, err := conn.Write(body)
	return err
}
