package position

import (
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Machine is the 3.3 election of one instance. What happens next depends only
// on Config, the saved State, and the inputs with their times. It is not safe
// for concurrent use.
type Machine struct {
	cfg Config
	t   timers

	now     time.Duration // of the running step
	started time.Duration
	wakeAt  time.Duration
	out     election.Output

	state    heartbeat.State
	seq      uint64
	nextPing time.Duration
	place    place
	peers    []*peer // sorted by instance
	master   master
	reign    reign
	yield    yield

	hushUntil   time.Duration // takes no place before
	listenUntil time.Duration // nobody is promoted before
	promotions  uint64
	readyAt     time.Duration // since when nothing but a collision kept this one from being promoted; 0 = it is kept
	javaAt      time.Duration // when a Java instance was last heard; 0 = never
	pauseUntil  time.Duration // NoClaimFor
	pauseWhy    string        // for people

	drained   bool
	unhealthy bool
	leaving   bool
	left      bool
	order     string // as last told
	save      struct {
		dirty bool
		seq   uint64
	}
}

// New makes a machine that starts as a slave and listens from now on. Of saved
// it takes Drained. It fails if cfg does, naming every fault.
func New(cfg Config, saved election.State, now time.Duration) (*Machine, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := &Machine{
		cfg: cfg, t: newTimers(cfg.Interval, cfg.Timeout), now: now, started: now, wakeAt: now,
		state: heartbeat.StateListening, drained: saved.Drained,
	}
	if m.on(RuleListen) {
		m.listenUntil = now + m.t.timeout
	}
	return m, nil
}

// on reports whether a rule holds. It always does but in the simulator.
func (m *Machine) on(r Rules) bool { return m.cfg.Off&r == 0 }

// WakeAt is when Step wants to be called with election.Wake at the latest.
func (m *Machine) WakeAt() time.Duration { return m.wakeAt }

// Step tells the machine what happened at now, which is time on CLOCK_BOOTTIME
// and never goes back, and returns what to do. Inputs that have no meaning in
// this design change nothing. After Stop was answered with
// election.EventStopped nothing more is sent.
func (m *Machine) Step(now time.Duration, in election.Input) election.Output {
	m.now = max(now, m.now)
	m.out = election.Output{Send: m.out.Send[:0], Events: m.out.Events[:0]}
	if m.left {
		m.flush()
		return m.out
	}
	m.noteStall()
	m.checkGuard()

	switch in := in.(type) {
	case election.Received:
		m.receive(in.Packet, in.From)
	case election.SendFailed:
		m.sendFailed(in.Seq)
	case election.BarrierDone:
		m.open(in.Epoch)
	case election.WorkStopped:
		m.workStopped()
	case election.Health:
		m.health(in.OK)
	case election.Handover:
		m.handOver(in)
	case election.Drain:
		m.drain()
	case election.Resume:
		m.resume()
	case election.Promote:
		m.promoteByOrder()
	case election.Stop:
		m.stop()
	}

	m.tick()
	m.flush()
	return m.out
}

// noteStall finds out that this process was not run when it should have been:
// the silence of the others meanwhile may be its own deafness.
func (m *Machine) noteStall() {
	late := m.now - m.wakeAt
	if m.wakeAt == 0 || late <= m.t.interval {
		return
	}
	m.event(election.Event{Type: election.EventStalled, Detail: "late by " + late.Round(time.Millisecond).String()})
	if !m.on(RuleStall) {
		return
	}
	// Long enough for each of the others to be heard again; for a Java
	// instance that took this one's place meanwhile, to act and to tell.
	hold := m.t.quiet
	java := m.javaAt > 0 && m.wakeAt-m.javaAt <= m.t.timeout // when it should have run
	if java {
		hold += JavaMonitor
	}
	m.listenUntil = max(m.listenUntil, m.now+hold)
	fresh := min(m.now, m.now+hold-m.t.timeout)
	for _, p := range m.peers {
		p.heardAt = max(p.heardAt, fresh)
	}
	m.master.heardAt = max(m.master.heardAt, fresh)
	if java {
		m.javaAt = max(m.javaAt, fresh)
	}
}

// tick does what is due.
func (m *Machine) tick() {
	if m.left {
		return
	}
	m.purge()
	m.tickYield()
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave:
		m.tickSlave()
	}
	m.tellOrder()
	if m.pings() && m.now >= m.nextPing {
		m.ping()
	}
}

// pings reports whether this instance is to be heard now.
func (m *Machine) pings() bool {
	switch m.state {
	case heartbeat.StateOpening, heartbeat.StateMaster, heartbeat.StateDraining:
		return true
	case heartbeat.StateSlave:
		return m.place.n > 0
	}
	return false
}

// ping sends one, and the next one is due an interval later.
func (m *Machine) ping() {
	m.nextPing += m.t.interval
	if m.nextPing <= m.now {
		m.nextPing = m.now + m.t.interval
	}
	m.send(m.state, m.place.n)
	if m.state == heartbeat.StateSlave && m.place.toldAt == 0 {
		m.place.toldAt = m.now
	}
}

func (m *Machine) pingAtOnce() {
	m.nextPing = m.now
	m.ping()
}

func (m *Machine) send(s heartbeat.State, place int) {
	m.seq++
	if s.Reigns() {
		place = 0
		m.renew()
	}
	m.out.Send = append(m.out.Send, election.Message{Everyone: true, Packet: &heartbeat.Packet{
		Kind: heartbeat.KindHeartbeat, State: s, Instance: m.cfg.Self, Seq: m.seq,
		Position: uint16(place), Name: m.cfg.Name,
	}})
}

func (m *Machine) setState(s heartbeat.State, why string) {
	if m.state == s {
		return
	}
	m.state = s
	m.event(election.Event{Type: election.EventState, State: s, Detail: why})
}

func (m *Machine) event(e election.Event) {
	if e.Name == "" && !e.Peer.IsZero() {
		if p := m.peer(e.Peer); p != nil {
			e.Name = p.name
		}
	}
	m.out.Events = append(m.out.Events, e)
}

// flush ends a step: what to store, the guard, and when to be called again.
func (m *Machine) flush() {
	if m.save.dirty {
		m.save.dirty = false
		m.save.seq++
		m.out.Save, m.out.SaveSeq = &election.State{Drained: m.drained}, m.save.seq
	}
	m.out.Guard = m.guard()
	m.wakeAt = m.nextWake()
	m.out.WakeAt = m.wakeAt
}

// nextWake is the next time at which anything may become due. One that passes
// without effect costs nothing, so none of them asks whether it matters now.
func (m *Machine) nextWake() time.Duration {
	next := m.now + m.t.interval
	due := func(t time.Duration) {
		if t > m.now && t < next {
			next = t
		}
	}
	if m.pings() {
		due(m.nextPing)
	}
	due(m.started + m.t.quiet)
	due(m.listenUntil)
	due(m.hushUntil)
	due(m.pauseUntil)
	due(m.yield.until)
	due(m.reign.until)
	due(m.place.toldAt + m.t.interval)
	due(m.place.toldAt + m.t.settle)
	if m.readyAt > 0 {
		due(m.readyAt + m.patience())
	}
	if m.master.known {
		due(m.master.heardAt + m.t.timeout)
	}
	for _, p := range m.peers {
		due(p.heardAt + m.t.timeout)
	}
	return next
}
