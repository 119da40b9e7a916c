package admin

import (
	"fmt"
	"time"
)

// Schema is the version of Status. It grows only if a field had to change its
// meaning.
const Schema = 1

// The two roles.
const (
	RoleMaster = "master"
	RoleSlave  = "slave"
)

// The states, finer than the roles.
const (
	StateListening   = "listening"
	StateSlave       = "slave"
	StateClaiming    = "claiming"
	StateMaster      = "master"
	StateDraining    = "draining"
	StateDrained     = "drained"
	StateMaintenance = "maintenance"
	StateFault       = "fault"
)

// Status is what one instance knows at one moment.
type Status struct {
	Schema   int      `json:"schema"`
	Cluster  string   `json:"cluster"`
	Instance Instance `json:"instance"`
	// Master is nil when none is known.
	Master *Master `json:"master"`
	// Peers are the other instances heard lately, in no promised order.
	Peers []Peer `json:"peers"`
	// Cache is nil when the instance keeps none.
	Cache    *Cache   `json:"cache"`
	Settings Settings `json:"settings"`

	// PromotionOrder is the line of slaves, who is promoted first before the
	// others; only in the 3.3 design.
	PromotionOrder []Place `json:"promotionOrder,omitempty"`
	// Workload is nil when the instance runs no command.
	Workload *Workload `json:"workload,omitempty"`
	// Packets counts heartbeats since the start.
	Packets *Packets `json:"packets,omitempty"`
	// Alarms are sentences about what is wrong now; none in good health.
	Alarms []string `json:"alarms,omitempty"`
}

// Instance is the instance that was asked.
type Instance struct {
	Name string `json:"name"`
	// ID is 32 hexadecimal digits, drawn anew at each start.
	ID    string `json:"id"`
	Role  string `json:"role"`
	State string `json:"state"`
	// Position is the place in the line of claims, 1 is promoted next; 0 is the
	// master, or nobody's place yet.
	Position int    `json:"position"`
	Epoch    uint64 `json:"epoch"`
	// Since is when the present role began.
	Since Time `json:"since"`

	PID     int    `json:"pid,omitempty"`
	Version string `json:"version,omitempty"`
	// Candidate is false for a witness or a mirror. Barred says why this instance may not
	// become master, while it may not.
	Candidate *bool  `json:"candidate,omitempty"`
	Barred    string `json:"barred,omitempty"`
	// MaintenanceUntil is set while nobody may claim.
	MaintenanceUntil *Time `json:"maintenanceUntil,omitempty"`
}

// Master is the master that the instance follows, or is.
type Master struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Epoch uint64 `json:"epoch"`
	// LastContactMs is milliseconds since its last heartbeat; 0 for oneself.
	LastContactMs int64  `json:"lastContactMs"`
	Address       string `json:"address,omitempty"`
}

// Peer is another instance.
type Peer struct {
	Name          string `json:"name"`
	ID            string `json:"id"`
	Role          string `json:"role"`
	Position      int    `json:"position"`
	Epoch         uint64 `json:"epoch"`
	LastContactMs int64  `json:"lastContactMs"`
	// Address is where its packets come from, host:port.
	Address string `json:"address"`
	// CacheSeq is how far it has the cache's log.
	CacheSeq uint64 `json:"cacheSeq"`

	// State is the peer's finer state, as its heartbeats tell it.
	State string `json:"state,omitempty"`
	// Candidate is false for a witness or a mirror. Barred says why the peer may not become
	// master, as far as its heartbeats tell.
	Candidate *bool  `json:"candidate,omitempty"`
	Barred    string `json:"barred,omitempty"`
}

// Place is one slave's place in the line.
type Place struct {
	Position int    `json:"position"`
	Name     string `json:"name"`
	ID       string `json:"id"`
}

// Cache is the state of FAILOVER_CACHE.
type Cache struct {
	Name     string `json:"name"`
	Entries  int    `json:"entries"`
	InFlight int    `json:"inFlight"`
	Seq      uint64 `json:"seq"`
	// InSync names the slaves that hold all of it.
	InSync []string `json:"inSync"`
	// Copy is set on a slave, which knows of no other slave.
	Copy *CacheCopy `json:"copy,omitempty"`
}

// Settings are the ones all instances of a cluster should share.
type Settings struct {
	// Design is "3.0.6" or "3.3".
	Design string `json:"design"`
	// DelayMs is the time between two heartbeats, or pings in the 3.3 design,
	// which has TimeoutMs in place of Retries: the silence after which an
	// instance is gone.
	DelayMs       int64 `json:"delayMs"`
	Retries       int   `json:"retries"`
	TimeoutMs     int64 `json:"timeoutMs,omitempty"`
	Quorum        int   `json:"quorum"`
	Authenticated bool  `json:"authenticated"`
}

// Workload is the command that runs only on the master.
type Workload struct {
	Command []string `json:"command"`
	// State is "stopped", "running", "stopping" or "waiting" (for a restart).
	State    string `json:"state"`
	PID      int    `json:"pid,omitempty"`
	Restarts int    `json:"restarts"`
}

// Packets counts heartbeats.
type Packets struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	// Dropped counts what was received and not believed, by cause.
	Dropped map[string]uint64 `json:"dropped"`
}

// complete fills what must not be null in the JSON.
func (s Status) complete() Status {
	if s.Schema == 0 {
		s.Schema = Schema
	}
	if s.Peers == nil {
		s.Peers = []Peer{}
	}
	if s.Cache != nil && s.Cache.InSync == nil {
		c := *s.Cache
		c.InSync = []string{}
		s.Cache = &c
	}
	if s.Packets != nil && s.Packets.Dropped == nil {
		p := *s.Packets
		p.Dropped = map[string]uint64{}
		s.Packets = &p
	}
	return s
}

// Time is a moment as the API writes it: RFC 3339, UTC, milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// String is the moment as the API writes it.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalJSON writes the moment in UTC with exactly three decimals.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.String() + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 moment; null leaves t alone.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	got, err := time.Parse(`"`+time.RFC3339+`"`, string(b))
	if err != nil {
		return fmt.Errorf("read a time: %w", err)
	}
	t.Time = got.UTC()
	return nil
}
