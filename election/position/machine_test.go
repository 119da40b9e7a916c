package position

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"good", func(*Config) {}, ""},
		{"no self", func(c *Config) { c.Self = heartbeat.InstanceID{} }, "Self is not set"},
		{"a Java id", func(c *Config) { c.Self = java(1) }, "not made by"},
		{"an id that does not tell", func(c *Config) { c.Position = 2 }, "whether a Position"},
		{"an id that tells too much", func(c *Config) { c.Self = fixed(1) }, "whether a Position"},
		{"no name", func(c *Config) { c.Name = "" }, "Name"},
		{"too quick", func(c *Config) { c.Interval = time.Millisecond }, "Interval"},
		{"too slow", func(c *Config) { c.Interval = 2 * time.Hour }, "Interval"},
		{"no patience", func(c *Config) { c.Timeout = 5 * sec }, "Timeout"},
		{"for ever", func(c *Config) { c.Timeout = 48 * time.Hour }, "Timeout"},
	} {
		c := config()
		tt.edit(&c)
		_, err := New(c, election.State{}, 0)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	_, err := New(Config{}, election.State{}, 0)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all faults: %v", err)
	}
}

// TestStart: silent for two intervals, then a slave with a place; master after
// one timeout, or later where there are Java instances. PROTOCOL.md §11.3.
func TestStart(t *testing.T) {
	w := newWorld(t, config())
	w.to(6*sec-1).said().to(6*sec).said("ping slave 1", "slave", "place 1")
	w.to(20*sec - 1).said("ping slave 1")
	w.to(20*sec).said("ping master 0", "promoting", "opening", "barrier")
	if w.out.Guard.Open(w.now) {
		t.Error("the guard opens before the barrier")
	}
	w.do(election.BarrierDone{}).said("master", "promoted")
	if want := 36 * sec; w.out.Guard.Until != want {
		t.Errorf("guard until %v, want %v", w.out.Guard.Until, want)
	}

	w = newWorld(t, config())
	w.to(5 * sec)
	for w.now < 27*sec {
		w.slave(java(0x60), 2)
		w.pass(sec / 2)
	}
	w.quiet().to(28*sec - 1).said()
	w.to(28*sec).said("ping master 0", "promoting", "opening", "barrier")
}

// TestOnePing: there is one each interval, whatever else happens.
func TestOnePing(t *testing.T) {
	w := newWorld(t, config())
	n, next := 0, 6*sec
	for w.now < 60*sec {
		w.master(java(0x60))
		w.pass(sec / 4)
		for _, s := range w.log {
			if strings.HasPrefix(s, "ping") {
				n++
			}
		}
		w.quiet()
		if w.now >= next && n != int((next-6*sec)/every)+1 {
			t.Fatalf("%d pings at %v", n, w.now)
		} else if w.now >= next {
			next += every
		}
	}
}

// TestPlaces: which place an instance takes. PROTOCOL.md §11.4.
func TestPlaces(t *testing.T) {
	type peer struct {
		id    heartbeat.InstanceID
		place int
	}
	for _, tt := range []struct {
		name  string
		self  heartbeat.InstanceID
		own   uint16
		peers []peer
		want  string
	}{
		{"alone", id(5), 0, nil, "place 1"},
		{"lowest id", id(5), 0, []peer{{id(6), 1}, {java(7), 2}}, "place 1"},
		{"highest id", id(9), 0, []peer{{id(6), 1}, {java(7), 2}}, "place 3"},
		{"between", id(5), 0, []peer{{java(4), 0}, {java(7), 0}}, "place 2"},
		{"configured", fixed(5), 4, []peer{{java(4), 0}, {java(7), 0}}, "place 4"},
		{"configured, and taken by Java's", fixed(5), 1, []peer{{java(4), 1}}, "place 1; position.taken"},
		{"behind one that is configured", id(5), 0, []peer{{fixed(9), 1}}, "place 2"},
		{"between two that are configured", id(5), 0, []peer{{fixed(9), 1}, {fixed(8), 3}}, "place 2"},
		{"around those that are configured", id(5), 0, []peer{{fixed(9), 1}, {id(4), 2}, {fixed(8), 3}}, "place 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			c.Self, c.Position = tt.self, tt.own
			w := newWorld(t, c)
			w.to(5 * sec)
			for _, p := range tt.peers {
				w.slave(p.id, p.place)
			}
			w.to(6*sec + 1)
			for _, p := range tt.peers {
				w.slave(p.id, p.place)
			}
			first, rest, _ := strings.Cut(tt.want, "; ")
			want := []string{"ping slave " + first[len(first)-1:], "slave", first}
			if rest != "" {
				want = append(want, rest)
			}
			w.said(want...)
		})
	}
}

