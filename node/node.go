package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/broadcast"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
	"github.com/interlok-ha/interlok-ha/internal/tcp"
	"github.com/interlok-ha/interlok-ha/listen"
	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/metrics"
	"github.com/interlok-ha/interlok-ha/workload"
)

// Options are what an instance is made of.
type Options struct {
	Settings *config.Settings
	// Command runs while this instance is master, or Work does; neither: it only
	// holds the role. Abort is Config's.
	Command []string
	Work    func(ctx context.Context, m *Master) error
	Abort   func(why string)
	// Plugins hear the hooks under these names, if the settings name them.
	Plugins map[string]profiler.Plugin
	// Environ is the environment of Command and of the health check.
	Environ []string
	// Stdin, Stdout and Stderr are handed to Command if they are files.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Log and LogDropped are Config's.
	Log        zerolog.Logger
	LogDropped func() uint64
	// Keeper: the death of this process is told to the peers at once, by a
	// keeper: a child of the same binary, which must call workload.KeeperMain
	// when its first argument is "keeper". Without it they learn it by silence.
	Keeper bool
	// Now, when closed, stops at once: no hand-over, no goodbye.
	Now <-chan struct{}
	// Reload is Config's.
	Reload <-chan os.Signal
	// SocketPath is where the API listens.
	SocketPath string
	Version    string
	// Drop refuses packets as if the network had lost them. Only the demo sets it.
	Drop func(from netip.AddrPort, p *heartbeat.Packet) bool
}

// ExitError says that the end of Command ended the run, and with which code.
type ExitError struct{ Code int }

// Error is the code in words.
func (e *ExitError) Error() string { return "the command ended with code " + strconv.Itoa(e.Code) }

// exitWorkRemains is the code of a run that ends although its work would not.
const exitWorkRemains = 70

// ErrOutranked ends a run whose settings say failover.on.conflict=exit.
var ErrOutranked = errors.New("another master outranks this one, and failover.on.conflict is exit")

// Node is one instance.
type Node struct {
	o       Options
	s       *config.Settings
	id      heartbeat.InstanceID
	secret  [32]byte // for the keeper alone; peers know its hash
	started time.Time

	store    *failover.Store
	conn     wire
	direct   *tcp.Conn // conn, if pings go by TCP
	address  string    // 3.3: host:port, the name in its pings
	card     string    // 3.3: the network interface that the caches meet on
	rulers   *rulers   // 3.3: of the cache
	cache    *cache.Cache
	mirror   *mirror.Mirror
	profiler *profiler.Profiler
	metrics  *metrics.Plugin
	steps    *steps
	own      atomic.Pointer[netip.Addr] // the multicast's, where the cache listens; nil: it is told another
	moved    chan struct{}              // the multicast has another
	reign    atomic.Uint64              // epoch under which the work was opened last
	renewals renewals
	reloads  struct{ done, failed atomic.Uint64 }
	ending   ending
	missed   map[string]bool // slaves out of step, "" for all; only for the goroutine of the cache's events
	// cacheNames are of those whose caches were heard of; for that goroutine too.
	cacheNames map[cache.InstanceID]string
	listen     *listen.Service
	broadcast  *broadcast.Service
	manager    *failover.Manager
	work       work
	admin      *admin.Server
	health     interface{ Run(context.Context) error }
	feed       *feed
	probes     *probes

	quit func(error) // ends the run
}

// wire is the sockets of heartbeats or pings.
type wire interface {
	listen.Conn
	broadcast.Conn
	LocalAddr() netip.AddrPort
	Close() error
}

