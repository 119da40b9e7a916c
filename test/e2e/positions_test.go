//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/internal/mcast"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

// The 3.3 design, with short times: who is silent for two seconds is gone.
const (
	pingEvery   = 400 * time.Millisecond
	pingTimeout = 2 * time.Second
)

var pings = []string{
	"failover.ping.interval.seconds=" + pingEvery.String(),
	"failover.instance.timeout.seconds=" + pingTimeout.String(),
}

func atPosition(n int) string { return fmt.Sprintf("failover.slave.position=%d", n) }

// TestPositionsLog has four instances with the keys of the seed documents'
// example, and their log: positions, the report, the promotion. Position 1 takes
// over from a master that was killed; the others move up.
func TestPositionsLog(t *testing.T) {
	t.Parallel()
	c := lab.NewPings(t, false, pings...)
	run := func(name string, set ...string) *lab.Instance {
		return c.Run(lab.Run{Name: name, Set: set, Trace: true, Command: []string{
			"sh", "-c", "env >" + filepath.Join(c.Dir, name+".env") + "; exec sleep 1000"}})
	}
	a := run("a")
	c.SettledLine(a)
	all := []*lab.Instance{a, run("b", atPosition(1)), run("c", atPosition(2)), run("d")}
	master, line := c.SettledLine(all...)
	if master != a || !slices.Equal(names(line), []string{"b", "c", "d"}) {
		t.Fatalf("master %s, line %q; want a, then b, c, d", master.Name, names(line))
	}
	for _, i := range all {
		if n := i.Count("Starting Interlok instance in failover mode as a slave."); n != 1 {
			t.Errorf("%s: %d lines of the start", i.Name, n)
		}
	}
	has := func(i *lab.Instance, level, text string) {
		t.Helper()
		if l := i.WaitLog(text, 1, soon); l.Level != level {
			t.Errorf("%s: %q has level %s, want %s", i.Name, l.Message, l.Level, level)
		}
	}
	has(a, "info", `"No slave position has been set, one will be allocated."`)
	has(a, "info", `"Assigning myself slave position 1"`)
	has(a, "trace", `"Master not available, promoting myself to master."`)
	has(a, "info", `"Promoting to MASTER"`)
	has(all[1], "info", `"Slave position 1"`)
	has(all[2], "info", `"Slave position 2"`)
	has(all[2], "info", `"id":"`+a.MustStatus().Instance.ID[:8])
	has(all[3], "info", `"No slave position has been set, one will be allocated."`)
	has(all[3], "info", `"Assigning myself slave position 3"`)

	const entry = `\[ID: [0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} --Type: %s -- Slave position: %d -- Last Contact: \d\d:\d\d:\d\d\]`
	place := func(kind string, n int) string { return fmt.Sprintf(entry, kind, n) }
	report := func(i *lab.Instance, want string) {
		t.Helper()
		re := regexp.MustCompile("^" + want + "$")
		lab.Wait(t, i.Name+" reports "+want, soon, func() bool {
			return slices.ContainsFunc(i.Log(), func(l lab.Line) bool { return l.Level == "trace" && re.MatchString(l.Message) })
		})
	}
	report(all[2], "My instance: "+place("Slave", 2))
	report(all[2], "Current master instance: "+place("Master", 0))
	report(all[2], "Other online slave instances: "+place("Slave", 1)+" "+place("Slave", 3))

	// COMMAND has no token: a ping has no epoch.
	var env []byte
	lab.Wait(t, "the command of a runs", soon, func() bool {
		var err error
		env, err = os.ReadFile(filepath.Join(c.Dir, "a.env"))
		return err == nil && len(env) > 0
	})
	if e := string(env); !strings.Contains(e, "INTERLOK_HA_INSTANCE=a\n") || strings.Contains(e, "_TOKEN") || strings.Contains(e, "_EPOCH") {
		t.Errorf("the command of a sees\n%s", e)
	}

	killed := time.Now()
	a.KillHard()
	promoted := all[1].WaitLog("Promoting to MASTER", 1, soon)
	// What a busy machine adds is not what is tested.
	if d := promoted.Time.Sub(killed); d > pingTimeout+pingEvery+time.Second {
		t.Errorf("position 1 was promoted %v after the kill, want the timeout and one ping, %v", d, pingTimeout+pingEvery)
	}
	master, line = c.SettledLine(all[1:]...)
	if master.Name != "b" || !slices.Equal(names(line), []string{"c", "d"}) {
		t.Errorf("master %s, line %q; want b, then c, d", master.Name, names(line))
	}
	has(all[2], "info", `"Assigning myself slave position 1"`)
	has(all[3], "info", `"Assigning myself slave position 2"`)
	for _, i := range all[2:] {
		if n := i.Count("Promoting to MASTER"); n != 0 {
			t.Errorf("%s was promoted %d times", i.Name, n)
		}
	}
}