// TestOrderAnew: what makes a slave look for another place.
func TestOrderAnew(t *testing.T) {
	m := id(0x99)
	w := newWorld(t, config()).line(m)
	if w.m.place.n != 1 {
		t.Fatal(w.m.place)
	}
	w.slave(java(0x60), 2).said()
	w.slave(java(0x10), 0).said("place 2")                    // a new one, with no place yet
	w.slave(java(0x10), 1).said()                             //
	w.slave(id(0x20), 2).said("place 3")                      // one that took ours
	w.slave(id(0x70), 2).said().slave(id(0x70), 4)            // another's collision is not ours
	w.slave(fixed(0x90), 3).said("place 4")                   // a configured one goes before
	w.slave(id(0x70), 5).slave(id(0x70), 4).said()            // 0x70 stands behind us by its id:
	w.slave(id(0x70), 5).master(id(0x20)).said("follow 20:0") // and one that reigns leaves the line

	c := config()
	c.Self, c.Position = fixed(0x50), 2
	w = newWorld(t, c).line(m)
	if w.m.place.n != 1 {
		t.Fatal("a configured slave does not move up:", w.m.place)
	}
	w.slave(java(0x10), 0).said() // it is not re-ordered
	w.slave(fixed(0x10), 1).said("place 2")
	w.pass(every).quiet()
	w.slave(java(0x10), 2).said("position.taken").slave(java(0x10), 2).said()

	// It makes way for one that will stay, not for one that looks for another place too.
	for _, tt := range []struct {
		other heartbeat.InstanceID
		want  int
	}{{id(0x10), 1}, {id(0x90), 1}, {fixed(0x90), 2}, {java(0x90), 2}} {
		if w = newWorld(t, c).line(m).slave(tt.other, 1); w.m.place.n != tt.want {
			t.Errorf("beside %x it stands at %d, want %d", tt.other[0], w.m.place.n, tt.want)
		}
	}
}

// TestMoveUp: one step for each interval, when nobody stands before.
func TestMoveUp(t *testing.T) {
	m := id(0x99)
	w := newWorld(t, config()).line(m, java(0x10), id(0x20), id(0x30))
	if w.m.place.n != 4 {
		t.Fatal(w.m.place)
	}
	keep := func() { w.master(m).slave(java(0x10), 1).slave(id(0x20), 2) }
	for w.now < 50*sec-1 { // 30 is not heard any more
		keep()
		w.pass(min(sec, 50*sec-1-w.now))
	}
	keep()
	w.said("ping slave 4")
	w.to(50*sec).said("peer.left", "place 3")

	// The master falls silent; the first of the line becomes one: all move.
	w.to(51*sec).slave(id(0x20), 2).master(java(0x10)).said("ping slave 3", "follow 10:0")
	w.slave(id(0x20), 1).said().to(54*sec - 1).said()
	w.to(54*sec).said("ping slave 2", "place 2")

	// Nobody moves while one without a place is about to take one.
	w = newWorld(t, config()).line(m)
	for w.now < 50*sec {
		w.master(m).slave(java(0x10), 0).pass(sec)
		if w.m.place.n != 2 {
			t.Fatalf("at %v it stands at %d", w.now, w.m.place.n)
		}
	}
}

// TestGap: places that nobody holds are passed in one go, or whoever stands far
// back would be on its way for hours when the master dies.
func TestGap(t *testing.T) {
	c := config()
	c.Self, c.Position = fixed(0x50), 9000
	w := newWorld(t, c)
	w.to(5*sec).master(id(0x99)).slave(id(0x10), 1).slave(java(0x60), 12)
	w.to(6*sec).said("follow 99:0", "ping slave 9000", "slave", "place 9000")
	w.to(9*sec).said("ping slave 13", "place 13").to(15 * sec).said("ping slave 13")
	w.slave(java(0x60), 1000).said("place 2").to(20 * sec).said("ping slave 2")

	// The end of the line is a place that a ping can tell.
	w = newWorld(t, config()).become()
	w.slave(id(0x60), 65535).do(election.Handover{Reason: "asked"}).do(election.WorkStopped{})
	w.said("handover", "draining", "stop-work", "ping slave 65535", "slave", "place 65535")
}

