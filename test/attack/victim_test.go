//go:build linux

package attack

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/heartbeat"
	"github.com/interlok-ha/interlok-ha/test/lab"
)

const (
	soon     = 20 * time.Second // for what has to come, on a busy machine
	growth   = 32 << 20         // bytes that an attacker may make an instance grow by
	token    = "0123456789abcdef0123456789abcdef"
	newToken = "fedcba9876543210fedcba9876543210"
)

// site is a kind of cluster.
type site string

const (
	keyed   site = "with a key"
	open    site = "without a key"
	api     site = "HTTP API"
	apiAuth site = "HTTP API, who may"
	apiSlow site = "HTTP API, slowly" // its row takes seconds, and little of the machine
)

// http reports whether the API is struck, and heartbeats are counted.
func (s site) http() bool { return s == api || s == apiAuth || s == apiSlow }

var (
	ownKey      = heartbeat.Key{1}
	oldKey      = ownKey // once changeKey is done
	newKey      = heartbeat.Key{2}
	strangerKey = heartbeat.Key{3}
)

// victim is a cluster of two with a command, and an API over TCP at each.
type victim struct {
	c             *lab.Cluster
	set           []string
	delay         time.Duration
	master, slave *lab.Instance
	wire          *lab.Wire
	keyFile       string
	tokenFile     string
	recorded      string // id of the master that restartAll ended
	client        *http.Client
}

func newVictim(t *testing.T, s site) *victim {
	t.Helper()
	v := &victim{
		delay:  100 * time.Millisecond,
		client: &http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	v.set = lab.Fast
	if s.http() { // its heartbeats are counted: they should not come late by chance
		v.delay, v.set = 500*time.Millisecond, []string{"failover.delay=500", "failover.retries=4"}
	}
	v.c = lab.New(t, v.set...)
	v.keyFile = filepath.Join(v.c.Dir, "key")
	v.tokenFile = filepath.Join(v.c.Dir, "token")
	write(t, v.tokenFile, token)
	v.set = []string{"failover.admin.listen=127.0.0.1:0", "failover.admin.token.file=" + v.tokenFile}
	var keys []heartbeat.Key
	if s != open {
		keys = []heartbeat.Key{ownKey, newKey}
		writeKeys(t, v.keyFile, ownKey)
		v.set = append(v.set, "failover.key.file="+v.keyFile)
	}
	v.wire = v.c.Wire(keys...)
	v.start("a", "b")
	return v
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeKeys(t *testing.T, name string, keys ...heartbeat.Key) {
	t.Helper()
	var list []string
	for _, k := range keys {
		list = append(list, base64.StdEncoding.EncodeToString(k[:]))
	}
	write(t, name, strings.Join(list, "\n"))
}

// start starts instances, the first of which becomes master, and waits until
// both hear each other and a command runs.
func (v *victim) start(master, slave string) {
	had := len(v.c.Spans())
	run := func(name string) *lab.Instance {
		return v.c.Run(lab.Run{Name: name, Set: v.set, Command: v.c.Worker()})
	}
	v.master = run(master)
	v.master.WaitState(admin.StateMaster, soon)
	v.slave = run(slave)
	v.c.Settled(soon, v.master, v.slave)
	v.master.WaitStatus("a peer", soon, func(s admin.Status) bool { return len(s.Peers) > 0 })
	v.c.WaitSpans(had + 1)
}

// url is where an instance's API is.
func (v *victim) url(i *lab.Instance) string {
	line := i.WaitLog("The HTTP API listens", 1, soon)
	var said struct{ URL string }
	if err := json.Unmarshal([]byte(line.Raw), &said); err != nil {
		panic(err) // the lab read the same line as JSON
	}
	return said.URL
}

// address is host and port of the master's API.
func (v *victim) address() string { return strings.TrimPrefix(v.url(v.master), "http://") }

// metrics are the samples of an instance, and under each name without labels
// their sum. A flood of connections may keep a caller waiting, no more.
func (v *victim) metrics(t *testing.T, i *lab.Instance) map[string]float64 {
	t.Helper()
	resp, err := v.client.Get(v.url(i) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /metrics: %d, %v", resp.StatusCode, err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 || line[0] == '#' {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(line[cut+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name, _, labelled := strings.Cut(line[:cut], "{")
		all[line[:cut]] = n
		if labelled {
			all[name] += n
		}
	}
	return all
}

// suffers strikes, and looks at what came of it.
func (v *victim) suffers(t *testing.T, a attacker) {
	if a.prepare != nil {
		a.prepare(t, v)
	}
	both := []*lab.Instance{v.master, v.slave}
	promotions, commands := v.c.Promotions(), len(v.c.WaitSpans(1))
	was := v.master.MustStatus()
	before := v.metrics(t, v.master)
	rss := map[*lab.Instance]int{}
	for _, i := range both {
		rss[i] = lab.RSS(i.PID)
	}
	beats := v.listen()
	defer beats.end()
	began := time.Now()
	sent := a.strike(t, v)
	for a.at.http() && !t.Failed() && time.Since(began) < 2*v.delay { // long enough for heartbeats to be missed
		sent += a.strike(t, v)
	}
	if t.Failed() {
		return
	}
	if a.shows != "" {
		least := max(1, float64(sent)/2)
		var grown float64
		lab.Wait(t, a.shows+" shows it", soon, func() bool {
			grown = v.metrics(t, v.master)[a.shows] - before[a.shows]
			return grown >= least
		})
		t.Logf("struck %d times; %s grew by %v", sent, a.shows, grown)
	}
	for _, i := range both {
		if i.Ended() {
			t.Fatalf("%s has ended", i.Name)
		}
		if grown := lab.RSS(i.PID) - rss[i]; grown > growth {
			t.Errorf("%s grew by %d MiB", i.Name, grown>>20)
		} else {
			t.Logf("%s grew by %d KiB", i.Name, grown>>10)
		}
	}
	if now := v.c.Settled(soon, both...); now != v.master {
		t.Errorf("%s is master, not %s", now.Name, v.master.Name)
	}
	if n := v.c.Promotions(); n != promotions {
		t.Errorf("%d promotions, %d before", n, promotions)
	}
	now := v.master.MustStatus()
	if now.Instance.Epoch != was.Instance.Epoch && !a.raises || now.Instance.Epoch < was.Instance.Epoch {
		t.Errorf("epoch %d, %d before", now.Instance.Epoch, was.Instance.Epoch)
	}
	if a.raises { // a new token is told by a new start of the command
		v.c.WaitSpans(commands + 1)
		v.master.WaitStatus("a command", soon, func(s admin.Status) bool { return s.Workload != nil && s.Workload.State == "running" })
	} else if spans := v.c.Spans(); len(spans) != commands || spans[len(spans)-1].Ended {
		t.Errorf("the command did not live through it: %+v", spans)
	}
	if a.at.http() {
		beats.whole(t)
	}
}
