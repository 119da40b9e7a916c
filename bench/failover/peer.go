//go:build linux

package main

import "time"

// peer is one of those that are compared.
type peer interface {
	// missing says what is not installed, or "".
	missing() string
	// version is what is measured, for the table.
	version() string
	// start starts the nodes.
	start(c *cluster) error
	// ready reports whether all nodes know each other, where that can be asked.
	ready(c *cluster) bool
	// holders are the processes on a node that hold the role; the first is who
	// gets SIGTERM.
	holders(c *cluster, node int) []int
}

// beater is a peer that can be asked when a node's last heartbeat was.
type beater interface {
	beat(c *cluster, node int) (at time.Duration, ok bool)
}

// contender is a peer with settings.
type contender struct {
	name     string // with its settings
	slug     string
	settings string
	// interval is between two of its heartbeats: the fault comes at any moment
	// of it.
	interval time.Duration
	// quick contenders are in the short run.
	quick bool
	ours  bool
	how   string // what acts, and when it begins
	peer  peer
}

func contenders() []contender {
	list := []contender{
		{name: "interlok-ha", slug: "interlok-ha-1s-5", interval: time.Second, ours: true, settings: "1 s × 5, the defaults",
			peer: interlok{delay: time.Second, retries: 5}},
		{name: "interlok-ha", slug: "interlok-ha-1s-3", interval: time.Second, ours: true, settings: "1 s × 3",
			peer: interlok{delay: time.Second, retries: 3}},
		{name: "interlok-ha", slug: "interlok-ha-100ms-5", interval: 100 * time.Millisecond, ours: true, quick: true, settings: "0.1 s × 5",
			peer: interlok{delay: 100 * time.Millisecond, retries: 5}},
		{name: "interlok-ha as a library", slug: "library-1s-5", interval: time.Second, ours: true, settings: "1 s × 5, the defaults",
			peer: interlok{delay: time.Second, retries: 5, library: true}},
		{name: "interlok-ha as a library", slug: "library-1s-3", interval: time.Second, ours: true, settings: "1 s × 3",
			peer: interlok{delay: time.Second, retries: 3, library: true}},
		{name: "interlok-ha as a library", slug: "library-100ms-5", interval: 100 * time.Millisecond, ours: true, settings: "0.1 s × 5",
			peer: interlok{delay: 100 * time.Millisecond, retries: 5, library: true}},
		{name: "keepalived", slug: "keepalived-1s-5", interval: time.Second, settings: "1 s × 5",
			peer: keepalived{advert: time.Second, misses: 5}},
		{name: "keepalived", slug: "keepalived-1s-3", interval: time.Second, settings: "1 s × 3, the defaults",
			peer: keepalived{advert: time.Second, misses: 3}},
		{name: "keepalived", slug: "keepalived-100ms-5", interval: 100 * time.Millisecond, quick: true, settings: "0.1 s × 5",
			peer: keepalived{advert: 100 * time.Millisecond, misses: 5}},
		{name: "hashicorp/raft", slug: "raft-1s", interval: 100 * time.Millisecond, settings: "heartbeat timeout 1 s, the default",
			peer: raftPeer{timeout: time.Second}},
		{name: "hashicorp/raft", slug: "raft-300ms", interval: 30 * time.Millisecond, quick: true, settings: "heartbeat timeout 0.3 s",
			peer: raftPeer{timeout: 300 * time.Millisecond}},
		{name: "Redis Sentinel", slug: "redis-1s", interval: time.Second, quick: true, settings: "down after 1 s",
			peer: redis{downAfter: time.Second}},
		{name: "etcd election", slug: "etcd-1s", interval: 300 * time.Millisecond, quick: true, settings: "TTL 1 s",
			peer: etcd{ttl: time.Second}},
	}
	for i := range list {
		list[i].how = hows[list[i].name]
	}
	return list
}

// hows say what acts for whom.
var hows = map[string]string{
	"interlok-ha":              "the command that `interlok-ha run` starts; so the start of a process is in its times.",
	"interlok-ha as a library": "a Go function, as with raft and etcd; nothing has to be started. Frozen, it goes on acting when it wakes until it is scheduled and told: there only the token helps.",
	"keepalived":               "VRRPv3, priorities 250, 240 and 230, which make the skew short. A process that is there already, and reads the notify FIFO: it is told in order, and nothing has to be started. keepalived does not end what acts for it when it is killed or frozen.",
	"Redis Sentinel":           "a client on each node, from when its server takes a write. Three servers and three Sentinels, quorum 2, no writes to disk, no least number of replicas. Redis hands nothing over when it is told to stop. Down after 30 s would be the default.",
	"etcd election":            "a program that acts from when Campaign returns until its session is done; it knows all three members, one on each node. Crash, stop and freeze hit that program, not the members. The server makes 2 s of a TTL of 1 s; 60 s would be the default.",
	"hashicorp/raft":           "a program that acts while LeaderCh says true; log in memory. Told to stop, it hands the leadership over.",
}
