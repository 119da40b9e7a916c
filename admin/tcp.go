package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// TCP is the second door of a Server: the same API for other machines, and so
// for strangers. See the package comment for who may do what there.
type TCP struct {
	// Listen is host:port; port 0 is a free one.
	Listen string
	// Token lets its bearer do everything; empty: nobody may over TCP.
	Token string
	// CertFile and KeyFile are PEM files; empty: no TLS. They are read again when
	// they have changed.
	CertFile, KeyFile string
	// Insecure: a token may travel in clear text to an address that is not
	// loopback.
	Insecure bool
	// Hosts are names that callers may use, beside localhost, IP addresses, the
	// host of Listen, this machine's name and those of the certificate.
	Hosts []string
}

// maxPerHost is how many connections one other machine may have, so that none
// takes all places. It does not count on loopback, where all come from one.
const maxPerHost = maxConns / 2

// doorway is the listening side of a TCP.
type doorway struct {
	*net.TCPListener
	cfg      TCP
	log      zerolog.Logger
	loopback bool
	keys     *keyPair // nil: no TLS
	token    secret

	places  *places
	perHost int
	counted func(netip.Addr) bool // whether perHost holds for this caller
	once    sync.Once
	closed  chan struct{}
	counts  *tcpCounts

	mu   sync.Mutex // guards from
	from map[netip.Addr]int
}

// tcpCounts are for the metrics.
type tcpCounts struct {
	open     atomic.Int64
	accepted atomic.Uint64
	refused  atomic.Uint64 // one machine had too many
	silent   atomic.Uint64 // ended without one request that could be read

	mu       sync.Mutex           // guards what follows
	answers  map[int]uint64       // by status
	rejected map[string]uint64    // by cause
	told     map[string]time.Time // by cause: when the log had it last
}

// openTCP listens.
func openTCP(cfg TCP, conns int, counts *tcpCounts, log zerolog.Logger) (*doorway, error) {
	d := &doorway{
		cfg: cfg, log: log, counts: counts, places: newPlaces(conns), perHost: max(1, min(maxPerHost, conns/2)),
		counted: func(a netip.Addr) bool { return !a.IsLoopback() }, closed: make(chan struct{}), from: map[netip.Addr]int{},
	}
	if cfg.CertFile != "" {
		d.keys = &keyPair{cert: cfg.CertFile, key: cfg.KeyFile, log: log}
		if err := d.keys.load(); err != nil {
			return nil, &Error{Kind: KindBadListen, Detail: fmt.Sprintf("load the certificate of the HTTP API: %v", err),
				Mend: "mend failover.admin.tls.cert and failover.admin.tls.key", Err: err}
		}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		mend := "write an address of this machine in failover.admin.listen"
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			mend = "choose another port with failover.admin.listen, each instance needs its own; port 0 is a free one"
		case errors.Is(err, syscall.EACCES):
			mend = "choose a port above 1023 with failover.admin.listen"
		}
		return nil, &Error{Kind: KindBadListen, Detail: fmt.Sprintf("listen on %s for the HTTP API: %v", cfg.Listen, cause(err)), Mend: mend, Err: err}
	}
	d.TCPListener = l.(*net.TCPListener)
	d.token.set(cfg.Token)
	d.loopback = d.at().Addr().IsLoopback()
	if cfg.Token != "" && d.keys == nil && !d.loopback && !cfg.Insecure { // a name that turned out to be another's
		_ = l.Close()
		return nil, &Error{Kind: KindBadListen, Detail: fmt.Sprintf("without TLS the token would travel in clear text to %s", d.at()),
			Mend: "write failover.admin.tls.cert and failover.admin.tls.key, or 127.0.0.1 in failover.admin.listen, or failover.admin.insecure=true"}
	}
	return d, nil
}

