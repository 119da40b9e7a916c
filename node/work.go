package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/workload"
)

// work is what runs on the master, as the node sees it.
type work interface {
	failover.Work
	Run(ctx context.Context) error
	// Abandon ends the work at once and reports whether it did end.
	Abandon() bool
	// Status is nil for no work.
	Status() *admin.Workload
}

// startPatience is how long a keeper may take to start COMMAND.
const startPatience = 5 * time.Second

// abandonPatience is how long the end of killed work is waited for.
const abandonPatience = 5 * time.Second

func newWork(n *Node) (work, error) {
	none := &noWork{n: n, wish: make(chan bool, 1)}
	if len(n.o.Command) == 0 && n.o.Work == nil {
		return none, nil
	}
	w := n.s.Workload
	sup, err := workload.NewSupervisor(workload.Policy{
		Restart: workload.Restart(w.Restart), Delay: w.RestartDelay, Limit: w.RestartLimit, Window: w.Window,
	})
	if err != nil {
		return nil, err
	}
	if n.o.Work != nil {
		return &library{inbox: newInbox(), n: n, sup: sup, keeper: none}, nil
	}
	if err := workload.BecomeSubreaper(); err != nil {
		return nil, err
	}
	c := &command{inbox: newInbox(), n: n, sup: sup}
	if !n.positions() {
		c.tokenFile = filepath.Join(n.s.StateDir, "token")
	}
	return c, nil
}

// noWork is an instance that only holds the role. While it has it, a keeper
// waits for its death, to tell the others. Without one they learn it later.
type noWork struct {
	n    *Node
	wish chan bool // that there be a keeper; only the last one counts
}

func (w *noWork) Open(uint64)           { w.wishes(true) }
func (*noWork) Guard(election.Guard)    {}
func (*noWork) Epoch(uint64)            {}
func (*noWork) Abandon() bool           { return true }
func (*noWork) Status() *admin.Workload { return nil }

func (w *noWork) Stop(bool) {
	w.wishes(false)
	w.n.workStopped()
}

// wishes does not block: it is called by the manager's goroutine alone.
func (w *noWork) wishes(keeper bool) {
	select {
	case <-w.wish:
	default:
	}
	w.wish <- keeper
}

// Run starts and stops the keeper.
func (w *noWork) Run(ctx context.Context) error {
	var p *workload.Process
	var lost <-chan struct{}
	for {
		select {
		case wanted := <-w.wish:
			if p == nil && wanted {
				if p = w.start(); p != nil {
					lost = p.Done()
				}
			}
			if p != nil && !wanted {
				p.Kill()
				<-lost
				p, lost = nil, nil
			}
		case <-lost: // it said so; the next reign has another
			p, lost = nil, nil
		case <-ctx.Done():
			if p != nil {
				p.Kill()
				<-lost
			}
			return nil
		}
	}
}

func (w *noWork) start() *workload.Process {
	n := w.n
	if !n.o.Keeper || n.positions() { // there the keeper of no command has nothing to tell
		return nil
	}
	if workload.UnderBareKeeper(n.o.Environ) {
		n.o.Log.Error().Msg("No keeper: the one above is a program that does not call workload.KeeperMain first, and began anew")
		return nil
	}
	o, err := n.obituary()
	if err == nil {
		defer func() { _ = o.Listener.Close() }()
		var p *workload.Process
		p, err = workload.StartBare(workload.Config{
			Stderr: stdFile(n.o.Stderr), HoldFiles: []*os.File{n.store.Lock()}, Obituary: o, Log: n.o.Log,
		}, workload.Reign{ID: n.id})
		if err == nil {
			return p
		}
	}
	if !errors.Is(err, workload.ErrUnsupported) {
		n.o.Log.Warn().Err(err).Msg("No keeper: if this instance dies its peers learn it by its silence only")
	}
	return nil
}

// command runs the COMMAND. Its own goroutine, Run, owns the fields below the
// line; others post to it.
type command struct {
	*inbox
	n         *Node
	sup       *workload.Supervisor
	tokenFile string

	guard   atomic.Pointer[election.Guard]
	proc    atomic.Pointer[workload.Process]
	silent  atomic.Int64 // since when the keeper is, on CLOCK_BOOTTIME; 0 = it is not
	told    atomic.Bool  // that it is
	state   atomic.Pointer[string]
	restart atomic.Int64

	// ---
	wanted    bool // the guard is open and COMMAND should run
	epoch     uint64
	replacing bool // stopped only to be started with a new token
	timer     *time.Timer
	tokenLate *time.Timer       // when the token file is tried again; nil = it is written
	prepared  *workload.Process // a keeper that waits for the end of a claim, or nil
	vain      time.Duration     // when the last one waited in vain; 0 = none did
}

