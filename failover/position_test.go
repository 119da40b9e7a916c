package failover_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/election/position"
	"github.com/interlok-ha/interlok-ha/failover"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

var _ failover.Machine = (*position.Machine)(nil)

// newLine is a cluster of the 3.3 design: pings of 70 bytes on the wire.
func newLine(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, 1)
	codec, err := heartbeat.NewPingCodec("host", 0)
	if err != nil {
		t.Fatal(err)
	}
	c.w.codec = codec
	c.edit = func(cfg *failover.Config) {
		saved, self := cfg.Saved, heartbeat.PingInstance(cfg.Election.Self, false)
		cfg.Election.Self = self
		cfg.NewMachine = func(now time.Duration) (failover.Machine, error) {
			return position.New(position.Config{
				Self: self, Name: "host:0", Interval: time.Second, Timeout: 5 * time.Second, Candidate: true,
			}, saved, now)
		}
	}
	return c
}

func (x *instance) position(t *testing.T) int {
	t.Helper()
	v, err := x.m.View()
	if err != nil {
		t.Fatal(err)
	}
	return v.Position
}

// TestPositions: the manager drives the machine of the 3.3 design as the other.
func TestPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newLine(t)
		a, b, d := c.run(1, &disk{}), c.run(2, &disk{}), c.run(3, &disk{})
		time.Sleep(10 * time.Second)
		if masterOf(a, b, d) != a || c.world.most != 1 {
			t.Fatal("no single master, or not the one with the lowest id")
		}
		if b.position(t) != 1 || d.position(t) != 2 {
			t.Errorf("they stand at %d and %d", b.position(t), d.position(t))
		}
		if err := a.m.HandOver(d.self, "test"); err == nil {
			t.Error("position 2 is promoted")
		}

		crashed := time.Now()
		a.crash()
		for !b.working() {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(crashed); took > 6*time.Second {
			t.Errorf("position 1 took over after %v", took)
		}
		time.Sleep(3 * time.Second)
		if d.position(t) != 1 {
			t.Errorf("the other stands at %d", d.position(t))
		}

		if err := b.m.HandOver(d.self, "test"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if !d.working() || b.working() || len(b.job.stops) != 1 || !b.job.stops[0] {
			t.Error("the hand-over did not end at the heir")
		}

		// Drained, it stays out, across a restart too.
		state := d.disk
		if err := d.m.Tell(election.Drain{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // b has to be heard at its new place first
		d.stop()
		if !b.working() || !state.load().Drained {
			t.Error("drain: working", b.working(), "saved", state.load())
		}
		d = c.run(3, state)
		time.Sleep(20 * time.Second)
		if v, err := d.m.View(); err != nil || !v.Drained || v.Position != 0 {
			t.Error("it is not drained after the restart", v, err)
		}

		// Whose pings do not leave ends its work within the guard.
		c.w.set(func() { b.end.broken = true })
		time.Sleep(5 * time.Second)
		if b.working() || b.m.Guard().Open() {
			t.Error("it works on while its pings do not leave")
		}
		if c.world.most != 1 {
			t.Error("two worked at the same time")
		}
		b.stop()
		d.stop()
	})
}
