package election

import (
	"net/netip"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Machine is the election of one instance. It has no clock, goroutine, socket,
// log or randomness of its own: what happens next depends only on Config, the
// State it started with, and the inputs with their times. It is not safe for
// concurrent use.
type Machine struct {
	cfg Config
	t   Timers
	rng rng

	now     time.Duration // of the running step
	started time.Duration
	wakeAt  time.Duration
	until   time.Duration // Guard.Until of the last Output
	late    time.Duration // how late the running step came
	out     Output
	pool    []*heartbeat.Packet // packets of the running step, used again
	pooled  int
	to      []netip.AddrPort // addresses of the running step, likewise

	state heartbeat.State
	seq   uint64
	sends [1024]sent // ring by sequence number
	beat  struct {
		next  time.Duration // when the next heartbeat is due
		extra time.Duration // when the last one out of turn went
		turn  int           // where the heard list goes on
		some  int           // where the unicast copies go on
	}

	disk struct {
		State
		dirty   bool
		retry   bool   // the last save failed: again with the next heartbeat
		asked   uint64 // SaveSeq of the last Output.Save
		durable uint64 // greatest one that was answered with Saved
	}

	peers     []*peer // sorted by instance
	sighted   []heartbeat.Sighting
	follow    following
	heardAt   time.Duration // last packet of any peer
	isolated  bool
	reignedBy heartbeat.InstanceID // who is known to have reigned under disk.Reigned
	fault     string               // why this instance may not vote or claim; "" = it may

	listenFrom   time.Duration
	listenUntil  time.Duration // no claim before
	backoffUntil time.Duration
	pauseUntil   time.Duration // NoClaimFor
	pauseWhy     string        // for people
	turn         turn
	claim        claim
	failed       int // own claims that failed since a master was followed
	reign        reign
	hand         handover
	wish         wish
	vain         vainOrder
	resigned     resignation
	promise      promise
	embargoUntil time.Duration

	maintenance struct {
		version uint32
		until   time.Duration
	}
	unhealthy    bool
	leaving      bool
	left         bool
	log          heartbeat.LogPos
	logSync      bool          // the cluster's cache is synchronous
	sureUntil    time.Duration // see LogAt
	lastReign    uint64        // greatest epoch this instance opened under
	followed     bool          // a master was followed since the start
	trustAfter   time.Duration // no refusal counts before: one was wrong
	stalledUntil time.Duration
	noMaster     time.Duration // since when no master is known
	told         struct{ noCandidate bool }
}

// sent remembers when a packet went out, so that an answer to it proves
// something about that moment.
type sent struct {
	seq    uint64
	at     time.Duration
	beat   bool // to everyone, so a failure takes back the lease it gave
	failed bool
}

// New makes a machine that starts listening at now, with the state that an
// earlier run of this node saved. It fails if cfg does, naming every fault.
func New(cfg Config, saved State, now time.Duration) (*Machine, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := &Machine{cfg: cfg, t: NewTimers(cfg.Delay, cfg.Retries), rng: rng(cfg.Seed), now: now, started: now, noMaster: now}
	m.disk.State = saved
	if saved.Granted == saved.Reigned { // without a quorum nothing else is granted, and with one nothing reigns twice
		m.reignedBy = saved.GrantedTo
	}
	m.state = heartbeat.StateListening
	if m.on(RuleListen) {
		m.listen(m.t.Down)
	}
	if cfg.Quorum > 0 && m.on(RuleEmbargo) {
		m.embargoUntil = now + max(m.t.Embargo, saved.Promise+saved.Promise*3*clockErrorPermille/1000)
	}
	m.beat.next = now
	m.wakeAt = now
	return m, nil
}

// on reports whether a rule holds. It always does but in the simulator.
func (m *Machine) on(r Rules) bool { return m.cfg.Off&r == 0 }

// WakeAt is when Step wants to be called with Wake at the latest, as the last
// Output said.
func (m *Machine) WakeAt() time.Duration { return m.wakeAt }

// Timers are the times the machine goes by.
func (m *Machine) Timers() Timers { return m.t }

// Step tells the machine what happened at now, which is time on CLOCK_BOOTTIME
// and never goes back, and returns what to do. After Stop was answered with
// EventStopped nothing more is sent.
func (m *Machine) Step(now time.Duration, in Input) Output {
	m.now = max(now, m.now)
	m.out = Output{Send: m.out.Send[:0], Events: m.out.Events[:0]}
	m.pooled, m.to = 0, m.to[:0]
	if m.left {
		m.flush()
		return m.out
	}
	m.noteStall()
	m.checkGuard()

	switch in := in.(type) {
	case Received:
		m.receive(in.Packet, in.From)
	case Saved:
		m.saved(in.Seq)
	case SaveFailed:
		m.saveFailed(in.Seq)
	case SendFailed:
		m.sendFailed(in.Seq)
	case BarrierDone:
		m.barrierDone(in)
	case Sealed:
		m.sealed(in)
	case WorkStopped:
		m.workStopped()
	case Health:
		m.health(in.OK)
	case LogAt:
		m.logAt(in)
	case Died:
		m.died(in.Obituary, in.At)
	case Refused:
		m.refused(in.Peer)
	case Stream:
		m.stream(in)
	case Reigned:
		m.learnEpochs(&heartbeat.Packet{MaxEpoch: min(in.Epoch, heartbeat.MaxEpoch)})
	case CacheAt:
		m.cfg.Cache = in.Addr
		m.cfg.Loopback = m.cfg.Loopback && in.Addr.Addr().IsLoopback()
		m.extra(heartbeat.KindHeartbeat) // whoever follows this one dials
	case Handover:
		m.orderHandover(in)
	case Request:
		m.request(in.To, false)
	case Drain:
		m.drain()
	case Resume:
		m.resume()
	case Promote:
		m.promote(in.Force)
	case SetMaintenance:
		m.setMaintenance(in.For)
	case Stop:
		m.stop()
	}
	m.checkGuard() // an input may have taken votes away

	m.tick()
	m.flush()
	return m.out
}

// noteStall finds out that this process was not run when it should have been:
// what it did not hear meanwhile proves nothing about the others.
func (m *Machine) noteStall() {
	m.late = 0
	if m.wakeAt == 0 || m.now <= m.wakeAt {
		return
	}
	m.late = m.now - m.wakeAt
	if m.state == heartbeat.StateOpening && m.late > min(m.t.Delay, m.t.Lease/4) && m.on(RuleStall) {
		m.lose("late while opening", heartbeat.InstanceID{})
	}
	if m.late <= m.t.Delay {
		return
	}
	m.stalledUntil = m.now + m.t.Delay
	m.event(Event{Type: EventStalled, Detail: "late by " + m.late.Round(time.Millisecond).String()})
	if !m.on(RuleStall) {
		return
	}
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave, heartbeat.StateFault:
		m.listen(m.t.Down)
		if !m.follow.over {
			m.follow.at = m.now
		}
	case heartbeat.StateClaiming:
		m.withdraw("stalled")
		m.listen(m.t.Down)
	}
}

