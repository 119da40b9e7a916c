package admin

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/interlok-ha/interlok-ha/mirror"
	"github.com/interlok-ha/interlok-ha/profiler"
)

// DefaultCache is the cache that is meant where none is named, if it is there.
const DefaultCache = "FAILOVER_CACHE"

// Caches are the named caches behind the API. All methods may be called from
// several goroutines at once; an *Error says which status the answer has.
type Caches interface {
	// Stats tells what is kept here and how complete it is. It does not block.
	Stats() CacheStats
	// List returns entries by key. KindUnknown: no such cache.
	List(cache string, q CacheQuery) ([]CacheEntry, error)
	// Get returns one entry and its value, or the newest orphan of that key.
	// KindUnknown: no such cache or key.
	Get(cache, key string, orphan bool) (CacheEntry, []byte, error)
	// Watch calls each with what changes from now on, until ctx ends, each is
	// false, the reader is too slow or the instance stops; then it returns.
	Watch(ctx context.Context, cache string, each func([]CacheChange) bool) error
	// Put writes an entry; pinned if it is in flight. KindNotMaster, KindTooLarge,
	// KindFull: still no room when ctx ended; KindTimeout.
	Put(ctx context.Context, cache, key string, value []byte, inFlight bool) error
	// Remove removes an entry. KindNotMaster; KindUnknown: no such cache or key.
	Remove(ctx context.Context, cache, key string) error
	// DropOrphans forgets the orphans of a key, with the same errors.
	DropOrphans(ctx context.Context, cache, key string) error
}

// CacheQuery chooses entries.
type CacheQuery struct {
	After    string // only keys behind this one
	Limit    int    // at most so many, and then the rest of the last one's key
	State    string // only entries of this state; empty: of any
	Workflow string // only messages of this workflow; empty: of any
	Orphans  bool   // what deposed masters left, instead of the entries
}

// Fits says whether an entry is asked for by its state and workflow.
func (q CacheQuery) Fits(e *CacheEntry) bool {
	return (q.State == "" || e.State == q.State) && (q.Workflow == "" || e.Workflow == q.Workflow)
}

// CacheStats is what an instance keeps, and how complete it is.
type CacheStats struct {
	Instance string `json:"instance"`
	// Role is that in the cache: a master writes.
	Role string `json:"role"`
	// Epoch and Seq are the position in the log.
	Epoch   uint64 `json:"epoch"`
	Seq     uint64 `json:"seq"`
	Address string `json:"address"`
	// Members is how many instances gossip knows, this one included.
	Members int `json:"members"`
	// RingBytes is the memory held for slaves that lag.
	RingBytes int64        `json:"ringBytes"`
	Caches    []NamedCache `json:"caches"`
	// Copy is nil on the master.
	Copy *CacheCopy `json:"copy"`
	// Slaves are the streams to them; none on a slave.
	Slaves []CacheSlave `json:"slaves"`
	// Counters only grow while the instance lives.
	Counters map[string]uint64 `json:"counters"`
}

// Named finds a cache by its name; an empty one means the default. The error
// is of KindUnknown.
func (s CacheStats) Named(name string) (NamedCache, error) {
	if len(s.Caches) == 0 {
		return NamedCache{}, noCache()
	}
	want := name
	if want == "" {
		want = DefaultCache
	}
	names := make([]string, len(s.Caches))
	for i, c := range s.Caches {
		if c.Name == want {
			return c, nil
		}
		names[i] = c.Name
	}
	if name == "" {
		return s.Caches[0], nil
	}
	return NamedCache{}, &Error{Kind: KindUnknown, Detail: fmt.Sprintf("no cache is named %q", name), Mend: "here are: " + strings.Join(names, ", ")}
}

func noCache() error {
	return &Error{Kind: KindUnknown, Detail: "this instance keeps no cache"}
}

// NamedCache is one of the caches.
type NamedCache struct {
	Name string `json:"name"`
	// Entries counts those in flight too.
	Entries  int   `json:"entries"`
	InFlight int   `json:"inFlight"`
	Orphans  int   `json:"orphans"`
	Bytes    int64 `json:"bytes"`
	// MaxEntries bounds what is not in flight; 0: no bound.
	MaxEntries        int   `json:"maxEntries"`
	Eternal           bool  `json:"eternal"`
	TimeToIdleSeconds int64 `json:"timeToIdleSeconds"`
	TimeToLiveSeconds int64 `json:"timeToLiveSeconds"`
	Synchronous       bool  `json:"synchronous"`
}

