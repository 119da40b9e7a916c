package node

import (
	"maps"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync/atomic"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
	"github.com/interlok-ha/interlok-ha/election"
)

// renewals counts how often the guard was moved on.
type renewals struct {
	n     atomic.Uint64
	until atomic.Int64 // only for the manager's goroutine, which calls count
}

func (r *renewals) count(g election.Guard) {
	if was := r.until.Swap(int64(g.Until)); int64(g.Until) > was && g.Until > 0 {
		r.n.Add(1)
	}
}

// Guard is the work's, counted.
func (r *replicated) Guard(g election.Guard) {
	r.n.renewals.count(g)
	r.Work.Guard(g)
}

// tcp is the HTTP API over TCP; nil: there is none.
func (n *Node) tcp() *admin.TCP {
	a := n.s.Admin
	if a.Listen == "" {
		return nil
	}
	return &admin.TCP{Listen: a.Listen, Token: a.Token, CertFile: a.TLSCert, KeyFile: a.TLSKey, Insecure: a.Insecure, Hosts: a.Hosts}
}

var allStates = []string{
	admin.StateListening, admin.StateSlave, admin.StateClaiming, admin.StateMaster,
	admin.StateDraining, admin.StateDrained, admin.StateMaintenance, admin.StateFault,
}

// writeMetrics tells the numbers of all parts.
func (n *Node) writeMetrics(m *admin.Metrics) {
	st := n.Status()
	i := st.Instance
	m.Gauge("info", "What runs here.")
	m.Value(1, "cluster", st.Cluster, "instance", i.Name, "id", i.ID, "version", i.Version, "design", st.Settings.Design)
	m.Gauge("start_time_seconds", "When the instance started, in Unix time.")
	m.Value(float64(n.started.UnixMilli()) / 1000)
	m.Gauge("master", "1 if this instance is master.")
	m.Flag(i.Role == admin.RoleMaster)
	m.Gauge("role", "1 for the role that this instance has.")
	for _, role := range []string{admin.RoleMaster, admin.RoleSlave} {
		m.Flag(i.Role == role, "role", role)
	}
	m.Gauge("state", "1 for the state that this instance is in.")
	for _, state := range allStates {
		m.Flag(i.State == state, "state", state)
	}
	m.Gauge("role_since_seconds", "When the present role began, in Unix time.")
	m.Value(float64(i.Since.UnixMilli()) / 1000)
	m.Gauge("epoch", "Epoch of the reign that is followed, or of the own one.")
	m.Value(float64(i.Epoch))
	m.Gauge("position", "Place in the line of claims, 1 is promoted next; 0 for a master, or none.")
	m.Value(float64(i.Position))
	m.Gauge("master_known", "1 if a master is known, this instance or another.")
	m.Flag(st.Master != nil)
	m.Gauge("peers", "Other instances that were heard lately.")
	m.Value(float64(len(st.Peers)))
	alarms := len(st.Alarms)
	if !st.Settings.Authenticated { // a choice, and has a number of its own
		alarms--
	}
	m.Gauge("alarms", "Sentences about what is wrong now; status tells them. That there is no key is told by interlok_ha_authenticated.")
	m.Value(float64(alarms))
	m.Gauge("authenticated", "1 if heartbeats are signed and the cache is encrypted.")
	m.Flag(st.Settings.Authenticated)
	m.Counter("reloads_total", "How often the files of keys and token were read again, by whether all were sound.")
	m.Value(float64(n.reloads.done.Load()), "result", "done")
	m.Value(float64(n.reloads.failed.Load()), "result", "failed")
	n.writeElection(m, st)
	n.writeHeartbeats(m)
	n.writeCache(m, st)
	n.writeHooks(m)
	n.writeWorkload(m, st.Workload)
	if n.o.LogDropped != nil {
		m.Counter("log_dropped_total", "Lines of the log that could not be written, or had no room because whoever reads it stood still.")
		m.Value(float64(n.o.LogDropped()))
	}
	writeProcess(m)
}