// tick does what is due. It looks at the state and the time only, so it may be
// called as often as one likes.
func (m *Machine) tick() {
	if m.left {
		return
	}
	m.tickMaintenance()
	m.tickSlave()
	m.tickClaim()
	if m.state.Reigns() && m.now >= m.heardAt+m.t.Lease {
		m.checkIsolation() // at once, not with the next heartbeat: the others wait no longer
	}
	m.tickOpening()
	m.tickReign()
	m.tickHandover()
	m.tickWish()
	m.tickBeat()
}

// flush completes the output.
func (m *Machine) flush() {
	if m.disk.dirty {
		m.disk.dirty, m.disk.retry = false, false
		m.disk.asked++
		s := m.disk.State
		m.out.Save, m.out.SaveSeq = &s, m.disk.asked
	}
	m.out.Guard = m.guard()
	m.until = m.out.Guard.Until
	m.wakeAt = m.nextWake()
	m.out.WakeAt = m.wakeAt
}

// nextWake is the earliest time at which tick has something to do.
func (m *Machine) nextWake() time.Duration {
	if m.left {
		return m.now + time.Hour
	}
	w := m.beat.next
	sooner := func(t time.Duration) {
		if t > m.now && t < w {
			w = t
		}
	}
	switch m.state {
	case heartbeat.StateListening, heartbeat.StateSlave:
		sooner(m.listenUntil)
		sooner(m.masterUntil())
		sooner(m.turn.base)
		sooner(m.turn.at)
		sooner(m.noMaster + 2*m.t.Down)
	case heartbeat.StateClaiming:
		if m.claim.stored {
			sooner(m.claim.nextSend)
			sooner(m.claim.start + m.claim.window)
		}
		sooner(m.claim.until)
	case heartbeat.StateOpening, heartbeat.StateMaster, heartbeat.StateDraining:
		sooner(m.leaseUntil())
		sooner(m.heardAt + m.t.Lease)
		if m.state == heartbeat.StateOpening {
			sooner(m.reign.pullAt)
		}
		sooner(m.hand.deadline)
		sooner(m.hand.repeat)
	}
	sooner(m.resigned.nextSend)
	sooner(m.wish.next)
	if m.maintenance.until > 0 {
		sooner(m.maintenance.until)
	}
	return w
}

// store asks for the state to be saved and returns the number of that save.
func (m *Machine) store() uint64 {
	m.disk.dirty = true
	return m.disk.asked + 1
}