// Run does what was posted, in order.
func (w *command) Run(ctx context.Context) error {
	w.run(ctx)
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.tokenLate != nil {
		w.tokenLate.Stop()
	}
	if p := w.prepared; p != nil {
		p.Kill()
		<-p.Done()
	}
	return nil
}

func (w *command) Open(epoch uint64) {
	w.post(func() {
		w.wanted, w.epoch = true, epoch
		w.start()
	})
}

// Guard feeds the keeper. A keeper that does not answer cannot be trusted to
// end the work in time: then this node ends it and gives the role away.
func (w *command) Guard(g election.Guard) {
	w.guard.Store(&g)
	p := w.proc.Load()
	if p == nil || g.Until == 0 {
		return
	}
	p.Feed(g.Epoch, g.Until)
	if !w.deaf(p, now()) {
		return
	}
	if w.told.CompareAndSwap(false, true) {
		w.n.o.Log.Error().Msg("The keeper does not answer; handing over")
		p.Kill()
		go func() {
			_ = w.n.manager.Tell(election.Handover{NoClaimFor: w.n.s.Down(), Reason: "the keeper does not answer"})
		}()
	}
}

// deaf reports whether the keeper has surely not answered for too long.
func (w *command) deaf(p keeper, now time.Duration) bool {
	patience := max(w.n.lease()/2, w.n.s.Every()*3/2)
	select {
	case <-p.Started():
	default: // on a busy machine a process is long in coming, and nothing works yet that it should end
		patience = max(patience, startPatience)
	}
	if now-p.LastEcho() <= patience {
		w.silent.Store(0)
		return false
	}
	// If it was this process that was not run, the echo waits to be read.
	if w.silent.CompareAndSwap(0, int64(now)) {
		return false
	}
	return now-time.Duration(w.silent.Load()) >= w.n.s.Every()/2
}

// keeper is what deaf asks of a workload.Process.
type keeper interface {
	Started() <-chan struct{}
	LastEcho() time.Duration
}

func (w *command) Epoch(epoch uint64) {
	w.post(func() {
		w.epoch = epoch
		p := w.proc.Load()
		w.replacing = p != nil && w.wanted && w.n.s.Workload.OnEpoch != config.EpochKeep
		if w.replacing {
			w.set("stopping") // before what runs can read the new token
		}
		w.writeToken()
		if w.replacing {
			p.Stop(w.n.s.Workload.StopTimeout)
		}
	})
}

func (w *command) Stop(planned bool) {
	w.post(func() {
		w.wanted, w.replacing = false, false
		p := w.proc.Load()
		if p == nil {
			w.set("stopped")
			w.n.workStopped()
			return
		}
		w.set("stopping")
		if planned {
			p.Stop(w.n.s.Workload.StopTimeout)
		} else {
			p.Stop(w.n.s.StopBudget())
		}
	})
}

// Abandon kills what runs and waits until it is dead, but not for ever: what
// hangs in the kernel cannot be killed.
func (w *command) Abandon() bool {
	p := w.proc.Load()
	if p == nil {
		return true
	}
	p.Kill()
	select {
	case <-p.Done():
		return true
	case <-time.After(abandonPatience):
		return false
	}
}

func (w *command) set(state string) { w.state.Store(&state) }

// writeToken writes the token file, and goes on trying for as long as COMMAND
// is to run. Until then there is none rather than an old one: stores refuse
// that, and COMMAND has its first token in the environment.
func (w *command) writeToken() {
	if w.tokenFile == "" {
		return
	}
	late := w.tokenLate != nil
	if late {
		w.tokenLate.Stop()
		w.tokenLate = nil
	}
	err := workload.WriteTokenFile(w.tokenFile, w.n.token(w.epoch))
	if err == nil {
		if late {
			w.n.o.Log.Info().Msg("Token file written")
		}
		return
	}
	if old, err := os.ReadFile(w.tokenFile); err != nil || string(old) != w.n.token(w.epoch)+"\n" {
		_ = os.Remove(w.tokenFile)
	}
	if !late {
		w.n.o.Log.Error().Err(err).Msg("Token file not written; trying again")
	}
	w.tokenLate = time.AfterFunc(w.n.s.Every(), func() {
		w.post(func() {
			switch {
			case w.tokenLate == nil: // written meanwhile
			case w.wanted:
				w.writeToken()
			default:
				w.tokenLate = nil
			}
		})
	})
}