// CacheCopy is a slave's stream from the master.
type CacheCopy struct {
	// Of is the master's name; empty when none is followed.
	Of        string `json:"of"`
	Connected bool   `json:"connected"`
	// Behind is in records, as of the last contact.
	Behind uint64 `json:"behind"`
	// LastContactMs is 0 while not connected.
	LastContactMs int64 `json:"lastContactMs"`
	// InStep: synchronous puts wait for this slave.
	InStep bool `json:"inStep"`
	// Snapshot is true while all of it is being received anew.
	Snapshot bool `json:"snapshot"`
}

// CacheSlave is the master's stream to a slave.
type CacheSlave struct {
	Name          string `json:"name"`
	ID            string `json:"id"`
	Address       string `json:"address"`
	Acked         uint64 `json:"acked"`
	Behind        uint64 `json:"behind"`
	LastContactMs int64  `json:"lastContactMs"`
	InStep        bool   `json:"inStep"`
	Snapshot      bool   `json:"snapshot"`
}

// CacheEntry is an entry without its value.
type CacheEntry struct {
	Key string `json:"key"`
	// KeyEncoding is "base64" for a key that is not UTF-8.
	KeyEncoding string `json:"keyEncoding,omitempty"`
	// Seq is the number of the record that wrote it.
	Seq   uint64 `json:"seq"`
	Size  int    `json:"size"`
	AgeMs int64  `json:"ageMs"`
	// InFlight: never evicted, never expired.
	InFlight bool `json:"inFlight"`
	// State is "in-flight", "done" or "failed"; empty for an entry that is
	// neither a message nor in flight.
	State string `json:"state"`
	// The rest of a message's state; empty for other entries.
	Workflow string `json:"workflow,omitempty"`
	Step     string `json:"step,omitempty"`
	Attempts uint32 `json:"attempts,omitempty"`
	// Started is when the last attempt began, by the clock of its instance.
	Started *Time `json:"started,omitempty"`
	// Open are the steps that have begun and of whose end nothing is known.
	Open []OpenStep `json:"open,omitempty"`
	// Published are the producers that are known to have completed. Doubt are
	// those that may have published without its being known: begun and not
	// ended, or failed. Both count all attempts.
	Published []string `json:"published,omitempty"`
	Doubt     []string `json:"doubt,omitempty"`
	// Orphan is set for what only a deposed master had.
	Orphan *Orphan `json:"orphan,omitempty"`
}

// OpenStep is a step that has begun.
type OpenStep struct {
	Step string `json:"step"`
	// Kind is as in Step.
	Kind string `json:"kind"`
	// Attempt is that of the message in which it began, from 1.
	Attempt uint32 `json:"attempt"`
}

// Orphan says where an orphan was written.
type Orphan struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	// Master is the deposed master's id, Name its name if it is known.
	Master string `json:"master"`
	Name   string `json:"name,omitempty"`
}

// DescribeEntry is what key, value and the pin say of an entry.
func DescribeEntry(key string, value []byte, inFlight bool) CacheEntry {
	e := CacheEntry{Size: len(value), InFlight: inFlight}
	e.Key, e.KeyEncoding = encodeKey(key)
	if m, err := mirror.Unmarshal(value); err == nil {
		e.State, e.Workflow, e.Step, e.Attempts = m.State.String(), m.Workflow, m.Step, m.Attempts
		e.Started = moment(m.Started)
		e.describeSteps(&m)
	}
	if inFlight {
		e.State = mirror.InFlight.String()
	}
	return e
}