// nextEpoch is one above all that were seen. At the greatest one that a packet
// can carry it stays; voters grant that one only once.
func (m *Machine) nextEpoch() uint64 {
	m.disk.MaxEpoch = min(m.disk.MaxEpoch+1, heartbeat.MaxEpoch)
	return m.disk.MaxEpoch
}

func (m *Machine) isStored(seq uint64) bool { return !m.on(RuleSaveFirst) || m.disk.durable >= seq }

func (m *Machine) saved(seq uint64) {
	m.disk.durable = max(m.disk.durable, seq)
	m.claimStored()
	m.promiseStored()
}

// saveFailed goes on without the disk where votes do not depend on it.
func (m *Machine) saveFailed(seq uint64) {
	m.event(Event{Type: EventSaveFailed, Detail: "the state directory cannot be written"})
	if m.cfg.Quorum == 0 {
		m.saved(seq)
		return
	}
	if m.state == heartbeat.StateClaiming && m.claim.saveSeq <= seq && !m.claim.stored {
		m.withdraw("claim not stored")
		m.pauseUntil, m.pauseWhy = m.now+m.t.Down, "its state cannot be stored"
	}
	m.disk.retry = true
}

func (m *Machine) event(e Event) {
	if e.Name == "" && !e.Peer.IsZero() {
		if p := m.peer(e.Peer); p != nil {
			e.Name = p.name
		}
	}
	m.out.Events = append(m.out.Events, e)
}

// setState is the only writer of the state.
func (m *Machine) setState(s heartbeat.State, why string) {
	if m.state == s {
		return
	}
	m.state = s
	m.event(Event{Type: EventState, State: s, Epoch: m.epoch(), Detail: why})
}

// epoch is that of the own reign or claim, else 0.
func (m *Machine) epoch() uint64 {
	switch {
	case m.state == heartbeat.StateClaiming:
		return m.claim.epoch
	case m.state.Reigns():
		return m.reign.epoch
	}
	return 0
}

// sentAt is when packet seq of this instance went out; ok is false if that is
// not known any more.
func (m *Machine) sentAt(seq uint64) (at time.Duration, ok bool) {
	s := &m.sends[seq%uint64(len(m.sends))]
	return s.at, s.seq == seq && seq > 0 && !s.failed
}

func (m *Machine) sendFailed(seq uint64) {
	if s := &m.sends[seq%uint64(len(m.sends))]; s.seq == seq {
		s.failed = true
	}
	if m.state == heartbeat.StateClaiming && m.claim.stored {
		m.claim.start = m.now // nobody could object to what was not sent
	}
	m.checkGuard()
}

// sendTo sends one packet of the present state to one peer.
func (m *Machine) sendTo(kind heartbeat.Kind, to netip.AddrPort) {
	from := len(m.to)
	m.to = append(m.to, to)
	m.send(kind, false, from)
}

// send sends one packet of the present state to everyone, or only to the
// addresses that were appended to m.to after the first from.
func (m *Machine) send(kind heartbeat.Kind, everyone bool, from int) {
	m.seq++
	p := m.packet()
	turn := m.beat.turn
	m.fill(p, kind)
	if !everyone {
		m.beat.turn = turn // those it was not sent to hear the same part again
	}
	m.sends[m.seq%uint64(len(m.sends))] = sent{seq: m.seq, at: m.now, beat: everyone}
	if p.Asks > 0 && everyone {
		m.renewOwnPromise()
	}
	m.out.Send = append(m.out.Send, Message{Packet: p, Everyone: everyone, To: m.to[from:len(m.to):len(m.to)]})
}

// sendEverywhere sends to the group and by unicast to each known peer: two paths.
// Where there are many peers, a slave's objection goes to some, the claimer among
// them: if all objected by unicast to all, that would be N² packets.
func (m *Machine) sendEverywhere(kind heartbeat.Kind) {
	from := len(m.to)
	all := m.state.Reigns() || kind != heartbeat.KindHeartbeat
	m.someInTurn(&m.beat.some, func(p *peer) bool {
		if p.addr.IsValid() && !p.left && !p.gone && m.now-p.heardAt < 4*m.t.Down &&
			(all || len(m.to)-from < heartbeat.MaxHeard) {
			m.to = append(m.to, p.addr)
			return true
		}
		return false
	})
	m.send(kind, true, from)
}

// packet takes a packet from the pool of this step.
func (m *Machine) packet() *heartbeat.Packet {
	if m.pooled == len(m.pool) {
		m.pool = append(m.pool, &heartbeat.Packet{Heard: make([]heartbeat.Heard, 0, heartbeat.MaxHeard)})
	}
	m.pooled++
	return m.pool[m.pooled-1]
}
