package position

import (
	"errors"
	"fmt"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// JavaMonitor is how often a Java instance looks whether it has to act.
const JavaMonitor = 5 * time.Second

// javaStart is how soon after its start a Java instance may become master,
// however long the timeout: it listens for 5 s, and with place 1 configured is
// promoted at its first look. One that is allotted takes its place at that look,
// and is promoted at the next.
const javaStart = 2 * JavaMonitor

// Config is what a machine is made with.
type Config struct {
	Self heartbeat.InstanceID // from heartbeat.PingInstance; tells whether Position is configured
	Name string               // host:port, for events

	// Position is the configured place in the line, 0 = allot one.
	Position uint16
	// Interval is the time between two pings, at least 10 ms.
	Interval time.Duration
	// Timeout is the silence after which an instance is gone, at least twice Interval.
	Timeout time.Duration

	Candidate bool // false: listens only, is never master

	// Off switches rules off. Only the simulator does.
	Off Rules
}

func (c *Config) validate() error {
	var faults []error
	bad := func(format string, a ...any) { faults = append(faults, fmt.Errorf("position: "+format, a...)) }
	ours, configured := heartbeat.IsPingInstance(c.Self)
	switch {
	case c.Self.IsZero():
		bad("Self is not set")
	case !ours:
		bad("Self %s is not made by heartbeat.PingInstance", c.Self.UUID())
	case configured != (c.Position > 0):
		bad("Self does not tell whether a Position is configured")
	}
	if c.Name == "" {
		bad("Name is not set")
	}
	if c.Interval < 10*time.Millisecond || c.Interval > time.Hour {
		bad("Interval %v must lie between 10ms and 1h", c.Interval)
	}
	if c.Timeout < 2*c.Interval || c.Timeout > 24*time.Hour {
		bad("Timeout %v must lie between twice the Interval, %v, and 24h", c.Timeout, 2*c.Interval)
	}
	return errors.Join(faults...)
}

// timers are the times that follow from interval and timeout.
type timers struct {
	interval time.Duration
	timeout  time.Duration
	guard    time.Duration // 0.8·timeout: how long a master may act on one ping; see Machine.renew
	quiet    time.Duration // 2·interval: from the start to the first ping; the same after giving way to one of ours
	settle   time.Duration // 1.5·interval: from the first ping of a place to acting on it
	yield    time.Duration // 3·interval: how long a Java master is waited for that was given way to
	java     time.Duration // monitor period and ping of a Java instance
}

func newTimers(interval, timeout time.Duration) timers {
	return timers{
		interval: interval, timeout: timeout,
		guard: timeout * 4 / 5, quiet: 2 * interval, settle: interval * 3 / 2, yield: 3 * interval,
		java: JavaMonitor + interval,
	}
}

// Timers are the times of the machine in the words of the other design.
func (m *Machine) Timers() election.Timers {
	return election.Timers{
		Delay: m.t.interval, Down: m.t.timeout, Lease: m.t.guard, Window: m.t.settle, Backoff: m.t.yield,
	}
}
