package cache

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"syscall"
	"time"
)

// A stream between instances that have a key is TLS 1.3, and both ends prove
// the key inside it.
//
// The certificate is made at [Open] and thrown away with the process; it proves
// nothing, so nobody checks it, and no clock has to be right. What counts is the
// proof: HMAC-SHA256(key, role ‖ binding), where binding is the channel binding
// of RFC 9266, 32 bytes that both ends of one TLS connection derive from its
// secrets and its whole transcript.
//
//	client → server   4  id of the client's first key
//	                 32  HMAC(key, "client" ‖ binding)
//	server → client   1  1: the key is one of the server's; 0: refused, closed
//	                 32  HMAC(that key, "server" ‖ binding)
//
// Who stands in the middle has two TLS connections with two bindings. A proof
// for one is no proof for the other, and without the key he can make none. A
// proof that comes back to its maker is none either: the roles differ. There is
// nothing to negotiate: one version of TLS, one proof, no tickets, no early data.

const (
	handshakeTime = 2 * time.Second
	maxHandshakes = 32

	bindingLabel = "EXPORTER-Channel-Binding"
	bindingSize  = 32
	roleClient   = "client"
	roleServer   = "server"
)

// noKeyHere is a TLS alert, access_denied: from an instance without a key to
// one that has.
var noKeyHere = [...]byte{0x15, 3, 3, 0, 2, 2, 49}

// guard keeps strangers off the streams. It is safe for concurrent use.
type guard struct {
	cluster string
	cert    tls.Certificate
	limit   *limit
	within  time.Duration // a handshake, from the other end's first byte on
	hold    time.Duration // for the first byte of an answer

	mu   sync.Mutex // guards what follows
	keys []streamKey
	open map[*secured]struct{} // of those with a key
}

// newGuard makes the guard of a cluster. Without keys streams are in the clear.
func newGuard(cluster string, keys [][32]byte) (*guard, error) {
	g := &guard{
		cluster: cluster, limit: newLimit(maxHandshakes), open: map[*secured]struct{}{},
		within: handshakeTime, hold: holdTime,
	}
	var err error
	if g.keys, err = streamKeys(cluster, keys); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return g, nil
	}
	if g.cert, err = throwAway(); err != nil {
		return nil, err
	}
	return g, nil
}

// setKeys changes the keys: the first is used from now on, all are accepted.
// Streams proved with a key that is not among them are closed; the others go on.
func (g *guard) setKeys(keys [][32]byte) error {
	list, err := streamKeys(g.cluster, keys)
	if err != nil {
		return err
	}
	var stale []*secured
	g.mu.Lock()
	if (len(list) == 0) != (len(g.keys) == 0) {
		g.mu.Unlock()
		return errors.New("cache: keys can be changed, but not begun or given up, while it runs")
	}
	g.keys = list
	for c := range g.open {
		if !holds(list, c.key) {
			stale = append(stale, c)
			delete(g.open, c)
		}
	}
	g.mu.Unlock()
	for _, c := range stale {
		_ = c.raw.Close()
	}
	return nil
}

// keyed reports whether streams are secured.
func (g *guard) keyed() bool { return len(g.snapshot()) > 0 }

func (g *guard) snapshot() []streamKey {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys
}

// admit registers a proved stream, unless its key was dropped meanwhile.
func (g *guard) admit(c *secured) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !holds(g.keys, c.key) {
		return errWrongKey
	}
	g.open[c] = struct{}{}
	return nil
}

func (g *guard) forget(c *secured) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
}

