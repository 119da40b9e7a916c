package listen

import (
	"errors"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

// Cause is why a packet was dropped.
type Cause uint8

// The causes, in the order of [Service.Stats].
const (
	Short     Cause = iota // ends before its fields do
	Magic                  // of another protocol
	Version                // of a version that this process does not know
	Length                 // cut, or longer than a packet may be
	Cluster                // of another cluster; nothing to worry about
	Unsigned               // not signed, though this cluster has a key
	Key                    // signed with a key that this instance does not have
	Forged                 // the signature does not match
	Field                  // a field has a value it cannot have
	Own                    // sent by this instance
	Duplicate              // not newer than the last one of its instance: came twice, too late, or is a replay
	Flood                  // one source has too many new instances
	Rule                   // refused by Config.Drop
	Overflow               // pushed out of the full buffer by a newer one
	causes
)

var causeNames = [causes]string{
	"short", "magic", "version", "length", "cluster", "unsigned", "key", "forged",
	"field", "own", "duplicate", "flood", "rule", "overflow",
}

// warnings are for what somebody should know of: a wrong key or version keeps
// an instance out of its cluster, a forgery has an author.
var warnings = [causes]string{
	Version:  "Dropped a heartbeat of an unknown version; do all instances run the same release?",
	Unsigned: "Dropped a heartbeat that is not signed; does its sender have failover.key?",
	Key:      "Dropped a heartbeat signed with a key that this instance does not have; compare failover.key",
	Forged:   "Dropped a heartbeat whose signature does not match; it was damaged or forged",
}

// String is the cause's word in logs and metrics.
func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return "unknown"
}

// Causes is all causes, in the order of [Service.Stats].
func Causes() []Cause {
	all := make([]Cause, causes)
	for i := range all {
		all[i] = Cause(i)
	}
	return all
}

func causeOf(err error) Cause {
	switch {
	case errors.Is(err, heartbeat.ErrShort):
		return Short
	case errors.Is(err, heartbeat.ErrMagic):
		return Magic
	case errors.Is(err, heartbeat.ErrVersion):
		return Version
	case errors.Is(err, heartbeat.ErrLength):
		return Length
	case errors.Is(err, heartbeat.ErrCluster):
		return Cluster
	case errors.Is(err, heartbeat.ErrUnsigned):
		return Unsigned
	case errors.Is(err, heartbeat.ErrKey):
		return Key
	case errors.Is(err, heartbeat.ErrForged):
		return Forged
	}
	return Field
}

// Count is how many packets were dropped for one cause.
type Count struct {
	Cause string
	N     uint64
}

// Stats counts the packets dropped since the start, all causes in fixed order.
func (s *Service) Stats() []Count {
	counts := make([]Count, causes)
	for i := range counts {
		counts[i] = Count{causeNames[i], s.counts[i].Load()}
	}
	return counts
}