// New makes an instance: it takes the lock of its state directory and opens
// its sockets. The error says what to change. Call Run or Close.
func New(o Options) (n *Node, err error) {
	s := o.Settings
	if len(o.Command) > 0 && o.Work != nil {
		return nil, errors.New("node: both a command and a function are given as the work")
	}
	if len(o.Command) > 0 { // better told now than at the first promotion
		if err := (workload.Config{Command: o.Command}).Check(); err != nil {
			return nil, err
		}
	}
	if err := CheckPlugins(s, o.Plugins); err != nil {
		return nil, err
	}
	made := &Node{o: o, s: s, started: time.Now(), missed: map[string]bool{}, moved: make(chan struct{}, 1), cacheNames: map[cache.InstanceID]string{}, probes: newProbes()}
	n = made
	defer func() {
		if err != nil {
			made.close() // n is nil by then
		}
	}()
	_, _ = rand.Read(n.id[:]) // never fails
	if n.positions() {
		n.id = heartbeat.PingInstance(n.id, s.Election.Position > 0)
	}
	_, _ = rand.Read(n.secret[:])

	var saved election.State
	// A killed predecessor's keeper may still be ending its command.
	n.store, saved, err = failover.OpenStore(s.StateDir, s.Down())
	if errors.Is(err, failover.ErrRunning) {
		return nil, fmt.Errorf("%s %w; choose another with --name%s", s.Name, err, sharedDir(s))
	}
	if err != nil {
		return nil, err
	}
	if saved.Unsure {
		o.Log.Warn().Str("dir", s.StateDir).Msg("The saved state cannot be read; going on without it")
	}
	if saved.Drained {
		o.Log.Warn().Msg("Drained: it stays out until `interlok-ha resume`")
	}
	if pid, ok := answering(o.SocketPath); ok { // with another state directory
		return nil, fmt.Errorf("%s %w (pid %d); choose another with --name", s.Name, failover.ErrRunning, pid)
	}
	open := n.openNetwork
	if n.positions() {
		open = n.openPings
	}
	if err := open(); err != nil {
		return nil, err
	}
	if err := n.openProfiler(); err != nil {
		return nil, err
	}
	if n.work, err = newWork(n); err != nil {
		return nil, err
	}
	if n.health, err = n.newHealth(); err != nil {
		return nil, err
	}
	n.feed = newFeed(s.Name, n.started)
	cfg := failover.Config{
		Saver: n.store, Sender: n.broadcast, Packets: n.listen.Packets(),
		Work: &replicated{n.work, n}, Observe: n.observe, Log: o.Log,
	}
	if n.positions() {
		cfg.NewMachine, cfg.Positions, cfg.Position = n.newPositions(saved), true, s.Election.Position
		cfg.Barrier = n.barrier
	} else {
		cfg.Election, cfg.Saved = n.electionConfig(), saved
		cfg.LogAt, cfg.Barrier, cfg.Seal = n.logAt, n.barrier, n.seal
	}
	n.manager, err = failover.New(cfg)
	if err != nil {
		return nil, err
	}
	n.admin, err = admin.New(admin.Config{Node: (*orders)(n), Caches: n.cacheAPI(), Steps: n.steps, SocketPath: o.SocketPath, TCP: n.tcp(), Metrics: n.writeMetrics, Log: o.Log})
	return n, err
}

// sharedDir is the other thing that may be wrong when a state directory that
// was chosen by hand is in use.
func sharedDir(s *config.Settings) string {
	for _, shown := range s.Show() {
		if shown.Key == "failover.state.dir" && shown.Origin != "default" {
			return "; or does another instance use this failover.state.dir? Each needs its own: " + s.StateDir
		}
	}
	return ""
}

// answering asks whether an instance answers on the socket already.
func answering(socket string) (pid int, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	st, err := admin.NewClient(socket).Status(ctx)
	return st.Instance.PID, err == nil
}

func (n *Node) openNetwork() (err error) {
	s, log := n.s, n.o.Log
	keys := make([]heartbeat.Key, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = heartbeat.Key(k)
	}
	if len(keys) == 0 {
		log.Warn().Msg("No failover.key: anyone on this network can forge heartbeats and take mastership; make one with: interlok-ha keygen")
	}
	// A codec belongs to one goroutine, so each side has its own.
	in, err := heartbeat.NewCodec(s.Cluster, s.Generation, keys...)
	if err != nil {
		return err
	}
	out, err := heartbeat.NewCodec(s.Cluster, s.Generation, keys...)
	if err != nil {
		return err
	}
	log.Info().Msg("Creating listener...")
	conn, err := mcast.Open(mcast.Config{
		Group: s.Network.Group, Port: s.Network.Port, Interface: s.Network.Interface,
		TTL: s.Network.TTL, RequirePort: len(s.Network.Peers) > 0, Rest: s.Election.Delay / 20, Moved: n.noteMove, Log: log,
	})
	if err != nil {
		return err
	}
	n.conn = conn
	if n.listen, err = listen.New(listen.Config{Conn: n.conn, Codec: in, Self: n.id, Drop: n.o.Drop, Taken: conn.Wanted, Log: log}); err != nil {
		return err
	}
	log.Info().Msg("Creating broadcaster...")
	peers := make([]string, len(s.Network.Peers))
	for i, p := range s.Network.Peers {
		peers[i] = net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
	}
	n.broadcast, err = broadcast.New(broadcast.Config{Conn: n.conn, Codec: out, Peers: peers, IPv6: s.Network.Group.Is6(), Log: log})
	if err != nil {
		return err
	}
	return n.openCache(n.conn.LocalAddr().Addr())
}

