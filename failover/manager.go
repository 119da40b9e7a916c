package failover

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/boottime"
	"github.com/interlok-ha/interlok-ha/listen"
)

// ErrStopped is what orders get once the manager has ended.
var ErrStopped = errors.New("failover: the manager has stopped")

// Sender sends heartbeats. Send goes to the group and the configured peers,
// SendTo to one address. An error means that the packet left on no path.
type Sender interface {
	Send(p *heartbeat.Packet) error
	SendTo(p *heartbeat.Packet, to netip.AddrPort) error
}

// Saver stores the state so that it survives a crash of the machine. Save may
// block; the manager calls it from a goroutine of its own, one call at a time.
type Saver interface {
	Save(s election.State) error
}

// Work is what runs only on the master. Its methods are called from the
// manager's goroutine and must return at once. When Stop has been called and
// nothing runs any more, tell the manager with [Manager.WorkStopped].
type Work interface {
	// Open starts the work under an epoch: the guard is open.
	Open(epoch uint64)
	// Guard tells until when the work may go on. It comes with each renewal.
	Guard(g election.Guard)
	// Epoch tells that the reign goes on under a greater epoch.
	Epoch(epoch uint64)
	// Stop ends the work: in its own time when planned, else at once.
	Stop(planned bool)
}

// Machine is the protocol: election.Machine, or position.Machine in the 3.3 design.
type Machine interface {
	Step(now time.Duration, in election.Input) election.Output
	WakeAt() time.Duration
	View(now time.Duration) election.View
	CanHandOver(now time.Duration, to heartbeat.InstanceID) error
}

var _ Machine = (*election.Machine)(nil)

// Config is what a manager is made of.
type Config struct {
	Election election.Config
	Saved    election.State
	// NewMachine makes the machine, which begins to listen at now. Nil: the
	// machine is made from Election and Saved.
	NewMachine func(now time.Duration) (Machine, error)
	Saver      Saver
	Sender     Sender
	Packets    <-chan listen.Received
	Work       Work
	// LogAt says where this instance's copy of the cache's log stands. It is
	// asked before each step, from the manager's goroutine, and must return at
	// once. Nil: there is no cache.
	LogAt func() election.LogAt
	// Barrier and Seal begin what election.EventBarrier and election.EventSeal
	// ask for, and return at once; the answer is told later with [Manager.Tell],
	// as election.BarrierDone and election.Sealed. Nil: there is nothing to pull
	// or to seal, and the manager answers itself.
	Barrier func(election.Event)
	Seal    func(election.Event)
	// Positions: the log speaks of slave positions, as the 3.3 design's does.
	// Position is the one that is configured.
	Positions bool
	Position  int
	// Observe is told every event, from the manager's goroutine; it must return
	// at once. May be nil.
	Observe func(election.Event)
	// Now is the clock: CLOCK_BOOTTIME if nil.
	Now func() time.Duration
	Log zerolog.Logger
}

// Manager owns the election of one instance. Its methods may be called from
// any goroutine.
type Manager struct {
	cfg     Config
	now     func() time.Duration
	machine Machine
	calls   chan func() // to run on the manager's goroutine
	done    chan struct{}
	saves   chan save
	saved   chan savedResult
	guard   Guard
	logAt   election.LogAt
	started bool                 // the first heartbeat after listening has been sent
	placed  bool                 // EventPosition was told
	master  heartbeat.InstanceID // that the log knows of: followed, or this one; zero: none yet
	gone    bool                 // EventStopped was told
}

type save struct {
	state election.State
	seq   uint64
}

type savedResult struct {
	seq uint64
	err error
}