func (e *CacheEntry) describeSteps(m *mirror.Message) {
	for _, s := range m.Open() {
		e.Open = append(e.Open, OpenStep{Step: s.Name, Kind: strings.ToLower(s.Kind.String()), Attempt: s.Attempt})
	}
	add := func(to *[]string, name string) {
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	for _, s := range m.Steps {
		switch {
		case !s.Publish():
		case s.Phase == profiler.Completed:
			add(&e.Published, s.Name)
		default:
			add(&e.Doubt, s.Name)
		}
	}
}

// RawKey is the key as it was put.
func (e CacheEntry) RawKey() (string, error) { return decodeKey(e.Key, e.KeyEncoding) }

// CachePage is a part of a cache, by key.
type CachePage struct {
	Cache string `json:"cache"`
	// Total, InFlight and Orphans count the whole cache, Total without orphans.
	Total    int    `json:"total"`
	InFlight int    `json:"inFlight"`
	Orphans  int    `json:"orphans"`
	Seq      uint64 `json:"seq"`
	// Copy is nil on the master.
	Copy    *CacheCopy   `json:"copy"`
	Entries []CacheEntry `json:"entries"`
	// Next is the key to go on after; empty at the end.
	Next         string `json:"next"`
	NextEncoding string `json:"nextEncoding,omitempty"`
}

// CacheItem is an entry with its value.
type CacheItem struct {
	Cache string `json:"cache"`
	CacheEntry
	Value string `json:"value"`
	// Encoding is "base64" for a value that is no printable text.
	Encoding string `json:"encoding,omitempty"`
	// Message is what the value says, if it is a message.
	Message *CacheMessage `json:"message,omitempty"`
	// Copy is nil on the master.
	Copy *CacheCopy `json:"copy"`
}

// CacheMessage is the state of a message, for people and scripts.
type CacheMessage struct {
	ID       string `json:"id"`
	Workflow string `json:"workflow"`
	Step     string `json:"step"`
	State    string `json:"state"`
	Attempts uint32 `json:"attempts"`
	// Started and Updated are nil if the writer did not say.
	Started         *Time  `json:"started"`
	Updated         *Time  `json:"updated"`
	Error           string `json:"error"`
	Payload         string `json:"payload,omitempty"`
	PayloadEncoding string `json:"payloadEncoding,omitempty"`
}

func describeItem(cache string, e CacheEntry, value []byte) CacheItem {
	i := CacheItem{Cache: cache, CacheEntry: e}
	i.Value, i.Encoding = encodeValue(value)
	if m, err := mirror.Unmarshal(value); err == nil {
		i.Message = &CacheMessage{ID: m.ID, Workflow: m.Workflow, Step: m.Step, State: m.State.String(), Attempts: m.Attempts,
			Started: moment(m.Started), Updated: moment(m.Updated), Error: m.Error}
		i.Message.Payload, i.Message.PayloadEncoding = encodeValue(m.Payload)
	}
	return i
}

// RawValue is the value as it was put.
func (i CacheItem) RawValue() ([]byte, error) {
	if i.Encoding == "" {
		return []byte(i.Value), nil
	}
	v, err := decodeKey(i.Value, i.Encoding)
	return []byte(v), err
}

// moment is nil for what is no time that people write.
func moment(ms int64) *Time {
	t := time.UnixMilli(ms).UTC()
	if ms == 0 || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &Time{t}
}

// What a change did. The list is open.
const (
	OpPut    = "put"
	OpUpdate = "update"
	OpRemove = "remove"
	OpEvict  = "evict"
	OpExpire = "expire"
	OpOrphan = "orphan" // an entry of a deposed master was kept
	OpCut    = "cut"    // the reader was too slow, or the instance stops; the stream ends
)

// CacheChange is one record of the log.
type CacheChange struct {
	// Time is when this instance told it.
	Time  Time   `json:"time"`
	Cache string `json:"cache"`
	Seq   uint64 `json:"seq"`
	Op    string `json:"op"`
	Key   string `json:"key"`
	// KeyEncoding, Size, InFlight and what follows are as in CacheEntry.
	KeyEncoding string `json:"keyEncoding,omitempty"`
	Size        int    `json:"size"`
	InFlight    bool   `json:"inFlight"`
	State       string `json:"state"`
	Workflow    string `json:"workflow,omitempty"`
	Step        string `json:"step,omitempty"`
	// Detail is for people.
	Detail string `json:"detail,omitempty"`
}

// DescribeChange is a change of one entry.
func DescribeChange(cache string, seq uint64, op, key string, value []byte, inFlight bool) CacheChange {
	e := DescribeEntry(key, value, inFlight)
	return CacheChange{Cache: cache, Seq: seq, Op: op, Key: e.Key, KeyEncoding: e.KeyEncoding, Size: e.Size,
		InFlight: e.InFlight, State: e.State, Workflow: e.Workflow, Step: e.Step}
}

const inBase64 = "base64"

// encodeKey keeps a key as text if JSON can hold it.
func encodeKey(key string) (text, encoding string) {
	if utf8.ValidString(key) {
		return key, ""
	}
	return base64.StdEncoding.EncodeToString([]byte(key)), inBase64
}

// encodeValue keeps a value as text if people can read it.
func encodeValue(v []byte) (text, encoding string) {
	if isText(v) {
		return string(v), ""
	}
	return base64.StdEncoding.EncodeToString(v), inBase64
}

func decodeKey(text, encoding string) (string, error) {
	switch encoding {
	case "":
		return text, nil
	case inBase64:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", usage(fmt.Sprintf("%q is no base64: %v", text, err), "")
		}
		return string(b), nil
	}
	return "", usage(fmt.Sprintf("the encoding %q is not known", encoding), "leave it out, or write base64")
}

// isText reports whether all of it is UTF-8 that can be printed.
func isText(v []byte) bool {
	return utf8.Valid(v) && !slices.ContainsFunc([]rune(string(v)), func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t'
	})
}