// start runs COMMAND under the present epoch.
func (w *command) start() {
	if !w.wanted || w.proc.Load() != nil {
		return
	}
	n := w.n
	w.writeToken()
	g := w.guard.Load()
	p := w.prepared
	w.prepared = nil
	if p != nil && !p.Begin(w.epoch, g.Until) {
		p.Kill()
		p = nil
	}
	if p == nil {
		var err error
		if p, err = w.keeper(w.epoch, func(c workload.Config, r workload.Reign) (*workload.Process, error) {
			return workload.Start(c, r, g.Until)
		}); err != nil {
			n.o.Log.Error().Err(err).Msg("The command cannot be started")
			w.ended(workload.FailedStart(err))
			return
		}
	}
	w.told.Store(false)
	w.silent.Store(0)
	w.proc.Store(p)
	if g := w.guard.Load(); g.Until > 0 {
		p.Feed(g.Epoch, g.Until) // it may have been renewed meanwhile
	}
	w.set("running")
	n.feed.tell(admin.EventWorkloadStarted, "", "")
	go func() {
		<-p.Done()
		w.post(func() {
			w.proc.Store(nil)
			w.ended(p.Result())
		})
	}()
}

// keeper starts one, for a reign of that epoch.
func (w *command) keeper(epoch uint64, start func(workload.Config, workload.Reign) (*workload.Process, error)) (*workload.Process, error) {
	n := w.n
	obituary, err := n.obituary()
	if err != nil {
		n.o.Log.Warn().Err(err).Msg("If this instance dies its peers learn it by its silence only")
	} else if obituary != nil {
		defer func() { _ = obituary.Listener.Close() }()
	}
	return start(workload.Config{
		Command: n.o.Command, Env: n.o.Environ,
		Stdin: stdFile(n.o.Stdin), Stdout: stdFile(n.o.Stdout), Stderr: stdFile(n.o.Stderr),
		// A second start must wait until the tree of a killed one is dead.
		HoldFiles: []*os.File{n.store.Lock()},
		Obituary:  obituary,
		Log:       n.o.Log,
	}, workload.Reign{
		Token: n.token(epoch), Epoch: epoch, Cluster: n.s.Cluster, Instance: n.s.Name, ID: n.id,
		Socket: n.o.SocketPath, TokenFile: w.tokenFile,
	})
}

// State has a keeper wait for the end of a claim, so that COMMAND starts as soon
// as that is won.
func (w *command) State(s heartbeat.State, epoch uint64) {
	w.post(func() {
		if p := w.prepared; p != nil && s != heartbeat.StateOpening && s != heartbeat.StateMaster {
			p.Kill()
			w.prepared, w.vain = nil, now()
		}
		// Who claims in vain, like the last voter of a quorum, does so again and again.
		if s == heartbeat.StateClaiming && w.proc.Load() == nil && (w.vain == 0 || now()-w.vain > time.Minute) {
			// Whatever is wrong is wrong again, and told, when it is needed.
			w.prepared, _ = w.keeper(epoch, workload.Prepare)
		}
	})
}

// ended decides what follows the end of COMMAND.
func (w *command) ended(r workload.Result) {
	n := w.n
	w.set("stopped")
	n.feed.tell(admin.EventWorkloadExited, "", r.String())
	switch {
	case !w.wanted:
		n.workStopped()
		return
	case w.replacing:
		w.replacing = false
		w.start()
		return
	}
	switch d := w.sup.Next(now(), r); d.Action {
	case workload.ActionRestart:
		n.o.Log.Warn().Stringer("result", r).Stringer("after", d.After).Msg("The command ended; starting it again")
		w.restart.Add(1)
		w.set("waiting")
		w.timer = time.AfterFunc(d.After, func() { w.post(w.start) })
	case workload.ActionResign:
		n.o.Log.Error().Stringer("result", r).Msg("The command fails too often; giving mastership up")
		_ = n.manager.Tell(election.Handover{NoClaimFor: d.NoClaimFor, Reason: "the command fails too often"})
	case workload.ActionGoodbye:
		n.o.Log.Info().Stringer("result", r).Msg("The command has ended; leaving")
		n.quit(&ExitError{Code: d.Code})
	case workload.ActionNone:
		// Ended by us; the guard tells what follows. But if this process stood
		// still until just before the end, the keeper may have acted and the
		// guard have been renewed all the same.
		if g := w.guard.Load(); r.Cause == workload.CauseExpired && g.Open(now()) {
			n.o.Log.Warn().Msg("The keeper ended the command while mastership was renewed; starting it again")
			w.start()
		}
	}
}

// Status tells what the command does.
func (w *command) Status() *admin.Workload {
	st := &admin.Workload{Command: w.n.o.Command, State: "stopped", Restarts: int(w.restart.Load())}
	if s := w.state.Load(); s != nil {
		st.State = *s
	}
	if p := w.proc.Load(); p != nil {
		st.PID = p.Pid()
	}
	return st
}
