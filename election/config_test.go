package election_test

import (
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func TestConfigFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*election.Config)
		want   []string // parts of the error; none = good
	}{
		{"good", func(*election.Config) {}, nil},
		{"least", func(c *election.Config) { c.Delay, c.Retries = 10*time.Millisecond, 2 }, nil},
		{"greatest", func(c *election.Config) { c.Delay, c.Retries = time.Hour, 1000 }, nil},
		{"no instance", func(c *election.Config) { c.Self = heartbeat.InstanceID{} }, []string{"Self"}},
		{"no name", func(c *election.Config) { c.Name = "" }, []string{"Name"}},
		{"long name", func(c *election.Config) { c.Name = strings.Repeat("x", 64) }, []string{"Name"}},
		{"short delay", func(c *election.Config) { c.Delay = 9 * time.Millisecond }, []string{"Delay"}},
		{"long delay", func(c *election.Config) { c.Delay = time.Hour + time.Millisecond }, []string{"Delay"}},
		{"broken delay", func(c *election.Config) { c.Delay = time.Second + time.Microsecond }, []string{"Delay"}},
		{"one retry", func(c *election.Config) { c.Retries = 1 }, []string{"Retries"}},
		{"many retries", func(c *election.Config) { c.Retries = 1001 }, []string{"Retries"}},
		{"two votes of three", func(c *election.Config) { c.Quorum, c.Votes = 2, 2 }, nil},
		{"all votes", func(c *election.Config) { c.Quorum, c.Votes = 2, 3 }, nil},
		{"too many votes", func(c *election.Config) { c.Quorum, c.Votes = 2, 4 }, []string{"Votes"}},
		{"everything", func(c *election.Config) { *c = election.Config{Quorum: 1, Votes: 2} }, []string{"Self", "Name", "Delay", "Retries", "Votes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(me)
			c.change(&cfg)
			m, err := election.New(cfg, election.State{}, 0)
			if (err == nil) != (c.want == nil) || (m == nil) != (err != nil) {
				t.Fatalf("error %v, want one about %q", err, c.want)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), "election: "+part) {
					t.Errorf("error %q does not name %s", err, part)
				}
			}
		})
	}
}

// TestTimers holds the relations of PROTOCOL.md §2 over the whole range.
func TestTimers(t *testing.T) {
	d := election.NewTimers(time.Second, 5)
	want := election.Timers{
		Delay: time.Second, Down: 5 * time.Second, Lease: 4 * time.Second, Window: time.Second,
		Slot: 200 * time.Millisecond, Backoff: 3 * time.Second, Mute: 2 * time.Second,
		Embargo: 5015 * time.Millisecond, Extra: 100 * time.Millisecond, Short: 50 * time.Millisecond,
		Prepared: 200 * time.Millisecond, Seal: time.Second, Refused: 300 * time.Millisecond,
	}
	if d != want {
		t.Errorf("defaults %+v\nwant     %+v", d, want)
	}
	m, err := election.New(config(me), election.State{}, 0)
	if err != nil || m.Timers() != d {
		t.Errorf("the machine goes by %+v (%v)", m.Timers(), err)
	}
	for delay := 10 * time.Millisecond; delay <= time.Hour; delay *= 3 {
		for retries := 2; retries <= 1000; retries += 7 {
			x := election.NewTimers(delay, retries)
			slow, fast := func(d time.Duration) time.Duration { return d * 1001 / 1000 }, func(d time.Duration) time.Duration { return d * 999 / 1000 }
			switch {
			case slow(x.Lease) > fast(x.Down):
				t.Errorf("%v×%d: a lease on a slow clock outlives a promise on a fast one", delay, retries)
			case x.Lease+x.Down/5 > x.Down+x.Window:
				t.Errorf("%v×%d: the work may outlast the next claim", delay, retries)
			case x.Embargo < slow(slow(x.Down)):
				t.Errorf("%v×%d: the embargo is shorter than an old promise", delay, retries)
			case x.Backoff < x.Window+2*x.Delay || x.Short > max(5*time.Millisecond, x.Window) || x.Slot/2 <= 0:
				t.Errorf("%v×%d: %+v", delay, retries, x)
			}
		}
	}
}

func TestNames(t *testing.T) {
	if got := election.EventSaveFailed.String(); got != "save.failed" {
		t.Errorf("EventSaveFailed is %q", got)
	}
	if got := election.EventMaintenance.String(); got != "maintenance" {
		t.Errorf("the last event is %q", got)
	}
	if got := election.EventType(200).String(); got != "unknown" {
		t.Errorf("an event that is none is %q", got)
	}
}
