package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/interlok-ha/interlok-ha/election"
	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// freePort is a TCP port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// numbers are the samples of /metrics, by name and labels.
func numbers(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v: %s", resp.StatusCode, err, b)
	}
	all, help, kind := map[string]float64{}, map[string]bool{}, map[string]string{}
	sample := regexp.MustCompile(`^(interlok_ha_[a-z_]+)(\{([a-z_]+="(\\.|[^"\\])*",?)+\})? (\S+)$`)
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, text, _ := strings.Cut(rest, " ")
			if help[name] || text == "" {
				t.Errorf("the family %s comes twice, or has no help", name)
			}
			help[name] = true
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, k, _ := strings.Cut(rest, " ")
			if (k == "counter") != strings.HasSuffix(name, "_total") {
				t.Errorf("%s is a %s", name, k)
			}
			kind[name] = k
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[5], 64)
		if err != nil || kind[m[1]] == "" || !help[m[1]] {
			t.Errorf("%q: %v; type %q, help %v", line, err, kind[m[1]], help[m[1]])
		}
		if _, twice := all[m[1]+m[2]]; twice {
			t.Errorf("%s%s comes twice", m[1], m[2])
		}
		all[m[1]+m[2]] = v
	}
	return all
}

// Each part tells its numbers, on the master and on the slave.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	addrA, addrB := freePort(t), freePort(t)
	const calm = "failover.retries=20" // a lease that a busy machine keeps
	wrote := make(chan struct{})
	a := c.start("a", func(ctx context.Context, m *Master) error {
		err := m.Profiler().Workflow("orders").Do(ctx, "o-1", func(ctx context.Context) error {
			close(wrote)
			<-ctx.Done()
			return nil
		})
		<-ctx.Done()
		return err
	}, calm, "failover.admin.listen="+addrA, "com.adaptris.profiler.plugin.factory=failover,metrics")
	expect(t, "a's mastership", a.masters)
	expect(t, "the workflow", wrote)
	b := c.start("b", idle, calm, "failover.admin.listen="+addrB)
	deadline := time.Now().Add(patience)
	var slave map[string]float64
	for {
		if conn, err := net.Dial("tcp", addrB); err == nil {
			_ = conn.Close()
			slave = numbers(t, addrB)
			if slave[`interlok_ha_cache_in_flight{cache="FAILOVER_CACHE"}`] == 1 && slave["interlok_ha_replication_connected"] == 1 && slave["interlok_ha_master_known"] == 1 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("b never followed: %v", slave)
		}
		time.Sleep(10 * time.Millisecond)
	}
	master := numbers(t, addrA)
	for name, want := range map[string]float64{
		"interlok_ha_master": 1, `interlok_ha_role{role="master"}`: 1, `interlok_ha_role{role="slave"}`: 0,
		`interlok_ha_state{state="master"}`: 1, `interlok_ha_state{state="listening"}`: 0, "interlok_ha_epoch": 1, "interlok_ha_peers": 1, "interlok_ha_alarms": 0,
		`interlok_ha_master_changes_total{cause="start"}`: 1, `interlok_ha_master_changes_total{cause="silence"}`: 0, `interlok_ha_master_changes_total{cause="another"}`: 0, `interlok_ha_demotions_total{cause="switchover"}`: 0,
		"interlok_ha_command_running": 1, "interlok_ha_command_restarts_total": 0, "interlok_ha_hooks_open": 1, "interlok_ha_hooks_dropped_total": 0,
		`interlok_ha_cache_in_flight{cache="FAILOVER_CACHE"}`: 1, `interlok_ha_heartbeats_dropped_total{cause="forged"}`: 0,
		"interlok_ha_lease_seconds": 2, "interlok_ha_authenticated": 0, "interlok_ha_admin_connections": 1,
	} {
		if got, ok := master[name]; !ok || got != want {
			t.Errorf("master: %s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"interlok_ha_guard_renewals_total", "interlok_ha_guard_seconds", `interlok_ha_heartbeats_sent_total{path="multicast"}`,
		"interlok_ha_heartbeats_received_total", "interlok_ha_replication_sent_bytes_total", "interlok_ha_hooks_events_total", "interlok_ha_process_goroutines", "interlok_ha_start_time_seconds"} {
		if master[name] <= 0 {
			t.Errorf("master: %s is %v", name, master[name])
		}
	}
	if left := master["interlok_ha_guard_seconds"]; left > 2 {
		t.Errorf("the guard has %v s left of a lease of 2 s", left)
	}
	for peer, told := range map[string]map[string]float64{"b": master, "a": slave} {
		lags := 0
		for name := range told {
			if strings.HasPrefix(name, `interlok_ha_replication_lag_records{peer="`+peer+`",id="`) {
				lags++
			}
		}
		if lags != 1 {
			t.Errorf("the lag between the two is told %d times by the other of %s", lags, peer)
		}
	}
	for name, want := range map[string]float64{
		"interlok_ha_master": 0, `interlok_ha_role{role="slave"}`: 1, `interlok_ha_state{state="slave"}`: 1, "interlok_ha_epoch": 1, "interlok_ha_guard_seconds": 0,
		"interlok_ha_guard_renewals_total": 0, "interlok_ha_command_running": 0, `interlok_ha_master_changes_total{cause="another"}`: 0,
	} {
		if got, ok := slave[name]; !ok || got != want {
			t.Errorf("slave: %s is %v (there: %v), want %v", name, got, ok, want)
		}
	}
	a.stop()
	if err := expect(t, "a's end", a.ended); err != nil {
		t.Fatal(err)
	}
	expect(t, "b's mastership", b.masters)
	// Named as the heir, or by a's silence if a named nobody yet.
	const heir, silence = `interlok_ha_master_changes_total{cause="resignation"}`, `interlok_ha_master_changes_total{cause="silence"}`
	for deadline = time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // the work is told first
		if n := numbers(t, addrB); n[heir]+n[silence] == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("after a resigned b tells: %v", n)
		}
	}
}

