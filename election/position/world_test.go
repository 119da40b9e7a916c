package position

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

const sec = time.Second

// interval and timeout of the tests: the defaults.
const (
	every   = 3 * sec
	timeout = 20 * sec
)

// id makes an instance: first byte n, ours or Java's, configured or not.
func id(n byte) heartbeat.InstanceID { return heartbeat.PingInstance([16]byte{n}, false) }
func fixed(n byte) heartbeat.InstanceID {
	return heartbeat.PingInstance([16]byte{n}, true)
}
func java(n byte) heartbeat.InstanceID {
	return heartbeat.InstanceID{0: n, 6: 0x40, 8: 0x80}
}

func config() Config {
	return Config{Self: id(0x50), Name: "self:0", Interval: every, Timeout: timeout, Candidate: true}
}

// world drives one machine and writes down what it does.
type world struct {
	t   *testing.T
	m   *Machine
	now time.Duration
	log []string // pings and events since the last said

	barrier uint64 // number of the last one asked for
	out     election.Output
}

func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	m, err := New(cfg, election.State{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, m: m}
	w.do(election.Wake{})
	w.log = nil
	return w
}

// do takes a step. BarrierDone without a number answers the last one asked for.
func (w *world) do(in election.Input) *world {
	if b, ok := in.(election.BarrierDone); ok && b.Epoch == 0 {
		in = election.BarrierDone{Epoch: w.barrier}
	}
	w.out = w.m.Step(w.now, in)
	for _, p := range w.out.Send {
		kind := "slave"
		if p.Packet.State.Reigns() {
			kind = "master"
		}
		w.log = append(w.log, fmt.Sprintf("ping %s %d", kind, p.Packet.Position))
		if !p.Everyone || p.Packet.Instance != w.m.cfg.Self {
			w.t.Errorf("a ping of %v to everyone: %v", p.Packet.Instance, p.Everyone)
		}
	}
	for _, e := range w.out.Events {
		if e.Type == election.EventBarrier {
			w.barrier = e.Epoch
		}
		switch e.Type {
		case election.EventOrder, election.EventPeerJoined:
			continue
		case election.EventState:
			w.log = append(w.log, e.State.String())
		case election.EventPosition:
			w.log = append(w.log, fmt.Sprintf("place %d", e.Position))
		case election.EventMaster:
			if e.Peer.IsZero() {
				w.log = append(w.log, "no master")
				continue
			}
			w.log = append(w.log, "follow "+e.Name)
		default:
			w.log = append(w.log, e.Type.String())
		}
	}
	return w
}

// to lets time pass, with a wake-up whenever the machine wants one.
func (w *world) to(t time.Duration) *world {
	for w.m.WakeAt() <= t {
		w.now = max(w.now, w.m.WakeAt())
		w.do(election.Wake{})
	}
	w.now = t
	return w
}

func (w *world) pass(d time.Duration) *world { return w.to(w.now + d) }

// hear gives the machine a ping of another.
func (w *world) hear(p heartbeat.InstanceID, s heartbeat.State, place int) *world {
	return w.do(election.Received{From: netip.MustParseAddrPort("10.0.0.1:1"), Packet: &heartbeat.Packet{
		Kind: heartbeat.KindHeartbeat, State: s, Instance: p, Position: uint16(place), Name: fmt.Sprintf("%02x:0", p[0]),
	}})
}

func (w *world) slave(p heartbeat.InstanceID, place int) *world {
	return w.hear(p, heartbeat.StateSlave, place)
}

func (w *world) master(p heartbeat.InstanceID) *world { return w.hear(p, heartbeat.StateMaster, 0) }

// said compares what was done since the last time, pings of the same kind in a
// row counted once.
func (w *world) said(want ...string) *world {
	w.t.Helper()
	got := slices.Compact(w.log)
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		w.t.Errorf("at %v:\ngot  %s\nwant %s", w.now, strings.Join(got, "; "), strings.Join(want, "; "))
	}
	w.log = nil
	return w
}

// quiet forgets what was done.
func (w *world) quiet() *world {
	w.log = nil
	return w
}

// become makes the machine master, at work.
func (w *world) become() *world {
	w.t.Helper()
	w.to(timeout).quiet()
	w.do(election.BarrierDone{})
	if w.m.state != heartbeat.StateMaster || !w.out.Guard.Open(w.now) {
		w.t.Fatalf("not master at %v but %v", w.now, w.m.state)
	}
	return w.quiet()
}

// line makes it a slave that follows master m at second 30, at a place.
func (w *world) line(m heartbeat.InstanceID, others ...heartbeat.InstanceID) *world {
	for w.now < 30*sec {
		w.master(m)
		for i, o := range others {
			w.slave(o, i+1)
		}
		w.pass(every)
	}
	w.master(m)
	for i, o := range others {
		w.slave(o, i+1)
	}
	return w.quiet()
}