func (n *Node) writeElection(m *admin.Metrics, st admin.Status) {
	c := n.feed.counts
	c.mu.Lock()
	promoted, demoted, events := maps.Clone(c.promoted), maps.Clone(c.demoted), maps.Clone(c.events)
	c.mu.Unlock()
	m.Counter("master_changes_total", "Reigns that began while this instance looked, by why this one claimed, or \"another\".")
	all := append(slices.Collect(maps.Values(claimCauses)), byAnother, byOther, byStart)
	labelled(m, promoted, "cause", all)
	m.Counter("demotions_total", "Reigns of this instance that ended, by cause.")
	labelled(m, demoted, "cause", append(slices.Collect(maps.Values(endCauses)), byOther))
	m.Counter("events_total", "Events of the election, by type.")
	labelled(m, events, "type", slices.Collect(maps.Keys(events)))

	m.Gauge("guard_seconds", "How long this instance may work yet, unless it is renewed; 0 for a slave.")
	left := max(0, n.manager.Guard().Until()-now())
	m.Value(left.Seconds())
	m.Counter("guard_renewals_total", "How often the permission to work was renewed.")
	m.Value(float64(n.renewals.n.Load()))
	m.Gauge("lease_seconds", "Silence after which a master counts as gone.")
	m.Value(n.s.Down().Seconds())
	if st.Master != nil {
		m.Gauge("master_last_contact_seconds", "Time since the master was heard last; 0 for oneself.")
		m.Value(float64(st.Master.LastContactMs) / 1000)
	}
}

func (n *Node) writeHeartbeats(m *admin.Metrics) {
	paths := n.broadcast.Stats()
	m.Counter("heartbeats_sent_total", "Heartbeats sent, by the way they went.")
	for _, c := range paths {
		m.Value(float64(c.Sent), "path", c.Path)
	}
	m.Counter("heartbeats_send_errors_total", "Heartbeats that the system refused to send, by the way they were to go.")
	for _, c := range paths {
		m.Value(float64(c.Errors), "path", c.Path)
	}
	m.Counter("heartbeats_received_total", "Heartbeats of others that were believed.")
	m.Value(float64(n.listen.Accepted()))
	m.Counter("heartbeats_dropped_total", "Packets that were not, by cause; \"own\" and \"duplicate\" are no alarm.")
	for _, c := range n.listen.Stats() {
		m.Value(float64(c.N), "cause", c.Cause)
	}
}

func (n *Node) writeCache(m *admin.Metrics, s admin.Status) {
	st := n.cache.Status()
	each := func(name, help string, value func(cache.NamedStatus) float64) {
		m.Gauge(name, help)
		for _, c := range st.Caches {
			m.Value(value(c), "cache", c.Spec.Name)
		}
	}
	each("cache_entries", "Entries, those in flight too.", func(c cache.NamedStatus) float64 { return float64(c.Entries) })
	each("cache_in_flight", "Entries in flight.", func(c cache.NamedStatus) float64 { return float64(c.InFlight) })
	each("cache_orphans", "Entries that only a deposed master had.", func(c cache.NamedStatus) float64 { return float64(c.Orphans) })
	each("cache_bytes", "Bytes of keys and values.", func(c cache.NamedStatus) float64 { return float64(c.Bytes) })
	m.Gauge("cache_seq", "Number of the last record of the log that is held here.")
	m.Value(float64(st.Pos.N))
	m.Gauge("cache_members", "Instances that gossip knows, this one included.")
	m.Value(float64(st.Members))
	m.Gauge("cache_ring_bytes", "Memory held for slaves that lag.")
	m.Value(float64(st.RingBytes))

	// Two instances may have one name, so the id is a label too.
	follower := func(f cache.Follower) []string { return []string{"peer", f.Name, "id", f.Instance.String()} }
	m.Gauge("replication_lag_records", "On the master: how many records a slave has not acknowledged. On a slave: how many it lacks, as of the last frame.")
	for _, f := range st.Followers {
		m.Value(float64(f.Behind), follower(f)...)
	}
	master, masterID := "", st.Following.Reign.Instance.String()
	for _, p := range s.Peers {
		if p.ID == masterID {
			master = p.Name
		}
	}
	following := !st.Master && !st.Following.Reign.Instance.IsZero()
	if following {
		m.Value(float64(st.Following.Behind), "peer", master, "id", masterID)
	}
	m.Gauge("replication_silence_seconds", "Time since a slave's last acknowledgement, or since the master's last frame.")
	for _, f := range st.Followers {
		m.Value(f.Silent.Seconds(), follower(f)...)
	}
	if following {
		m.Value(st.Following.Silent.Seconds(), "peer", master, "id", masterID)
	}
	m.Gauge("replication_in_step", "1 if synchronous puts wait for that slave, or for this one.")
	for _, f := range st.Followers {
		m.Flag(f.InStep, follower(f)...)
	}
	if following {
		m.Flag(st.Following.InStep, "peer", master, "id", masterID)
	}
	m.Gauge("replication_connected", "1 if this slave's stream from the master is open; a master has none.")
	m.Flag(following && st.Following.Connected)

	c := st.Counters
	m.Counter("replication_sent_bytes_total", "Bytes sent on the streams of the cache.")
	m.Value(float64(c.BytesSent))
	m.Counter("replication_received_bytes_total", "Bytes received on the streams of the cache.")
	m.Value(float64(c.BytesReceived))
	m.Counter("replication_snapshots_total", "Copies that were sent or fetched whole.")
	m.Value(float64(c.Snapshots))
	m.Counter("replication_resyncs_total", "Copies that differed from the master's.")
	m.Value(float64(c.Resyncs))
	m.Counter("replication_cuts_total", "Slaves that lagged too far behind.")
	m.Value(float64(c.Cuts))
	m.Counter("cache_operations_total", "What was done in the cache, by kind.")
	for _, v := range []struct {
		kind string
		n    uint64
	}{{"put", c.Puts}, {"remove", c.Removes}, {"evict", c.Evictions}, {"expire", c.Expirations}, {"hit", c.Hits}, {"miss", c.Misses}} {
		m.Value(float64(v.n), "operation", v.kind)
	}
	m.Counter("cache_refused_total", "Streams and packets of gossip that were refused, by cause.")
	for _, v := range []struct {
		cause string
		n     uint64
	}{{"key", c.RefusedKey}, {"cluster", c.RefusedCluster}, {"malformed", c.RefusedMalformed}, {"too-large", c.RefusedTooLarge},
		{"slow", c.RefusedSlow}, {"busy", c.RefusedBusy}, {"gossip", c.RefusedGossip}} {
		m.Value(float64(v.n), "cause", v.cause)
	}
}

