package position

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// mail is a ping on its way.
type mail struct {
	at time.Duration
	to int
	in election.Received
}

// line is a line of slaves under one master, that begins in any disorder: as
// after a partition.
type line struct {
	r     *rand.Rand
	delay time.Duration // longest way of a ping
	now   time.Duration
	all   []*Machine
	mail  []mail
	moved time.Duration // when one last changed its place
	log   []string
}

// newLine draws one. All ping in step, or nearly: whoever decides at the same
// time as another decides without it.
func newLine(t *testing.T, seed uint64) *line {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	l := &line{r: r, delay: []time.Duration{1, sec / 100, sec / 2, 2 * sec}[r.IntN(4)]}
	n := 2 + r.IntN(4)
	homes := r.Perm(n + 3) // each place is configured once
	ids := r.Perm(200)
	for i := range n {
		c := config()
		c.Self, c.Name = id(byte(ids[i])), fmt.Sprintf("%02x", ids[i])
		if r.IntN(2) == 0 {
			c.Self, c.Position = fixed(byte(ids[i])), uint16(homes[i]+1)
		}
		m, err := New(c, election.State{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		m.state, m.started = heartbeat.StateSlave, -time.Hour
		m.place.n = r.IntN(n + 3)
		if c.Position > 0 && m.place.n > int(c.Position) {
			m.place.n = 0
		}
		m.nextPing = 1
		if r.IntN(4) == 0 {
			m.nextPing = time.Duration(1 + r.Int64N(int64(every)))
		}
		l.log = append(l.log, fmt.Sprintf("%s configured %d, at %d", c.Name, c.Position, m.place.n))
		l.all = append(l.all, m)
	}
	return l
}

func (l *line) step(i int, in election.Input) {
	m := l.all[i]
	out := m.Step(l.now, in)
	for _, e := range out.Events {
		if e.Type == election.EventPosition {
			l.moved = l.now
			l.log = append(l.log, fmt.Sprintf("%v %s at %d %s", l.now, m.cfg.Name, e.Position, e.Detail))
		}
	}
	for _, s := range out.Send {
		for j := range l.all {
			if j != i {
				at := l.now + time.Duration(l.r.Int64N(int64(l.delay)))
				l.mail = append(l.mail, mail{at, j, election.Received{Packet: s.Packet, From: netip.AddrPort{}}})
			}
		}
	}
}

// run goes on until end, with the master's ping to all each second.
func (l *line) run(end time.Duration) {
	beat := time.Duration(0)
	for l.now < end {
		next := beat
		for _, m := range l.all {
			next = min(next, max(m.WakeAt(), l.now))
		}
		slices.SortStableFunc(l.mail, func(a, b mail) int { return int(a.at - b.at) })
		if len(l.mail) > 0 && l.mail[0].at <= next {
			first := l.mail[0]
			l.mail = l.mail[1:]
			l.now = max(l.now, first.at)
			l.step(first.to, first.in)
			continue
		}
		l.now = next
		if next == beat {
			beat += sec
			for i := range l.all {
				l.step(i, election.Received{Packet: &heartbeat.Packet{
					Kind: heartbeat.KindHeartbeat, State: heartbeat.StateMaster, Instance: id(0xff), Name: "master:0",
				}})
			}
			continue
		}
		for i, m := range l.all {
			if m.WakeAt() <= l.now {
				l.step(i, election.Wake{})
			}
		}
	}
}

// TestComesToRest: from whatever places, slaves that are configured and slaves
// that are allotted come to stand at 1…n, and stay there. PROTOCOL.md §11.4.
func TestComesToRest(t *testing.T) {
	for seed := range uint64(500) {
		l := newLine(t, seed)
		end := 30 * every
		l.run(end)
		var places, want []int
		for i, m := range l.all {
			places, want = append(places, m.place.n), append(want, i+1)
		}
		slices.Sort(places)
		if !slices.Equal(places, want) || l.moved > end/2 {
			t.Fatalf("seed %d, pings take up to %v: the slaves stand at %v, one moved at %v\n%s",
				seed, l.delay, places, l.moved, strings.Join(l.log, "\n"))
		}
	}
}
