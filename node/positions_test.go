package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/config"
	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/internal/tcp"
)

// startPings starts an instance of the 3.3 design.
func (c *cluster) startPings(name string, work func(ctx context.Context, m *Master) error) *instance {
	cfg := c.config(name)
	cfg.Set = []string{
		"failover.name=" + name, fmt.Sprint("failover.cluster=run-", c.port), "failover.interface=lo", "failover.state.dir=" + c.dir + "/" + name,
		"failover.multicast.group=239.201.3.3", fmt.Sprint("failover.multicast.port=", c.port),
		"failover.cache.group=239.201.3.4", fmt.Sprint("failover.cache.port=", c.port-1),
		"failover.ping.interval.seconds=200ms", "failover.instance.timeout.seconds=1s",
	}
	return c.run(cfg, work)
}

// In the 3.3 design to stop the work by the API is a failover: the other's work
// begins, with what was in flight, and the first one is a slave.
func TestRunPositions(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	open := make(chan struct{}, 8)
	a := c.startPings("a", func(ctx context.Context, m *Master) error {
		return m.Profiler().Workflow("orders").Do(ctx, "left", func(ctx context.Context) error {
			open <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	first := expect(t, "a's mastership", a.masters)
	if first.Token() != "" || first.Epoch() != 0 || !first.Open() {
		t.Errorf("token %q, epoch %d, open %v; want none, 0, true", first.Token(), first.Epoch(), first.Open())
	}
	expect(t, "a's work", open)
	b := c.startPings("b", idle)
	client := admin.NewClient(c.dir + "/a.sock")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status := func() admin.Status {
		t.Helper()
		s, err := client.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for s := status(); len(s.PromotionOrder) == 0 || s.Cache == nil || len(s.Cache.InSync) == 0; s = status() {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := client.Switchover(ctx, "", 0); err != nil {
		t.Fatal(err)
	}
	next := expect(t, "b's mastership", b.masters)
	if left := next.InFlight(); len(left) != 1 || left[0].ID != "left" {
		t.Errorf("in flight %+v, want the message that was left", left)
	}
	if s := status(); s.Instance.State != admin.StateSlave || s.Master == nil {
		t.Errorf("a is %s, master %v", s.Instance.State, s.Master)
	}
	select {
	case err := <-a.ended:
		t.Errorf("a ended: %v", err)
	default:
	}
	b.stop()
	if err := expect(t, "b's end", b.ended); err != nil {
		t.Error(err)
	}
	expect(t, "a's next mastership", a.masters)
}

// place is a peer in the line.
func place(id byte, name string, n int) election.PeerView {
	return election.PeerView{ID: heartbeat.InstanceID{id, 6: 0x80}, Name: name, State: heartbeat.StateSlave, Position: n}
}

// positioned is a node that stands in a line, without parts.
func positioned() *Node {
	return &Node{s: &config.Settings{Design: config.Design33, Name: "me"}, id: heartbeat.InstanceID{0xee, 6: 0x80}, address: "h:1"}
}

func TestLine(t *testing.T) {
	v := election.View{State: heartbeat.StateSlave, Position: 2, Peers: []election.PeerView{
		place(3, "h:3", 3), place(1, "h:1", 1), place(9, "h:9", 0),
		{ID: heartbeat.InstanceID{7}, Name: "h:7", State: heartbeat.StateMaster},
	}}
	n := positioned()
	var got []string
	for _, p := range n.line(v) {
		got = append(got, fmt.Sprint(p.Position, " ", p.Name))
	}
	if want := []string{"1 h:1", "2 me", "3 h:3"}; !slices.Equal(got, want) {
		t.Errorf("line %q, want %q", got, want)
	}
	v.State, v.Position = heartbeat.StateMaster, 0
	if got := n.line(v); len(got) != 2 {
		t.Errorf("a master stands in the line: %+v", got)
	}
}

func TestFindPlace(t *testing.T) {
	v := election.View{Peers: []election.PeerView{place(1, "h:0", 1), place(2, "h:0", 2), place(3, "h:3", 3)}}
	n := positioned()
	id := v.Peers[1].ID
	for _, tt := range []struct {
		to   string
		want heartbeat.InstanceID
		kind admin.Kind
	}{
		{"h:3", v.Peers[2].ID, ""},
		{id.String(), id, ""},
		{id.UUID(), id, ""},
		{strings.ToUpper(id.UUID()), id, ""},
		{"h:0", heartbeat.InstanceID{}, admin.KindRefused}, // two, over multicast
		{"h:4", heartbeat.InstanceID{}, admin.KindUnknown},
	} {
		got, err := n.findPlace(v, tt.to)
		if e, ok := errors.AsType[*admin.Error](err); got != tt.want || ok != (tt.kind != "") || ok && e.Kind != tt.kind {
			t.Errorf("%s: got %v, %v", tt.to, got, err)
		}
	}
	// One that left is known yet, and is not meant.
	n.s.Ping.Interval = time.Second
	v.Peers[0].Age = 2*time.Second + 1
	if got, err := n.findPlace(v, "h:0"); got != id || err != nil {
		t.Errorf("got %v, %v; want the one that is heard", got, err)
	}
	v.Peers[1].Age = 3 * time.Second
	if got, err := n.findPlace(v, "h:0"); err == nil {
		t.Errorf("got %v of two that were not heard lately", got)
	}
	for name, want := range map[string]bool{"me": true, "h:1": true, n.id.UUID(): true, n.id.String(): true, "h:2": false} {
		if n.isSelf(name) != want {
			t.Errorf("%s is this instance: %v", name, !want)
		}
	}
}

func TestTrace(t *testing.T) {
	var out bytes.Buffer
	v := election.View{State: heartbeat.StateSlave, Position: 1, Peers: []election.PeerView{
		{ID: heartbeat.InstanceID{7, 6: 0x40}, State: heartbeat.StateMaster}, place(2, "", 2),
	}}
	v.Follow.Instance = v.Peers[0].ID
	n := positioned()
	said := func() string {
		n.trace(zerolog.New(&out), v)
		defer out.Reset()
		return out.String()
	}
	got := said()
	for _, want := range []string{
		`"My instance: [ID: ee000000-0000-8000-0000-000000000000 --Type: Slave -- Slave position: 1 -- Last Contact: `,
		`"Current master instance: [ID: 07000000-0000-4000-0000-000000000000 --Type: Master -- Slave position: 0 -- Last Contact: `,
		`"Other online slave instances: [ID: 02000000-0000-8000-0000-000000000000 --Type: Slave -- Slave position: 2 -- Last Contact: `,
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	v = election.View{State: heartbeat.StateSlave}
	if got := said(); !strings.Contains(got, `"Current master instance: none"`) || !strings.Contains(got, `"Other online slave instances:"`) {
		t.Errorf("alone it says %s", got)
	}
	v.State = heartbeat.StateMaster
	if got := said(); strings.Count(got, "--Type: Master") != 2 {
		t.Errorf("a master says %s", got)
	}
}

// openRulers is a copy of the cache with its reigns.
func openRulers(t *testing.T, id byte) *rulers {
	t.Helper()
	c, err := cache.Open(cache.Config{
		Cluster: "c", Name: string(rune('a' + id)), Instance: cache.InstanceID{id}, Bind: netip.MustParseAddrPort("127.0.0.1:0"), TellPromise: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return newRulers(c, time.Hour)
}

func member(id byte, r cache.Reign) cache.Event {
	return cache.Event{Type: cache.EventMember, Peer: cache.InstanceID{id}, Name: fmt.Sprint(id), Addr: netip.MustParseAddrPort("127.0.0.1:1"), Reign: r}
}

func TestRulers(t *testing.T) {
	reign := func(epoch uint64, id byte) cache.Reign {
		return cache.Reign{Epoch: epoch, Instance: cache.InstanceID{id}}
	}
	r := openRulers(t, 1)
	// Above all that are known, the other's too.
	r.member(member(2, reign(7, 3)))
	if err := r.lead(); err != nil {
		t.Fatal(err)
	}
	if got := r.cache.Promised(); got != reign(8, 1) || !r.cache.Status().Master {
		t.Errorf("reigns under %+v", got)
	}
	// A greater one is heard: the pings say that this one is master, so it opens another.
	r.raised = time.Time{}
	r.member(member(3, reign(20, 3)))
	if got := r.cache.Promised(); got != reign(21, 1) {
		t.Errorf("reigns under %+v, want 21", got)
	}
	// One that no cluster gets to is made up, and there is none above it.
	r.raised = time.Time{}
	r.member(member(4, reign(math.MaxUint64, 4)))
	if got := r.cache.Promised(); got != reign(21, 1) || r.waiting || r.next() != 22 {
		t.Errorf("reigns under %+v, the next is %d", got, r.next())
	}
	r.member(cache.Event{Type: cache.EventMemberGone, Peer: cache.InstanceID{4}})
	r.raised = time.Now()
	// But no faster than it pings.
	r.member(member(3, reign(30, 3)))
	if got := r.cache.Promised(); got != reign(21, 1) || !r.waiting {
		t.Errorf("reigns under %+v, waiting %v", got, r.waiting)
	}
	// It follows whom the pings tell, once gossip says that it is a master's cache.
	r.follow(heartbeat.InstanceID{2})
	if st := r.cache.Status(); !st.Master { // as long as it knows no other
		t.Error("it does not serve its slaves any more")
	}
	r.member(member(2, reign(31, 3)))
	if st := r.cache.Status(); !st.Following.Reign.Instance.IsZero() {
		t.Errorf("it follows %+v, which is no master", st.Following.Reign)
	}
	r.member(member(2, reign(31, 2)))
	if st := r.cache.Status(); st.Master || st.Following.Reign != reign(31, 2) {
		t.Errorf("it follows %+v", st.Following.Reign)
	}
	// Not the greatest, but the pings' one.
	r.member(member(3, reign(50, 3)))
	if st := r.cache.Status(); st.Following.Reign != reign(31, 2) {
		t.Errorf("it follows %+v", st.Following.Reign)
	}
	pinging := []election.PeerView{{ID: heartbeat.InstanceID{2}}}
	if got := r.strangers(pinging); !slices.Equal(got, []string{"3"}) {
		t.Errorf("strangers %q", got)
	}
	// A cache that comes back is no stranger: its pings went on.
	r.member(cache.Event{Type: cache.EventMemberGone, Peer: cache.InstanceID{2}})
	r.member(member(2, reign(31, 2)))
	if got := r.strangers(pinging); !slices.Equal(got, []string{"3"}) {
		t.Errorf("strangers %q", got)
	}
	r.member(cache.Event{Type: cache.EventMemberGone, Peer: cache.InstanceID{3}})
	if got := r.strangers(pinging); len(got) != 0 {
		t.Errorf("strangers %q", got)
	}
	if got := r.strangers(nil); !slices.Equal(got, []string{"2"}) {
		t.Errorf("strangers %q, but pings come no more", got)
	}
}

// A hand-over ends the writing and serves on; a loss ends the streams too.
func TestRulersEnd(t *testing.T) {
	for _, planned := range []bool{true, false} {
		r := openRulers(t, 1)
		if err := r.lead(); err != nil {
			t.Fatal(err)
		}
		if planned {
			r.heardOf(election.Event{Type: election.EventState, State: heartbeat.StateSlave})
		} else {
			r.lose()
		}
		if st := r.cache.Status(); st.Master != planned || r.leading {
			t.Errorf("planned %v: the cache leads %v, leading %v", planned, st.Master, r.leading)
		}
		named, err := r.cache.Named("FAILOVER_CACHE")
		if err != nil {
			t.Fatal(err)
		}
		if err := named.Put(context.Background(), "k", []byte("v")); !errors.Is(err, cache.ErrNotMaster) {
			t.Errorf("planned %v: a put after the end: %v", planned, err)
		}
	}
}

// Pings of an instance that is on loopback keep its caches there too.
// TestLearnPeers: by TCP pings go to those that are heard, and to no one who left.
func TestLearnPeers(t *testing.T) {
	n := &Node{}
	n.learn(election.Event{Type: election.EventPeerJoined, Name: "a:1"}) // by multicast there is no list
	conn, err := tcp.Open(tcp.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Size: heartbeat.PingSize, Peers: []string{"a:1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	n.direct = conn
	b, c := heartbeat.InstanceID{2}, heartbeat.InstanceID{3}
	n.learn(election.Event{Type: election.EventPeerJoined, Peer: b, Name: "b:2"})
	n.learn(election.Event{Type: election.EventPeerJoined, Peer: c, Name: "c:3"})
	n.learn(election.Event{Type: election.EventMaster, Peer: c, Name: "d:4"})
	if got := conn.Peers(); !slices.Equal(got, []string{"a:1", "b:2", "c:3"}) {
		t.Errorf("pings go to %q", got)
	}
	n.learn(election.Event{Type: election.EventPeerLeft, Peer: b, Name: "b:2"})
	if got := conn.Peers(); !slices.Equal(got, []string{"a:1", "c:3"}) {
		t.Errorf("after one left pings go to %q", got)
	}
}

func TestCardOf(t *testing.T) {
	for host, want := range map[string]bool{"127.0.0.1": true, "192.0.2.77": false, "localhost": false, "": false} {
		if _, card := cardOf(host); (card != "") != want {
			t.Errorf("%q: card %q", host, card)
		}
	}
}
