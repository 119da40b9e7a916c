package election

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Isolation says what a master does that hears none of its peers any more.
type Isolation uint8

const (
	// IsolationAuto steps down when two or more confirmed peers fell silent
	// within one lease of each other and none is left.
	IsolationAuto Isolation = iota
	// IsolationContinue reigns on.
	IsolationContinue
)

// Config is what a machine is made with.
type Config struct {
	Self heartbeat.InstanceID // 128 random bits, new at each start
	Node heartbeat.NodeID
	Name string

	// Delay is the time between two heartbeats, at least 10 ms.
	Delay time.Duration
	// Retries is how many may be missed, at least 2. Delay × Retries is the
	// lease: the silence after which a master counts as dead.
	Retries int

	Position  uint16 // place in the line; 0 = allot one
	Candidate bool   // false: votes and mirrors, is never master

	Quorum uint8              // votes that a reign needs; 0 = none
	Votes  uint8              // of this instance
	Voters []heartbeat.NodeID // who votes, and so may become master; empty = everyone

	Isolation Isolation
	Signed    bool // the cluster has a key: requests of peers are honoured

	// Command: this instance runs a command as master, which may outlive its
	// process. Told to the peers: a refused connection then says nothing.
	Command bool
	// Loopback: all instances are on this machine, so an objection takes no time.
	Loopback bool
	// TrustRefusal: a refused connection counts as death, with a quorum too.
	// That voids what a quorum guarantees.
	TrustRefusal bool

	// PromoteWait is for how much longer nobody claims when no instance surely
	// holds all that the last master acknowledged, in a synchronous cluster.
	// 0 = Delay × Retries; below 0: until promote --force.
	PromoteWait time.Duration

	Cache    netip.AddrPort // told to the peers
	ObitHash [32]byte       // told to the peers; see heartbeat.ObituaryHash

	// Seed chooses the jitter. Same seed, same inputs, same outputs.
	Seed uint64

	// Off switches rules off. Only the simulator does, to see that its
	// invariants notice.
	Off Rules
}

func (c *Config) validate() error {
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf("election: "+format, a...)) }
	if c.Self.IsZero() {
		bad("Self is not set")
	}
	if c.Name == "" || len(c.Name) > heartbeat.MaxName {
		bad("Name %q must have 1 to %d bytes", c.Name, heartbeat.MaxName)
	}
	if c.Delay < 10*time.Millisecond || c.Delay > time.Hour || c.Delay%time.Millisecond != 0 {
		bad("Delay %v must be whole milliseconds from 10ms to 1h", c.Delay)
	}
	if c.Retries < 2 || c.Retries > 1000 {
		bad("Retries %d must lie between 2 and 1000", c.Retries)
	}
	if c.Quorum > 0 && int(c.Votes) > 2*int(c.Quorum)-1 {
		bad("Votes %d are more than a quorum of %d allows in all (%d)", c.Votes, c.Quorum, 2*int(c.Quorum)-1)
	}
	return errors.Join(faults...)
}

// Timers are the times that follow from delay D and retries R, PROTOCOL.md §2.
type Timers struct {
	Delay    time.Duration // D
	Down     time.Duration // R·D: silence after which a slave takes the master for dead
	Lease    time.Duration // 0.8·Down: silence after which the master itself stops
	Window   time.Duration // W = D: how long a claim waits for objections
	Slot     time.Duration // D/5: distance between the claims of two slaves
	Backoff  time.Duration // W + 2D: after losing to, or hearing, a claim
	Mute     time.Duration // 2D: when two masters hear each other one way only
	Embargo  time.Duration // Down·(1+3ρ): a restarted voter gives no promise
	Extra    time.Duration // D/10: least distance of two heartbeats out of turn
	Short    time.Duration // W₀: window and slot base after a proved death
	Prepared time.Duration // how long an heir has to answer
	Seal     time.Duration // and then to hold the whole log
	Refused  time.Duration // window after a refused connection, not on loopback
}

// clockError is ρ, the assumed bound of a clock's rate error: 0.001.
const clockErrorPermille = 1

// NewTimers derives the timers.
func NewTimers(delay time.Duration, retries int) Timers {
	down := delay * time.Duration(retries)
	return Timers{
		Delay:    delay,
		Down:     down,
		Lease:    down * 4 / 5,
		Window:   delay,
		Slot:     delay / 5,
		Backoff:  3 * delay,
		Mute:     2 * delay,
		Embargo:  down + down*3*clockErrorPermille/1000,
		Extra:    delay / 10,
		Short:    max(5*time.Millisecond, delay/20),
		Prepared: 200 * time.Millisecond,
		Seal:     min(time.Second, max(200*time.Millisecond, delay)),
		Refused:  max(300*time.Millisecond, delay/20),
	}
}

// State is what must survive a crash of the machine. Its zero value is a new start.
type State struct {
	MaxEpoch  uint64               // greatest epoch seen, claims included
	Reigned   uint64               // greatest epoch known to have reigned
	Granted   uint64               // greatest epoch this voter granted
	GrantedTo heartbeat.InstanceID // and to whom
	Promise   time.Duration        // the longest promise given: the embargo after a restart
	Drained   bool
	// Unsure is set by whoever loads the state when it could not be read: a
	// voter then grants nothing until a majority told the greatest epoch.
	Unsure bool
}