// at is the address that is listened on.
func (d *doorway) at() netip.AddrPort {
	a := d.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// url is where callers find it.
func (d *doorway) url() string {
	if d.keys != nil {
		return "https://" + d.at().String()
	}
	return "http://" + d.at().String()
}

// Accept waits for a caller, then for a place for it. When all are at work the
// next caller waits in the kernel's queue; a machine that has too many is sent
// away at once.
func (d *doorway) Accept() (net.Conn, error) {
	for {
		c, err := d.AcceptTCP()
		if err != nil {
			return nil, err
		}
		peer := machine(c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		if !d.enter(peer) {
			d.counts.refused.Add(1)
			_ = c.SetLinger(0) // a reset: nothing of it stays behind
			_ = c.Close()
			continue
		}
		v := &visitor{TCPConn: c}
		v.leave = sync.OnceFunc(func() {
			if !v.asked.Load() {
				d.counts.silent.Add(1)
			}
			d.counts.open.Add(-1)
			d.left(peer)
			d.places.leave(v)
		})
		d.counts.accepted.Add(1)
		d.counts.open.Add(1)
		if !d.places.enter(v, d.closed) {
			_ = v.Close()
			return nil, net.ErrClosed
		}
		return v, nil
	}
}

// machine is by what one caller's connections are counted: a machine has a whole
// /64 of IPv6 to itself.
func machine(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() && !a.IsLoopback() {
		p, _ := a.Prefix(64) // never fails for an IPv6 address
		a = p.Addr()
	}
	return a
}

func (d *doorway) enter(peer netip.Addr) bool {
	if !d.counted(peer) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from[peer] >= d.perHost {
		return false
	}
	d.from[peer]++
	return true
}

func (d *doorway) left(peer netip.Addr) {
	if !d.counted(peer) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.from[peer]--; d.from[peer] <= 0 {
		delete(d.from, peer)
	}
}

// Close ends Accept.
func (d *doorway) Close() error {
	err := error(nil)
	d.once.Do(func() {
		close(d.closed)
		err = d.TCPListener.Close()
	})
	return err
}

// visitor gives its place back when it is closed.
type visitor struct {
	*net.TCPConn
	leave func()
	asked atomic.Bool // a request of it could be read
}

func (v *visitor) Close() error {
	defer v.leave()
	return v.TCPConn.Close()
}

// visitorKey is where a request's context has its visitor.
type visitorKey struct{}

func withVisitor(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, visitorKey{}, c)
}

// server makes the HTTP server of this door.
func (d *doorway) server(handler http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           handler,
		ConnContext:       withVisitor,
		ConnState:         d.places.note,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          stdLogger(d.log),
		Protocols:         new(http.Protocols),

		DisableGeneralOptionsHandler: true, // the porter answers OPTIONS * too
	}
	srv.Protocols.SetHTTP1(true) // one request at a time, so that connections bound the work
	if d.keys != nil {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: d.keys.get}
	}
	return srv
}

func (d *doorway) serve(srv *http.Server) error {
	if d.keys != nil {
		return srv.ServeTLS(d, "", "")
	}
	return srv.Serve(d)
}

// keyPair is the certificate, read again when its files have changed.
type keyPair struct {
	cert, key string
	log       zerolog.Logger

	mu      sync.Mutex // guards the rest
	pair    *tls.Certificate
	looked  time.Time
	changed [2]time.Time // as of pair
	told    string       // what the log says is wrong
}

// keyPairEvery is how often the files are looked at.
const keyPairEvery = 10 * time.Second

func (k *keyPair) load() error {
	var changed [2]time.Time
	for i, name := range []string{k.cert, k.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() { // to open a pipe waits for who writes, and a handshake for us
			return fmt.Errorf("%s is no regular file", name)
		}
		changed[i] = info.ModTime()
	}
	if k.pair != nil && changed == k.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return err // tried again: files that may be read at last look no younger
	}
	k.pair, k.changed = &pair, changed
	return nil
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); now.Sub(k.looked) >= keyPairEvery {
		k.looked = now
		why := ""
		if err := k.load(); err != nil {
			why = err.Error()
		}
		if why != "" && why != k.told {
			k.log.Error().Str("error", why).Msg("The new certificate of the HTTP API cannot be used; the old one stays")
		}
		k.told = why
	}
	return k.pair, nil
}

// names are those of the certificate.
func (k *keyPair) names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pair.Leaf == nil {
		return nil
	}
	return k.pair.Leaf.DNSNames
}

// covers reports whether the certificate is for a host.
func (k *keyPair) covers(host string) bool {
	for _, name := range k.names() {
		name = strings.ToLower(name)
		if name == host {
			return true
		}
		if wild, ok := strings.CutPrefix(name, "*."); ok {
			if _, rest, ok := strings.Cut(host, "."); ok && rest == wild {
				return true
			}
		}
	}
	return false
}
