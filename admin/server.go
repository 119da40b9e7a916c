package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Limits of the API.
const (
	maxBody    = 64 << 10
	maxHeaders = 16 << 10
	maxConns   = 128

	headerTimeout = 5 * time.Second  // for the request's header
	readTimeout   = 10 * time.Second // for the whole request
	writeTimeout  = 10 * time.Second // for an answer, or one event of a stream
	idleTimeout   = 60 * time.Second // between two requests of a connection
	stopTimeout   = time.Second      // for the answers under way when Run ends
)

// Config is what a Server needs.
type Config struct {
	Node Node
	// Caches are what /v1/cache serves; nil: the instance keeps none.
	Caches Caches
	// Steps are what POST /v1/steps fills; nil: the instance takes none.
	Steps Steps
	// SocketPath is where to listen. Its folder is made if it is not there.
	SocketPath string
	// TCP is where to listen beside it; nil: nowhere.
	TCP *TCP
	// Metrics writes what GET /metrics tells of the instance; nil: only the
	// server's own is told.
	Metrics func(*Metrics)
	Log     zerolog.Logger
}

// Server serves the API of one Node.
type Server struct {
	cfg   Config
	ready chan struct{}

	conns   int
	read    time.Duration
	stop    time.Duration
	look    time.Duration
	allowed func(uid int) bool

	change    func(*doorway, *http.Server) // by which tests set other limits; may be nil
	counts    tcpCounts
	tcp       atomic.Pointer[doorway]
	later     atomic.Pointer[string] // of SetToken, for a door that opens after it
	tcpServed sync.WaitGroup
}

// New makes a server; nothing is opened before Run.
func New(cfg Config) (*Server, error) {
	if cfg.Node == nil {
		return nil, errors.New("admin: Config.Node is missing")
	}
	if err := CheckSocketPath(cfg.SocketPath); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, ready: make(chan struct{}), conns: maxConns, read: readTimeout, stop: stopTimeout, look: socketEvery, allowed: sameUserOrRoot}, nil
}

// Ready is closed when the socket, and the TCP address if there is one, accept
// callers.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// URL is where the API is found over TCP once Ready is closed; empty: nowhere.
func (s *Server) URL() string {
	if d := s.tcp.Load(); d != nil {
		return d.url()
	}
	return ""
}

// SetToken has the bearer of another token obeyed over TCP, from now on, in
// place of the bearer of TCP.Token; empty: nobody. Streams that are open stay
// so. Before Ready is closed it counts from then on; without a TCP it does
// nothing. Safe for concurrent use.
func (s *Server) SetToken(token string) {
	s.later.Store(&token)
	if d := s.tcp.Load(); d != nil {
		d.token.set(token)
	}
}

// Run serves until ctx ends, then takes the socket away and returns nil. Call
// it once. An *Error of KindRunning says that another process answers there,
// one of KindBadListen that the TCP address cannot be used.
func (s *Server) Run(ctx context.Context) error {
	sock, err := listenSocket(s.cfg.SocketPath)
	if err != nil {
		return err
	}
	var handlers room // those that still run, so that none outlives Run
	requests, cancel := context.WithCancel(ctx)
	defer cancel()
	api := newAPI(s.cfg, s.ownMetrics)
	guarded := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if handlers.enter() {
				defer handlers.leave()
				h.ServeHTTP(w, r)
			}
		})
	}
	base := func(net.Listener) context.Context { return requests }
	g := newGate(sock, s.conns, s.allowed, s.cfg.Log)
	srv := &http.Server{
		Handler:           guarded(newUsher(api, s.conns)),
		BaseContext:       base,
		ConnState:         g.places.note,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       s.read,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          stdLogger(s.cfg.Log),
	}

	tcp, err := s.openDoor(api, guarded)
	if err != nil {
		g.Close()
		return err
	}
	g.watching.Go(func() { g.watch(s.look) })
	served := make(chan error, 1)
	go func() { served <- srv.Serve(g) }()
	if tcp != nil {
		tcp.BaseContext = base
		s.serveTCP(tcp)
	}
	close(s.ready)

	select {
	case err = <-served:
		err = fmt.Errorf("serve %s: %w", s.cfg.SocketPath, err)
	case <-ctx.Done():
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), s.stop)
		var both sync.WaitGroup
		for _, srv := range []*http.Server{srv, tcp} {
			if srv != nil {
				both.Go(func() { _ = srv.Shutdown(stop) }) // its error says only that Close below has work to do
			}
		}
		both.Wait()
		done()
		<-served
		err = nil
	}
	cancel()
	srv.Close()
	g.Close()
	g.watching.Wait()
	if tcp != nil {
		tcp.Close()
		s.tcp.Load().Close()
	}
	handlers.empty()
	s.tcpServed.Wait()
	return err
}

// openDoor listens on the TCP address; nil: there is none.
func (s *Server) openDoor(api http.Handler, guarded func(http.Handler) http.Handler) (*http.Server, error) {
	if s.cfg.TCP == nil {
		return nil, nil //nolint:nilnil // no address is no fault
	}
	d, err := openTCP(*s.cfg.TCP, s.conns, &s.counts, s.cfg.Log)
	if err != nil {
		return nil, err
	}
	s.tcp.Store(d)
	if token := s.later.Load(); token != nil {
		d.token.set(*token)
	}
	srv := d.server(guarded(newPorter(newUsher(api, s.conns), d)))
	srv.ReadTimeout = s.read
	if s.change != nil {
		s.change(d, srv)
	}
	return srv, nil
}

// serveTCP serves until the server is closed. An instance goes on without this
// door if it fails: nobody is to lose the mastership for it.
func (s *Server) serveTCP(srv *http.Server) {
	d := s.tcp.Load()
	s.cfg.Log.Info().Str("url", d.url()).Bool("token", d.cfg.Token != "").Msg("The HTTP API listens")
	s.tcpServed.Go(func() {
		if err := d.serve(srv); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log.Error().Err(err).Str("url", d.url()).Msg("The HTTP API has stopped listening; the Unix socket still answers")
		}
	})
}

// room counts who is in, so that the last to go can be waited for.
type room struct {
	mu     sync.Mutex // guards shut, and that nobody enters after it
	shut   bool
	inside sync.WaitGroup
}

func (r *room) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.shut {
		r.inside.Add(1)
	}
	return !r.shut
}

func (r *room) leave() { r.inside.Done() }

// empty lets nobody in any more and waits until all have left.
func (r *room) empty() {
	r.mu.Lock()
	r.shut = true
	r.mu.Unlock()
	r.inside.Wait()
}

func sameUserOrRoot(uid int) bool { return uid == 0 || uid == os.Geteuid() }