func (n *Node) electionConfig() election.Config {
	s := n.s
	cfg := election.Config{
		Self: n.id, Node: heartbeat.NewNodeID(s.Cluster, s.Name), Name: s.Name,
		Delay: s.Election.Delay, Retries: s.Election.Retries,
		Position: uint16(s.Election.Position), Candidate: s.Election.Candidate,
		Quorum: uint8(s.Election.Quorum), Votes: uint8(s.Election.Votes),
		Signed:   len(s.Keys) > 0,
		ObitHash: heartbeat.ObituaryHash(n.id, n.secret),
		Seed:     uint64(n.started.UnixNano()),
	}
	for _, name := range s.Election.Voters {
		cfg.Voters = append(cfg.Voters, heartbeat.NewNodeID(s.Cluster, name))
	}
	if s.Election.Isolation == config.IsolationContinue {
		cfg.Isolation = election.IsolationContinue
	}
	cfg.Cache = n.cache.Addr()
	cfg.Command = len(n.o.Command) > 0
	cfg.Loopback = cfg.Cache.Addr().IsLoopback()
	cfg.TrustRefusal = s.Election.TrustRefusal
	if cfg.PromoteWait = s.Cache.PromoteWait; s.Cache.PromoteWaitForever {
		cfg.PromoteWait = -1
	}
	return cfg
}

// Run takes part until ctx ends: it then stops the work, hands over, says
// goodbye and returns nil. If Command's end ends the run, an *ExitError says
// with which code, unless that is 0.
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	leave, quit := context.WithCancelCause(ctx)
	defer quit(nil)
	n.quit = quit
	// The services outlive the leaving: goodbye is said through them.
	services, stopServices := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServices()

	var wg sync.WaitGroup
	failed := make(chan error, 8)
	serve := func(what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(services); err != nil {
				failed <- fmt.Errorf("%s: %w", what, err)
				quit(err)
			}
		})
	}
	serve("listen", n.listen.Run)
	if n.positions() {
		serve("report", n.report)
	} else {
		n.o.Log.Info().Msg("Started listener")
	}
	serve("broadcast", n.broadcast.Run)
	serve("cache", n.cache.Run)
	serve("profiler", n.profiler.Run)
	serve("API", n.admin.Run)
	serve("work", n.work.Run)
	serve("reload", n.reloading)
	serve("address", n.moving)
	if n.health != nil {
		serve("health", n.health.Run)
	}

	err := n.manager.Run(leave, n.o.Now)
	if !n.work.Abandon() { // there is none left unless the run was ended at once
		n.o.Log.Error().Msg("The command does not end; leaving it behind")
		err = errors.Join(err, &ExitError{Code: exitWorkRemains})
	}
	stopServices()
	wg.Wait()
	select {
	case e := <-failed:
		err = errors.Join(err, e)
	default:
	}
	if err == nil && ctx.Err() == nil {
		if cause := context.Cause(leave); cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
	}
	if exit, ok := errors.AsType[*ExitError](err); ok && exit.Code == 0 {
		return nil
	}
	return err
}

// close gives up what New took.
func (n *Node) close() {
	if n.cache != nil {
		_ = n.cache.Close()
	}
	if n.conn != nil {
		_ = n.conn.Close()
	}
	if n.store != nil {
		_ = n.store.Close()
	}
}

// observe hears every event of the election, on the manager's goroutine.
func (n *Node) observe(e election.Event) {
	switch e.Type {
	case election.EventSilent:
		if e.Addr.IsValid() {
			n.probes.wants(e.Peer)
			go n.probe(e.Peer, e.Addr, e.Epoch > 0)
		}
	case election.EventPeerJoined, election.EventPeerLeft:
		n.probes.heard(e.Peer)
	case election.EventLost:
		if n.s.Election.OnConflict == config.ConflictExit && !e.Peer.IsZero() {
			n.quit(ErrOutranked)
		}
	case election.EventState:
		if w, ok := n.work.(*command); ok {
			w.State(e.State, e.Epoch)
		}
	}
	n.learn(e)
	n.follow(e)
	n.feed.put(e)
}

// token is the fencing token of this instance under an epoch: it compares as
// text; the 3.3 design has none. A generation that was raised by hand outranks every token of generation
// 0, whose epochs begin with a 0.
func (n *Node) token(epoch uint64) string {
	if n.positions() { // a ping has no epoch
		return ""
	}
	t := fmt.Sprintf("%020d-%s", epoch, n.id)
	if n.s.Generation > 0 {
		t = fmt.Sprintf("1%019d-%s", n.s.Generation, t)
	}
	return t
}

// stdFile is f if it is a file, else nil.
func stdFile(f any) *os.File {
	file, _ := f.(*os.File)
	return file
}

// lease is how long one heartbeat lets a master work.
func (n *Node) lease() time.Duration { return n.s.Down() * 4 / 5 }

func now() time.Duration { return boottime.Now() }