// What is counted, event by event.
func TestCounts(t *testing.T) {
	c := newCounts()
	x, y := heartbeat.InstanceID{1}, heartbeat.InstanceID{2}
	for _, e := range []election.Event{
		{Type: election.EventMaster, Peer: x, Epoch: 3}, // was there before
		{Type: election.EventMaster, Peer: x, Epoch: 3}, // a new address
		{Type: election.EventMaster},
		{Type: election.EventMaster, Peer: x, Epoch: 3}, // heard again
		{Type: election.EventMaster, Peer: y, Epoch: 4}, // one
		{Type: election.EventMaster, Peer: y, Epoch: 5}, // two
		{Type: election.EventState, State: heartbeat.StateClaiming, Detail: "the master is dead"},
		{Type: election.EventOpened, Epoch: 6},
		{Type: election.EventStopWork, Detail: "switchover"},
		{Type: election.EventLost, Detail: "the lease ran out"}, // of the same reign
		{Type: election.EventMaster, Peer: y, Epoch: 7},         // three
		{Type: election.EventOpened, Epoch: 8},
		{Type: election.EventLost, Detail: "3 votes of 9 are heard"},
		{Type: election.EventMaster, Peer: y, Epoch: 7}, // it never left: four
	} {
		c.put(e)
	}
	for what, tt := range map[string]struct {
		got  map[string]uint64
		want string
	}{
		"promoted": {c.promoted, "map[another:4 obituary:1 other:1]"},
		"demoted":  {c.demoted, "map[other:1 switchover:1]"},
		"events":   {c.events, "map[demoted:2 master:8 promoted:2 state:1 stop-work:1]"},
	} {
		if got := fmt.Sprint(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", what, got, tt.want)
		}
	}
}

// Who finds nobody at its start took nothing over from one that fell silent.
func TestCountsStart(t *testing.T) {
	silent := election.Event{Type: election.EventState, State: heartbeat.StateClaiming, Detail: "the master fell silent"}
	promoting := election.Event{Type: election.EventPromoting, Detail: "position 1, and no master is heard"}
	for _, why := range []election.Event{silent, promoting} {
		c := newCounts()
		for _, e := range []election.Event{
			why, {Type: election.EventOpened, Epoch: 1},
			{Type: election.EventMaster, Peer: heartbeat.InstanceID{1}, Epoch: 2},
			why, {Type: election.EventOpened, Epoch: 3},
		} {
			c.put(e)
		}
		if got, want := fmt.Sprint(c.promoted), "map[another:1 silence:1 start:1]"; got != want {
			t.Errorf("%s: %s, want %s", why.Detail, got, want)
		}
	}
}

// The words stand beside texts of other packages, so that nobody changes one
// without the other.
func TestCausesAreSaid(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"../election/*.go", "../election/position/*.go", "*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || name == "counts.go" {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	for _, causes := range []map[string]string{claimCauses, endCauses} {
		for text := range causes {
			if !strings.Contains(source.String(), strconv.Quote(text)) {
				t.Errorf("nobody says %q any more", text)
			}
		}
	}
}