func (n *Node) writeHooks(m *admin.Metrics) {
	s := n.profiler.Stats()
	m.Gauge("hooks_open", "Messages whose workflow has begun here and not ended.")
	m.Value(float64(s.Open))
	for _, v := range []struct {
		name, help string
		n          uint64
	}{
		{"hooks_events_total", "Events of hooks that were handed to plugins.", s.Events},
		{"hooks_dropped_total", "Events of hooks that a plugin did not hear, for want of room.", s.Dropped},
		{"hooks_late_total", "Steps of messages that had ended.", s.Late},
		{"hooks_untold_total", "Messages that were not told of: too many in flight, or no room for their start.", s.Untold},
		{"hooks_repeated_total", "Workflows that began with the id of a message in flight.", s.Repeated},
		{"hooks_plugin_panics_total", "Panics of plugins.", s.Panics},
		{"hooks_plugin_stuck_total", "Times that a plugin was found stuck.", s.Stuck},
	} {
		m.Counter(v.name, v.help)
		m.Value(float64(v.n))
	}
	_, _ = n.metrics.WriteTo(m) // a Metrics takes all
}

func (n *Node) writeWorkload(m *admin.Metrics, w *admin.Workload) {
	if w == nil {
		w = &admin.Workload{State: "stopped"}
	}
	m.Gauge("command_running", "1 while the command, or the work of a library, runs.")
	m.Flag(w.State == "running")
	m.Counter("command_restarts_total", "How often the command, or the work of a library, was started again after it had ended by itself.")
	m.Value(float64(w.Restarts))
}

// writeProcess tells of the process what grows if something leaks.
func writeProcess(m *admin.Metrics) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	m.Gauge("process_memory_bytes", "Memory that the Go runtime has from the system.")
	m.Value(float64(samples[0].Value.Uint64()))
	m.Gauge("process_heap_bytes", "Memory of objects, those that wait to be collected too.")
	m.Value(float64(samples[1].Value.Uint64()))
	m.Gauge("process_goroutines", "Goroutines.")
	m.Value(float64(runtime.NumGoroutine()))
}

// labelled writes a counter for each word; those never counted are 0, so that
// the first one is seen as a change.
func labelled(m *admin.Metrics, values map[string]uint64, label string, words []string) {
	slices.Sort(words)
	for _, word := range slices.Compact(words) {
		m.Value(float64(values[word]), label, word)
	}
}
