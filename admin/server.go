package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
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
	Log        zerolog.Logger
}

// Server serves the API of one Node.
type Server struct {
	cfg   Config
	ready chan struct{}

	conns   int
	read    time.Duration
	stop    time.Duration
	allowed func(uid int) bool
}

// New makes a server; nothing is opened before Run.
func New(cfg Config) (*Server, error) {
	if cfg.Node == nil {
		return nil, errors.New("admin: Config.Node is missing")
	}
	if err := CheckSocketPath(cfg.SocketPath); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, ready: make(chan struct{}), conns: maxConns, read: readTimeout, stop: stopTimeout, allowed: sameUserOrRoot}, nil
}

// Ready is closed when the socket accepts callers.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends, then takes the socket away and returns nil. Call
// it once. An *Error of KindRunning says that another process answers there.
func (s *Server) Run(ctx context.Context) error {
	sock, err := listenSocket(s.cfg.SocketPath)
	if err != nil {
		return err
	}
	var handlers room // those that still run, so that none outlives Run
	requests, cancel := context.WithCancel(ctx)
	defer cancel()
	api := newAPI(s.cfg.Node, s.cfg.Caches, s.cfg.Steps, s.cfg.Log)
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if handlers.enter() {
				defer handlers.leave()
				api.ServeHTTP(w, r)
			}
		}),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       s.read,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          stdLogger(s.cfg.Log),
	}

	g := newGate(sock, s.conns, s.allowed, s.cfg.Log)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(g) }()
	close(s.ready)

	select {
	case err = <-served:
		err = fmt.Errorf("serve %s: %w", s.cfg.SocketPath, err)
	case <-ctx.Done():
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), s.stop)
		_ = srv.Shutdown(stop) // its error says only that Close below has work to do
		done()
		<-served
		err = nil
	}
	cancel()
	srv.Close()
	g.Close()
	handlers.empty()
	return err
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