// TestPositionsOrders: the verbs in the 3.3 design.
func TestPositionsOrders(t *testing.T) {
	t.Parallel()
	c := lab.NewPings(t, true, append(pings, "failover.workload.stop.timeout=1000")...)
	peers := fmt.Sprintf("failover.tcp.peers=127.0.0.1:%d;127.0.0.1:%d;127.0.0.1:%d", c.PingPort(0), c.PingPort(1), c.PingPort(2))
	addr := func(n int) string { return fmt.Sprintf("127.0.0.1:%d", c.PingPort(n)) }
	start := func(n int) *lab.Instance {
		return c.Run(lab.Run{Name: string(rune('a' + n)), Set: []string{peers}, Command: []string{"sleep", "1000"}})
	}
	all := []*lab.Instance{start(0)}
	c.SettledLine(all...)
	all = append(all, start(1), start(2))
	lab.Wait(t, "a reigns, and b and c follow", 2*soon, func() bool {
		s, err := all[0].Status()
		return err == nil && s.Instance.State == admin.StateMaster && len(s.PromotionOrder) == 2
	})

	s := all[0].MustStatus()
	if s.Settings.Design != "3.3" || s.Settings.Authenticated || s.Settings.DelayMs != pingEvery.Milliseconds() || s.Settings.TimeoutMs != pingTimeout.Milliseconds() {
		t.Errorf("settings %+v", s.Settings)
	}
	if s.Instance.Epoch != 0 || s.Instance.Position != 0 || s.Master.Epoch != 0 || s.Master.Address != addr(0) {
		t.Errorf("instance %+v, master %+v", s.Instance, s.Master)
	}
	for _, p := range s.Peers {
		if p.Epoch != 0 || p.Name != p.Address || p.Name != addr(1) && p.Name != addr(2) {
			t.Errorf("peer %+v", p)
		}
	}
	if text := c.Do("status", "--instance", "a"); !strings.Contains(text, "design 3.3, ping 400 ms, timeout 2000 ms") || !strings.Contains(text, addr(1)) {
		t.Errorf("status:\n%s", text)
	}

	fails := func(code int, want string, args ...string) {
		t.Helper()
		a := c.CLI(args...)
		if a.Code != code || !strings.Contains(a.Stdout+a.Stderr, want) {
			t.Errorf("%q: exit %d, want %d and %q\n%s%s", args, a.Code, code, want, a.Stdout, a.Stderr)
		}
	}
	next := s.PromotionOrder
	fails(1, "master is "+addr(0)+" on "+addr(0)+": run it there", "switchover", "--instance", "b")
	fails(1, "does not stand at position", "switchover", "--to", next[1].Name, "--instance", "a")
	fails(1, "no instance nobody:1 is heard", "switchover", "--to", "nobody:1", "--instance", "a")
	fails(1, "drain the slaves", "maintenance", "on", "--for", "1m", "--instance", "a")
	fails(1, "there is none to end", "maintenance", "off", "--instance", "a")
	fails(1, "there is a master", "promote", "--instance", "b")
	if n := all[0].Count("Giving mastership up"); n != 0 {
		t.Errorf("an order that was refused stopped the work %d times", n)
	}

	byName := map[string]*lab.Instance{addr(0): all[0], addr(1): all[1], addr(2): all[2]}
	if out := c.Do("switchover", "--to", next[0].Name, "--instance", "a"); !strings.Contains(out, next[0].Name+" is master") {
		t.Errorf("switchover says %q", out)
	}
	heir := byName[next[0].Name]
	lab.Wait(t, "the heir reigns and the old master is a slave", soon, func() bool {
		h, err := heir.Status()
		o, err2 := all[0].Status()
		return err == nil && err2 == nil && h.Instance.State == admin.StateMaster && len(h.PromotionOrder) == 2 &&
			o.Instance.State == admin.StateSlave && o.Master != nil && o.Workload.State == "stopped"
	})
	for _, i := range all {
		if i.Ended() {
			t.Errorf("%s ended", i.Name)
		}
	}

	// By the id, as a UUID.
	to := heir.MustStatus().PromotionOrder[0]
	id := to.ID
	c.Do("switchover", "--to", strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-"), "--instance", heir.Name)
	second := byName[to.Name]
	if second == nil { // the name of the one that was asked
		t.Fatalf("no instance is %q", to.Name)
	}
	second.WaitState(admin.StateMaster, soon)
	lab.Wait(t, "the line has two", soon, func() bool { return len(second.MustStatus().PromotionOrder) == 2 })

	// Drained, it is neither in the line nor heard.
	c.Do("drain", "--instance", second.Name)
	second.WaitState(admin.StateDrained, soon)
	var third *lab.Instance
	lab.Wait(t, "another reigns", 2*soon, func() bool {
		for _, i := range c.Others(second) {
			if s, err := i.Status(); err == nil && s.Instance.State == admin.StateMaster && len(s.Peers) == 1 {
				third = i
				return true
			}
		}
		return false
	})
	c.Do("resume", "--instance", second.Name)
	lab.Wait(t, "it is back in the line", soon, func() bool { return len(third.MustStatus().PromotionOrder) == 2 })
}

// TestPositionsCache: the cache works without epochs in the pings.
func TestPositionsCache(t *testing.T) {
	t.Parallel()
	c := lab.NewPings(t, false, append(pings, "failover.cache.replicate.asynchronously=false")...)
	a, b := c.Start("a"), c.Start("b")
	var all []*lab.Instance
	inStep := func(m *lab.Instance, n int) {
		t.Helper()
		m.WaitStatus("slaves in step", 2*soon, func(s admin.Status) bool { return s.Cache != nil && len(s.Cache.InSync) == n })
	}
	all = append(all, a, b)
	for round := range 3 {
		m, _ := c.SettledLine(all...)
		inStep(m, 1)
		key := fmt.Sprintf("k%d", round)
		c.Do("cache", "put", key, "v", "--instance", m.Name)
		for _, i := range all {
			for k := range round + 1 {
				if out := c.Do("cache", "get", fmt.Sprintf("k%d", k), "--instance", i.Name); !strings.Contains(out, "v") {
					t.Errorf("round %d: %s has k%d = %q", round, i.Name, k, out)
				}
			}
		}
		if round == 1 { // planned this time
			c.Do("switchover", "--instance", m.Name)
			continue
		}
		m.KillHard()
		all = slices.DeleteFunc(all, func(i *lab.Instance) bool { return i == m })
		all[0].WaitState(admin.StateMaster, soon)
		all = append(all, c.Start(string(rune('c'+round))))
	}
}

// TestPositionsBadPeers: what is no ping is dropped and counted, and disturbs
// nobody.
func TestPositionsBadPeers(t *testing.T) {
	t.Parallel()
	good := make([]byte, 70)
	copy(good, "192.0.2.1")
	copy(good[40:], "0")
	copy(good[46:], "0123456789abcdef")
	good[65], good[69] = 2, 5
	edit := func(f func(b []byte)) []byte { b := slices.Clone(good); f(b); return b }
	bad := map[string][][]byte{
		"short":  {{}, good[:1], good[:69]},
		"length": {append(slices.Clone(good), 0), make([]byte, 1500)},
		"field": {
			make([]byte, 70),
			[]byte(strings.Repeat("x", 70)),
			edit(func(b []byte) { b[65] = 0 }),    // unknown roles
			edit(func(b []byte) { b[65] = 3 }),    //
			edit(func(b []byte) { b[66] = 0x80 }), // a negative position
			edit(func(b []byte) { b[0] = 0xff }),  // a host that is no text
			edit(func(b []byte) { b[39] = 'x' }),  // nor padded
			edit(func(b []byte) { b[40] = 'x' }),  // a port that is no number
		},
	}
	check := func(t *testing.T, i *lab.Instance) {
		t.Helper()
		i.WaitStatus("all are dropped and counted", soon, func(s admin.Status) bool {
			for cause, list := range bad {
				if s.Packets.Dropped[cause] != uint64(len(list)) {
					return false
				}
			}
			return true
		})
		if s := i.MustStatus(); s.Instance.State != admin.StateMaster || len(s.Peers) != 1 {
			t.Errorf("%s is %s with %d peers, want a master with one", i.Name, s.Instance.State, len(s.Peers))
		}
		if n := i.Count(`"level":"error"`) + i.Count("panic"); n != 0 {
			t.Errorf("%d errors logged", n)
		}
	}
	t.Run("multicast", func(t *testing.T) {
		t.Parallel()
		c := lab.NewPings(t, false, pings...)
		a := c.Start("a")
		a.WaitState(admin.StateMaster, soon)
		c.Start("b")
		a.WaitStatus("a peer", soon, func(s admin.Status) bool { return len(s.PromotionOrder) == 1 })
		conn, err := mcast.Open(mcast.Config{Group: c.Group, Port: c.Port, Interface: "lo", TTL: 1, LeavePort: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for _, list := range bad {
			for _, b := range list {
				if err := conn.Multicast(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		check(t, a)
	})
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		c := lab.NewPings(t, true, pings...)
		a := c.Run(lab.Run{Name: "a", Set: []string{fmt.Sprintf("failover.tcp.peers=127.0.0.1:%d;127.0.0.1:1", c.PingPort(1))}})
		a.WaitState(admin.StateMaster, soon)
		b := c.Run(lab.Run{Name: "b"}) // learned from pings only
		a.WaitStatus("a peer", soon, func(s admin.Status) bool { return len(s.PromotionOrder) == 1 })
		said := func(b []byte) {
			t.Helper()
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.PingPort(0)))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(b)
			_ = conn.Close()
		}
		for _, list := range bad {
			for _, b := range list {
				said(b)
			}
		}
		check(t, a)
		// Those that say nothing are closed in a second, and delay nobody.
		var silent []net.Conn
		for range 100 {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", c.PingPort(0)))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			silent = append(silent, conn)
		}
		before := a.MustStatus().Packets.Received
		a.WaitStatus("pings come all the while", soon, func(s admin.Status) bool { return s.Packets.Received >= before+3 })
		for _, conn := range silent {
			_ = conn.SetReadDeadline(time.Now().Add(soon))
			if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Fatal("a silent connection is open yet")
			}
		}
		c.SettledLine(a, b)
	})
}

// TestPositionsInClaims: in the 3.0.6 design the slave position decides who
// claims: position 1, then 2, and who has none comes last. The masters fall
// silent: after a proved death the turns are milliseconds apart, and a busy
// machine mixes them up. So it does with a short delay: who was late by one
// lets the next go first.
func TestPositionsInClaims(t *testing.T) {
	t.Parallel()
	for _, freeze := range []bool{true, false} {
		c := lab.New(t, "failover.delay=400", "failover.retries=3")
		a := c.Run(lab.Run{Name: "a"})
		c.Settled(soon)
		d := c.Run(lab.Run{Name: "d"})
		third := c.Run(lab.Run{Name: "b", Set: []string{atPosition(7)}})
		first := c.Run(lab.Run{Name: "c", Set: []string{atPosition(3)}})
		c.Settled(soon)
		want := []*lab.Instance{first, third, d}
		for n, i := range want {
			i.WaitStatus("its place in the line", soon, func(s admin.Status) bool {
				return s.Instance.State == admin.StateSlave && s.Instance.Position == n+1
			})
		}
		// All copies are complete, or the position would not be what decides.
		a.WaitStatus("all heard, and in step", soon, func(s admin.Status) bool {
			heard := 0
			for _, p := range s.Peers {
				if p.State == admin.StateSlave && p.Position > 0 {
					heard++
				}
			}
			return heard == 3 && s.Cache != nil && len(s.Cache.InSync) == 3
		})
		// Nobody claims before it has listened for a lease, whatever its position.
		lab.Never(t, "a promotion while the master lives", time.Second, func() bool { return c.Promotions() > 1 })
		for master := a; len(want) > 1; {
			if freeze {
				master.Signal(syscall.SIGSTOP)
			} else {
				c.Do("switchover", "--instance", master.Name)
				c.Do("drain", "--instance", master.Name)
			}
			next := want[0]
			next.WaitState(admin.StateMaster, soon)
			if freeze {
				c.Settled(soon, want...)
			}
			for _, i := range want[1:] {
				if n := i.Count("Promoted to Master node"); n != 0 {
					t.Errorf("freeze %v: %s was promoted before %s", freeze, i.Name, next.Name)
				}
			}
			master, want = next, want[1:]
			if len(want) > 0 {
				master.WaitStatus("the others in step", soon, func(s admin.Status) bool { return len(s.Cache.InSync) >= len(want) })
			}
		}
	}
}

// TestPositionsFiles: the files of a Java installation work as they are.
func TestPositionsFiles(t *testing.T) {
	t.Parallel()
	c := lab.NewPings(t, false)
	xml, err := os.ReadFile("../../config/testdata/seed-ehcache.xml")
	if err != nil {
		t.Fatal(err)
	}
	start := func(name, set string) *lab.Instance {
		dir := filepath.Join(c.Dir, "files-"+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{
			"bootstrap.properties": fmt.Sprintf(`# of a Java instance
adapterConfigUrl.1=file://localhost/./config/adapter.xml
managementComponents=jetty:jmx
webServerConfigUrl=./config/jetty.xml
loggingConfigUrl=file:///${adapter.dir}/config/log4j2.xml
failover.multicast.group=%v
failover.multicast.port=%d
failover.ping.interval.seconds=1
failover.instance.timeout.seconds=3
%s
`, c.Group, c.Port, set),
			"adp-profiler.properties": "com.adaptris.profiler.plugin.factory=com.adaptris.failover.plugin.FailoverInterlokPluginFactory\n",
			"ehcache.xml":             string(xml),
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, "bootstrap.properties")
		if out := c.Do("config", "check", file); !strings.HasSuffix(out, ": good\n") {
			t.Errorf("config check:\n%s", out)
		}
		return c.Run(lab.Run{Name: name, Program: []string{lab.Binary(), "run", file}})
	}
	a := start("a", "failover.slave.position=1")
	b := start("b", "failover.secondary.position=2")
	m, line := c.SettledLine(a, b)
	if m != a || line[0] != b {
		t.Errorf("%s reigns, want a", m.Name)
	}
	m.WaitStatus("the slave's cache is in step", 2*soon, func(s admin.Status) bool { return len(s.Cache.InSync) == 1 })
	c.Do("cache", "put", "k", "v", "--instance", "a")
	if out := c.Do("cache", "get", "k", "--instance", "b"); !strings.Contains(out, "v") {
		t.Errorf("b has %q", out)
	}
	if out := c.Do("cache", "stats", "--instance", "a", "-o", "json"); !strings.Contains(out, `"maxEntries": 10`) || !strings.Contains(out, `"synchronous": true`) {
		t.Errorf("the cache is not that of ehcache.xml:\n%s", out)
	}
}

// TestPositionsFreeze freezes a master: its command is dead before the next
// one's starts, and thawed it is a slave.
func TestPositionsFreeze(t *testing.T) {
	t.Parallel()
	c := lab.NewPings(t, false, pings...)
	beats := func(name string) string { return filepath.Join(c.Dir, name+".beats") }
	start := func(name string) *lab.Instance {
		return c.Run(lab.Run{Name: name, Command: []string{"sh", "-c", "while :; do date +%s%N >>" + beats(name) + "; sleep 0.02; done"}})
	}
	read := func(name string) (all []int64) {
		b, _ := os.ReadFile(beats(name))
		for line := range strings.Lines(string(b)) {
			var at int64
			if _, err := fmt.Sscanf(line, "%d\n", &at); err == nil {
				all = append(all, at)
			}
		}
		return all
	}
	all := []*lab.Instance{start("a"), start("b"), start("c")}
	m, line := c.SettledLine(all...)
	lab.Wait(t, "the command works", soon, func() bool { return len(read(m.Name)) > 0 })
	m.Signal(syscall.SIGSTOP)
	next := line[0]
	next.WaitState(admin.StateMaster, 2*soon)
	lab.Wait(t, "the next one's command works", soon, func() bool { return len(read(next.Name)) > 0 })
	old, begun := read(m.Name), read(next.Name)[0]
	if late := time.Duration(old[len(old)-1] - begun); late >= 0 {
		t.Errorf("the frozen master's command worked %v into the next one's", late)
	}
	m.Signal(syscall.SIGCONT)
	master, now := c.SettledLine(all...)
	if master != next || len(now) != 2 {
		t.Errorf("%s reigns, want %s", master.Name, next.Name)
	}
	if n := len(read(m.Name)); n != len(old) {
		t.Errorf("its command worked again, %d times", n-len(old))
	}
	m.WaitStatus("its command is stopped", soon, func(s admin.Status) bool { return s.Workload.State == "stopped" })
}