// client secures a stream that this instance opened, within ctx. Without keys it
// returns conn as it is. For the first byte of an answer it waits [holdTime]: a
// keeper may have one only when it has ended the work. From then on the
// handshake may take [handshakeTime]. An *[obituaryError] says that a keeper
// answered; [errWrongKey] and [errHasNoKey] that the other end has other keys or
// none. After an error conn is closed.
func (g *guard) client(ctx context.Context, conn net.Conn) (net.Conn, error) {
	keys := g.snapshot()
	if len(keys) == 0 {
		return conn, nil
	}
	c, err := g.shake(ctx, conn, g.hold, func(late *time.Timer) (*secured, error) {
		p := newPipe(&answer{Conn: conn, first: func() { late.Reset(g.within) }})
		t := tls.Client(p, &tls.Config{
			MinVersion:                  tls.VersionTLS13,
			InsecureSkipVerify:          true, // the proof is ours, see above
			SessionTicketsDisabled:      true,
			DynamicRecordSizingDisabled: true,
		})
		binding, err := bind(t)
		if err != nil {
			return nil, err
		}
		k := keys[0]
		if _, err := t.Write(append(k.id[:], k.prove(roleClient, binding)...)); err != nil {
			return nil, err
		}
		var reply [1 + sha256.Size]byte
		if _, err := io.ReadFull(t, reply[:1]); err != nil {
			return nil, err
		}
		if reply[0] != 1 {
			return nil, errWrongKey
		}
		if _, err := io.ReadFull(t, reply[1:]); err != nil {
			return nil, err
		}
		if !hmac.Equal(reply[1:], k.prove(roleServer, binding)) {
			return nil, errWrongKey
		}
		return &secured{Conn: t, raw: conn, pipe: p, guard: g, key: k}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("secure the stream to %v: %w", conn.RemoteAddr(), err)
	}
	return c, nil
}

// server secures a stream that came in, within ctx and [handshakeTime]. It
// refuses what is in the clear if there are keys, and TLS if there are none.
// The first byte tells them apart; without keys the conn that it returns yields
// that byte again. After an error conn is closed.
func (g *guard) server(ctx context.Context, conn net.Conn) (net.Conn, error) {
	turn, ok := g.limit.enter(conn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("secure the stream from %v: %w", conn.RemoteAddr(), errCrowded)
	}
	var plain net.Conn
	c, err := g.shake(ctx, conn, g.within, func(*time.Timer) (*secured, error) {
		first := make([]byte, 1)
		if _, err := io.ReadFull(conn, first); err != nil {
			return nil, err
		}
		again := &peeked{Conn: conn, first: first}
		switch keys := g.snapshot(); {
		case first[0] != firstStream && first[0] != firstTLS:
			return nil, fmt.Errorf("%w: first byte %#02x", errMalformed, first[0])
		case first[0] == firstStream && len(keys) > 0:
			return nil, errNeedsKey
		case first[0] == firstStream:
			plain = again
			return nil, nil
		case len(keys) == 0:
			// So that the other end can tell its people why.
			_, _ = conn.Write(noKeyHere[:])
			return nil, errHasNoKey
		default:
			return g.accept(again, conn, keys)
		}
	})
	if turn.leave() && err != nil {
		err = errCrowded // a newer one took its place
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("secure the stream from %v: %w", conn.RemoteAddr(), err)
	case plain != nil:
		return plain, nil
	}
	return c, nil
}

func (g *guard) accept(in, raw net.Conn, keys []streamKey) (*secured, error) {
	p := newPipe(in)
	t := tls.Server(p, &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{g.cert},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	})
	binding, err := bind(t)
	if err != nil {
		return nil, err
	}
	var proof [keyIDSize + sha256.Size]byte
	if _, err := io.ReadFull(t, proof[:]); err != nil {
		return nil, err
	}
	for _, k := range keys {
		if !hmac.Equal(proof[:keyIDSize], k.id[:]) || !hmac.Equal(proof[keyIDSize:], k.prove(roleClient, binding)) {
			continue
		}
		if _, err := t.Write(append([]byte{1}, k.prove(roleServer, binding)...)); err != nil {
			return nil, err
		}
		return &secured{Conn: t, raw: raw, pipe: p, guard: g, key: k}, nil
	}
	_, _ = t.Write([]byte{0})
	return nil, errWrongKey
}