// TestTwins: of two that are configured for one place only one moves up.
func TestTwins(t *testing.T) {
	for _, tt := range []struct {
		other heartbeat.InstanceID
		want  int
	}{{fixed(0x10), 3}, {fixed(0x90), 1}} {
		c := config()
		c.Self, c.Position = fixed(0x50), 3
		w := newWorld(t, c)
		for w.now < 10*sec {
			w.master(id(0x99)).slave(tt.other, 3)
			w.pass(sec)
		}
		if w.m.place.n != tt.want {
			t.Errorf("beside %x it stands at %d, want %d", tt.other[0], w.m.place.n, tt.want)
		}
	}
}

// TestPromotion: position 1 promotes when the master was silent for the
// timeout, to the moment, and nobody else does. PROTOCOL.md §11.4.
func TestPromotion(t *testing.T) {
	m := java(0x99)
	w := newWorld(t, config()).line(m)
	w.to(50*sec - 1).said("ping slave 1")
	w.to(50*sec).said("ping master 0", "peer.left", "no master", "promoting", "opening", "barrier")

	w = newWorld(t, config()).line(m, id(0x10))
	for w.now < 70*sec {
		w.slave(id(0x10), 1).pass(sec)
	}
	w.said("ping slave 2", "peer.left", "no master", "ping slave 2")
	w.to(w.now + 19*sec - 1).said("ping slave 2")
	w.to(w.now+1).said("peer.left", "place 1")
	told := w.m.place.toldAt
	for told == 0 {
		told = w.pass(sec / 8).m.place.toldAt
	}
	w.quiet().to(told + every*3/2 - 1)
	if w.m.state != heartbeat.StateSlave {
		t.Error("it acts before the others heard that it stands first")
	}
	w.to(told + every*3/2)
	if w.m.state != heartbeat.StateOpening {
		t.Error(w.m.state)
	}
}

// TestPatience: with a place held twice, or none, in sight. PROTOCOL.md §11.5.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		name  string
		self  heartbeat.InstanceID
		own   uint16
		other heartbeat.InstanceID
		place int
		want  time.Duration
	}{
		{"nobody", id(0x50), 0, id(0x60), 2, 0},
		{"Java's at our place", fixed(0x50), 1, java(0x10), 1, 5*sec + every},
		{"a lower one of ours", fixed(0x50), 1, fixed(0x10), 1, 2 * every},
		{"a higher one of ours", fixed(0x50), 1, fixed(0x60), 1, 4 * every},
		{"Java's without a place", fixed(0x50), 1, java(0x10), 0, 5*sec + every},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			c.Self, c.Position = tt.self, tt.own
			w := newWorld(t, c).line(id(0x99))
			for w.now < 80*sec && w.m.state == heartbeat.StateSlave {
				w.slave(tt.other, tt.place)
				w.pass(sec / 2)
			}
			if got := w.now - 50*sec; got < tt.want || got > tt.want+sec/2 {
				t.Errorf("promoted %v after the timeout, want %v", got, tt.want)
			}
		})
	}
}

// TestStalled: who was not run listens anew before it believes in silence: long
// enough for the others to be heard, and for a Java instance to act and to tell.
func TestStalled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other heartbeat.InstanceID
		hold  time.Duration
	}{{"ours", id(0x99), 2 * every}, {"Java's", java(0x99), 2*every + 5*sec}} {
		for _, s := range []heartbeat.State{heartbeat.StateMaster, heartbeat.StateSlave} {
			t.Run(tt.name+" "+s.String(), func(t *testing.T) {
				w := newWorld(t, config()).to(10*sec).hear(tt.other, s, 2).to(15 * sec).quiet()
				w.now = 29 * sec // the timers of before are over
				w.do(election.Wake{}).said("ping slave 1", "stalled")
				w.to(29*sec + tt.hold - 1)
				if w.m.state != heartbeat.StateSlave || len(w.m.peers) != 1 {
					t.Errorf("while it listens it is %v, with %d peers", w.m.state, len(w.m.peers))
				}
				w.to(29*sec + tt.hold)
				if w.m.state != heartbeat.StateOpening {
					t.Error("it is not promoted at all:", w.m.state)
				}
				if s != heartbeat.StateMaster {
					return
				}
				// Later than the timeout: it follows on until it has listened.
				w = newWorld(t, config()).to(10*sec).hear(tt.other, s, 2).to(15 * sec).quiet()
				w.now = 70 * sec
				w.do(election.Wake{}).said("ping slave 1", "stalled")
				w.to(70*sec + tt.hold - 1).said("ping slave 1")
				w.to(70*sec+tt.hold).said("ping master 0", "peer.left", "no master", "promoting", "opening", "barrier")
			})
		}
	}
}