// New makes a manager; call Run at once, for the time of listening begins now.
func New(cfg Config) (*Manager, error) {
	m := &Manager{
		cfg: cfg, now: cfg.Now,
		calls: make(chan func()),
		done:  make(chan struct{}),
		saves: make(chan save, 1),
		saved: make(chan savedResult, 1),
	}
	if m.now == nil {
		m.now = boottime.Now
	}
	m.guard.now = m.now
	var err error
	if cfg.NewMachine != nil {
		m.machine, err = cfg.NewMachine(m.now())
	} else {
		m.machine, err = election.New(cfg.Election, cfg.Saved, m.now())
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Guard is the permission to work. It may be checked from any goroutine.
func (m *Manager) Guard() *Guard { return &m.guard }

// Run takes part in the election. When ctx ends it stops the work, hands over
// and says goodbye, and returns nil; when now is closed it returns at once.
// Run may be called only once.
func (m *Manager) Run(ctx context.Context, now <-chan struct{}) error {
	defer close(m.done)
	ended := make(chan struct{})
	saverCtx, stopSaver := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(ended)
		m.saver(saverCtx)
	}()
	defer func() {
		m.guard.set(election.Guard{})
		stopSaver()
		<-ended
	}()

	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for !m.gone {
		select {
		case <-timer.C:
			m.readAll() // what has arrived counts before what is due
			m.step(election.Wake{})
		case r := <-m.cfg.Packets:
			m.step(election.Received{Packet: r.Packet, From: r.From})
		case f := <-m.calls:
			f()
		case r := <-m.saved:
			if r.err != nil {
				m.cfg.Log.Error().Err(r.err).Msg("State not saved")
				m.step(election.SaveFailed{Seq: r.seq})
				break
			}
			m.step(election.Saved{Seq: r.seq})
		case <-stop:
			stop = nil
			m.step(election.Stop{})
		case <-now:
			return nil
		}
		timer.Reset(m.machine.WakeAt() - m.now())
	}
	return nil
}

// readAll takes in the packets that wait.
func (m *Manager) readAll() {
	for range len(m.cfg.Packets) {
		r := <-m.cfg.Packets
		m.step(election.Received{Packet: r.Packet, From: r.From})
	}
}

// step tells the machine what happened, and before that where the log stands.
func (m *Manager) step(in election.Input) {
	if m.cfg.LogAt != nil {
		if at := m.cfg.LogAt(); at != m.logAt {
			m.logAt = at
			m.perform(at)
		}
	}
	m.perform(in)
}

// perform runs the machine once and does what its output says: save, send, tell.
func (m *Manager) perform(in election.Input) {
	out := m.machine.Step(m.now(), in)
	if out.Save != nil {
		m.save(save{*out.Save, out.SaveSeq})
	}
	var failed []uint64
	for _, msg := range out.Send {
		// This process may have been frozen since the decision to send: then
		// what was published has run out, and this packet must not renew it.
		now, published := m.now(), m.guard.Until()
		late := out.Guard.Until > 0 && now >= out.Guard.Until || published > 0 && now >= published
		if late && msg.Packet.State.Reigns() || !m.send(msg) {
			failed = append(failed, msg.Packet.Seq)
		}
	}
	// A closed guard is published before anybody is told why, an open one
	// before the work starts, and none that rests on a packet that did not leave.
	if len(failed) == 0 || out.Guard.Until < m.guard.Until() {
		m.guard.set(out.Guard)
		m.cfg.Work.Guard(out.Guard)
	}
	m.tell(out.Events)
	for _, seq := range failed {
		m.step(election.SendFailed{Seq: seq})
	}
}

func (m *Manager) send(msg election.Message) bool {
	ok := false
	if msg.Everyone {
		err := m.cfg.Sender.Send(msg.Packet)
		ok = err == nil
		if errors.Is(err, heartbeat.ErrField) { // no fault of the network's
			m.cfg.Log.Error().Err(err).Msg("A heartbeat cannot be built")
		}
		if err == nil && !m.cfg.Positions && !m.started && msg.Packet.State != heartbeat.StateListening {
			m.started = true
			m.cfg.Log.Info().Msg("Started broadcaster")
			m.cfg.Log.Info().Msg("Failover Manager has started")
		}
	}
	for _, to := range msg.To {
		if err := m.cfg.Sender.SendTo(msg.Packet, to); err == nil {
			ok = true
		}
	}
	return ok
}

// tell performs and passes on what the machine said.
func (m *Manager) tell(events []election.Event) {
	for _, e := range events {
		switch e.Type {
		case election.EventBarrier:
			if m.cfg.Barrier == nil {
				go m.call(func() { m.step(election.BarrierDone{Epoch: e.Epoch}) })
				break
			}
			m.cfg.Barrier(e)
		case election.EventSeal:
			if m.cfg.Seal == nil {
				go m.call(func() { m.step(election.Sealed{Log: m.logAt.Log, Acked: true}) })
				break
			}
			m.cfg.Seal(e)
		case election.EventOpened:
			m.cfg.Work.Open(e.Epoch)
		case election.EventEpoch:
			m.cfg.Work.Epoch(e.Epoch)
		case election.EventStopWork:
			m.cfg.Work.Stop(true)
		case election.EventLost:
			m.cfg.Work.Stop(false)
		case election.EventStopped:
			m.gone = true
		}
		m.log(e)
		if m.cfg.Observe != nil {
			m.cfg.Observe(e)
		}
	}
}

// save gives the saver the newest state; one that still waits is replaced.
func (m *Manager) save(s save) {
	for {
		select {
		case m.saves <- s:
			return
		default:
			select {
			case <-m.saves:
			default:
			}
		}
	}
}

// saver stores beside the loop, so that a slow disk delays no heartbeat.
func (m *Manager) saver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			select { // what was asked for last is still worth storing
			case s := <-m.saves:
				_ = m.cfg.Saver.Save(s.state)
			default:
			}
			return
		case s := <-m.saves:
			err := m.cfg.Saver.Save(s.state)
			select {
			case m.saved <- savedResult{s.seq, err}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// call runs f on the manager's goroutine and waits for it.
func (m *Manager) call(f func()) error {
	ran := make(chan struct{})
	select {
	case m.calls <- func() { defer close(ran); f() }:
		<-ran
		return nil
	case <-m.done:
		return ErrStopped
	}
}

// Tell gives the machine an input and returns when it has been taken in.
func (m *Manager) Tell(in election.Input) error {
	return m.call(func() {
		if _, ok := in.(election.Refused); ok {
			m.readAll() // a master's last packets count before its silence
		}
		m.step(in)
	})
}

// WorkStopped says that nothing of the work runs any more. It does not block.
func (m *Manager) WorkStopped() {
	go m.call(func() { m.step(election.WorkStopped{}) }) //nolint:errcheck // after the end nobody cares
}

// View describes the election now.
func (m *Manager) View() (v election.View, err error) {
	err = m.call(func() { v = m.machine.View(m.now()) })
	return v, err
}

// HandOver begins a hand-over to that peer, or to the best one if it is zero.
// The error says why it cannot begin; how it ends is told by events.
func (m *Manager) HandOver(to heartbeat.InstanceID, reason string) error {
	var refused error
	err := m.call(func() {
		if refused = m.machine.CanHandOver(m.now(), to); refused == nil {
			m.step(election.Handover{To: to, Reason: reason})
		}
	})
	return errors.Join(err, refused)
}

// Done is closed when Run has returned.
func (m *Manager) Done() <-chan struct{} { return m.done }