// shake runs one handshake on conn within ctx, and before a timer ends that do
// may set anew. It returns nil without an error for a stream in the clear. After
// an error conn is closed.
func (g *guard) shake(ctx context.Context, conn net.Conn, wait time.Duration, do func(*time.Timer) (*secured, error)) (*secured, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(wait, func() { cancel(errSlow) })
	defer late.Stop()
	past := time.Unix(1, 0)
	unhook := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	c, err := do(late)
	if !unhook() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err == nil && c != nil {
		c.pipe.widen()
		err = g.admit(c)
	}
	if err != nil {
		_ = conn.Close()
		return nil, reason(ctx, err)
	}
	return c, nil
}

// reason is what ended a handshake, in the words of this package.
func reason(ctx context.Context, err error) error {
	if o, ok := errors.AsType[*obituaryError](err); ok {
		return o
	}
	for _, word := range []error{errHasNoKey, context.Cause(ctx)} {
		if word != nil && errors.Is(err, word) {
			return word
		}
	}
	return err
}

// bind makes the TLS connection and tells its channel binding.
func bind(t *tls.Conn) ([]byte, error) {
	if err := t.Handshake(); err != nil {
		_, network := errors.AsType[net.Error](err)
		if !network && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %w", errMalformed, err)
		}
		return nil, err
	}
	state := t.ConnectionState()
	return state.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
}

// throwAway makes a certificate for the life of this process.
func throwAway() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cache: make a key for TLS: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // "no end", RFC 5280 §4.1.2.5
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cache: make a certificate for TLS: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// secured is a stream whose other end has proved a key. Its end is io.EOF as on
// a bare connection.
type secured struct {
	net.Conn // TLS
	raw      net.Conn
	pipe     *pipe
	guard    *guard
	key      streamKey

	write sync.Mutex // one Write at a time
}

// Write sends b with as few system calls as it can.
func (c *secured) Write(b []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	return c.pipe.together(func() (int, error) { return c.Conn.Write(b) })
}

func (c *secured) writeBoth(header, body []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	_, err := c.pipe.together(func() (int, error) {
		n, err := c.Conn.Write(header)
		if err != nil {
			return n, err
		}
		m, err := c.Conn.Write(body)
		return n + m, err
	})
	return err
}

// Close ends the stream at once. TLS would first say goodbye, and wait for
// seconds to do so on a connection that is full.
func (c *secured) Close() error {
	c.guard.forget(c)
	return c.raw.Close()
}

// peeked yields bytes that were read before.
type peeked struct {
	net.Conn
	first []byte // read by one goroutine, as Read is
}

// NetConn is the connection below, as in crypto/tls.
func (c *peeked) NetConn() net.Conn { return c.Conn }

func (c *peeked) Read(b []byte) (int, error) {
	if len(c.first) == 0 || len(b) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	c.first = c.first[n:]
	return n, nil
}

// answer looks at the first bytes that come back: they may be a keeper's, or of
// an instance without a key.
type answer struct {
	net.Conn
	first func() // called once they are there
	begun bool   // changed during the handshake only
}

// Write fails for nobody who may have left an answer before he went.
func (c *answer) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if !c.begun && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
		return len(b), nil
	}
	return n, err
}

func (c *answer) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.begun || n == 0 {
		return n, err
	}
	c.begun = true
	c.first()
	if bytes.Equal(b[:n], noKeyHere[:]) {
		return 0, errHasNoKey
	}
	if b[0] != firstStream {
		return n, err
	}
	o, err := readObituary(io.MultiReader(bytes.NewReader(b[:n]), c.Conn))
	if err != nil {
		return 0, err
	}
	return 0, &obituaryError{o}
}

// String hides the key.
func (k streamKey) String() string { return "key " + hex.EncodeToString(k.id[:]) }