// TestIgnored: inputs of the other design, and pings that are nobody's.
func TestIgnored(t *testing.T) {
	w := newWorld(t, config()).line(id(0x99))
	for _, in := range []election.Input{
		election.Saved{}, election.SaveFailed{}, election.Sealed{}, election.LogAt{}, election.Died{}, election.Refused{},
		election.Stream{}, election.Reigned{Epoch: 3}, election.Request{}, election.SetMaintenance{For: sec},
		election.WorkStopped{}, election.BarrierDone{}, election.Handover{}, election.Promote{}, election.Resume{},
	} {
		w.do(in).said()
	}
	w.slave(w.m.cfg.Self, 1).master(w.m.cfg.Self).slave(heartbeat.InstanceID{}, 1).said()
	for i := range 2 * maxPeers {
		w.slave(heartbeat.InstanceID{byte(i), byte(i >> 8), 1}, 7)
	}
	if len(w.m.peers) != maxPeers {
		t.Errorf("%d peers are kept", len(w.m.peers))
	}
	// A master is heard all the same; it takes the place of a slave, the one silent for longest.
	silent := heartbeat.InstanceID{1, 0, 1}
	w = newWorld(t, config()).slave(silent, 1).pass(sec)
	for i := 2; i <= maxPeers; i++ {
		w.slave(heartbeat.InstanceID{byte(i), byte(i >> 8), 1}, 7)
	}
	w.master(java(0x99)).said("peer.left", "follow 99:0")
	if len(w.m.peers) != maxPeers || w.m.peer(silent) != nil {
		t.Errorf("%d peers are kept; the silent one: %v", len(w.m.peers), w.m.peer(silent) != nil)
	}
	for i := range maxPeers { // masters make room for nobody, but are heard
		w.master(heartbeat.InstanceID{byte(i), byte(i >> 8), 2})
	}
	if w.quiet().master(id(0x77)).said("follow 77:0"); len(w.m.peers) != maxPeers || w.m.peer(id(0x77)) != nil {
		t.Errorf("%d peers are kept", len(w.m.peers))
	}
}

func TestView(t *testing.T) {
	w := newWorld(t, config()).line(java(0x99), id(0x10), java(0x20))
	w.pass(sec)
	v := w.m.View(w.now)
	if v.State != heartbeat.StateSlave || v.Position != 3 || v.Follow.Instance != java(0x99) || v.FollowAge != sec || len(v.Peers) != 3 {
		t.Errorf("%+v", v)
	}
	for i, want := range []heartbeat.InstanceID{java(0x99), id(0x10), java(0x20)} {
		p := v.Peers[i]
		if p.ID != want || p.Position != i || p.Eligible != (i > 0) || p.Age != sec || !p.Confirmed {
			t.Errorf("peer %d: %+v", i, p)
		}
	}
	if got, want := w.m.order, "1 10:0, 2 20:0, 3 self:0"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if v := w.m.View(w.now + timeout); len(v.Peers) != 0 || !v.Follow.Instance.IsZero() {
		t.Errorf("silent ones are shown: %+v", v)
	}
	tm := w.m.Timers()
	if tm.Delay != every || tm.Down != timeout || tm.Lease != 16*sec {
		t.Errorf("%+v", tm)
	}
}

func TestCanHandOver(t *testing.T) {
	w := newWorld(t, config())
	can := func(to heartbeat.InstanceID, want error) {
		t.Helper()
		if err := w.m.CanHandOver(w.now, to); !errors.Is(err, want) {
			t.Errorf("to %x: %v, want %v", to[0], err, want)
		}
	}
	can(heartbeat.InstanceID{}, election.ErrNotMaster)
	w.become()
	can(heartbeat.InstanceID{}, election.ErrNoHeir)
	can(id(1), election.ErrNoPeer)
	w.slave(id(1), 2).slave(java(2), 1)
	can(heartbeat.InstanceID{}, nil)
	can(java(2), nil)
	can(id(1), election.ErrNotEligible)
	w.do(election.Handover{To: java(2)})
	can(java(2), election.ErrBusy)
}
