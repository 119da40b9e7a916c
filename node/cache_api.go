package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/interlok-ha/interlok-ha/admin"
	"github.com/interlok-ha/interlok-ha/cache"
)

// cacheAPI is the cache as the API shows it.
type cacheAPI struct {
	cache *cache.Cache
	// known tells the names of the instances and who is master.
	known func() admin.Status
}

var _ admin.Caches = cacheAPI{}

func (n *Node) cacheAPI() cacheAPI { return cacheAPI{cache: n.cache, known: n.Status} }

// status is the cache's part of the instance's status, of which the rest is
// there already.
func (a cacheAPI) status(rest admin.Status) *admin.Cache {
	st := a.cache.Status()
	if len(st.Caches) == 0 {
		return nil
	}
	c := st.Caches[0]
	for _, other := range st.Caches {
		if other.Spec.Name == admin.DefaultCache {
			c = other
		}
	}
	s := &admin.Cache{Name: c.Spec.Name, Entries: c.Entries, InFlight: c.InFlight, Seq: st.Pos.N, InSync: []string{}, Copy: copyOf(st, rest)}
	for _, f := range st.Followers {
		if f.InStep {
			s.InSync = append(s.InSync, f.Name)
		}
	}
	// A slave knows only of itself.
	if s.Copy != nil && s.Copy.Connected && !s.Copy.Snapshot && (s.Copy.InStep || s.Copy.Behind == 0) {
		s.InSync = append(s.InSync, st.Name)
	}
	return s
}

// copyOf is a slave's stream from the master; nil on the master.
func copyOf(st cache.Status, known admin.Status) *admin.CacheCopy {
	f := st.Following
	switch {
	case st.Master:
		return nil
	case f.Reign.Instance.IsZero():
		return &admin.CacheCopy{}
	}
	id := f.Reign.Instance.String()
	c := &admin.CacheCopy{
		Of: nameOf(known, id), Connected: f.Connected, Behind: f.Behind,
		LastContactMs: f.Silent.Milliseconds(), InStep: f.InStep, Snapshot: f.Snapshot,
	}
	if c.Of == "" {
		c.Of = id[:8]
	}
	return c
}

// Stats tells what is kept here and how complete it is.
func (a cacheAPI) Stats() admin.CacheStats {
	st := a.cache.Status()
	s := admin.CacheStats{
		Instance: st.Name, Role: admin.RoleSlave, Epoch: st.Pos.Epoch, Seq: st.Pos.N,
		Address: st.Addr.String(), Members: st.Members, RingBytes: st.RingBytes, Counters: counters(st.Counters),
	}
	for _, c := range st.Caches {
		s.Caches = append(s.Caches, admin.NamedCache{
			Name: c.Spec.Name, Entries: c.Entries, InFlight: c.InFlight, Orphans: c.Orphans, Bytes: c.Bytes,
			MaxEntries: c.Spec.MaxEntries, Eternal: c.Spec.Eternal, Synchronous: c.Spec.Synchronous,
			TimeToIdleSeconds: int64(c.Spec.TimeToIdle / time.Second), TimeToLiveSeconds: int64(c.Spec.TimeToLive / time.Second),
		})
	}
	for _, f := range st.Followers {
		s.Slaves = append(s.Slaves, admin.CacheSlave{
			Name: f.Name, ID: f.Instance.String(), Address: f.Addr.String(), Acked: f.Acked, Behind: f.Behind,
			LastContactMs: f.Silent.Milliseconds(), InStep: f.InStep, Snapshot: f.Snapshot,
		})
	}
	if st.Master {
		s.Role = admin.RoleMaster
	} else {
		s.Copy = copyOf(st, a.known())
	}
	return s
}

// nameOf is an instance's name by its id; "" if it is not known.
func nameOf(s admin.Status, id string) string {
	if s.Instance.ID == id {
		return s.Instance.Name
	}
	if s.Master != nil && s.Master.ID == id {
		return s.Master.Name
	}
	for _, p := range s.Peers {
		if p.ID == id {
			return p.Name
		}
	}
	return ""
}

func (a cacheAPI) named(name string) (*cache.Named, error) {
	n, err := a.cache.Named(name)
	if errors.Is(err, cache.ErrUnknown) {
		return nil, refuse(admin.KindUnknown, fmt.Sprintf("no cache is named %q", name), "here are: "+strings.Join(a.cache.Names(), ", "))
	}
	return n, err
}

// List returns entries by key.
func (a cacheAPI) List(name string, q admin.CacheQuery) ([]admin.CacheEntry, error) {
	n, err := a.named(name)
	if err != nil {
		return nil, err
	}
	l := lowest{limit: q.Limit, once: !q.Orphans}
	take := func(e *cache.Entry) bool {
		if e.Key <= q.After || !l.wants(e.Key) {
			return false
		}
		if d := admin.DescribeEntry(e.Key, e.Value, e.InFlight); q.Fits(&d) {
			d.Seq, d.AgeMs = e.N, e.Age.Milliseconds()
			if o := e.Orphan; o != nil {
				d.Orphan = &admin.Orphan{Epoch: o.Epoch, Seq: o.N, Master: e.From.String()}
			}
			l.add(e.Key, d)
		}
		return false // it is kept here, without its value
	}
	if !q.Orphans {
		n.List(q.After, 0, take)
		return l.entries(), nil
	}
	orphans := n.Orphans()
	for i := range orphans {
		take(&orphans[i])
	}
	list, known := l.entries(), a.known()
	for i := range list {
		list[i].Orphan.Name = nameOf(known, list[i].Orphan.Master)
	}
	return list, nil
}

// lowest keeps the entries of the lowest keys: at most limit, and then the rest
// of the last one's key.
type lowest struct {
	limit int
	once  bool // one entry a key: what moves while the cache is walked may come twice
	all   []keyed
	full  bool
	bound string // if full: keys above it are not wanted
}

type keyed struct {
	key string
	admin.CacheEntry
}

func (l *lowest) wants(key string) bool { return !l.full || key <= l.bound }

func (l *lowest) add(key string, e admin.CacheEntry) {
	l.all = append(l.all, keyed{key, e})
	if len(l.all) >= 2*l.limit+64 {
		l.cut()
	}
}

func (l *lowest) cut() {
	slices.SortStableFunc(l.all, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
	if l.once {
		l.all = slices.CompactFunc(l.all, func(a, b keyed) bool { return a.key == b.key })
	}
	if len(l.all) <= l.limit {
		return
	}
	l.full, l.bound = true, l.all[l.limit-1].key
	end := l.limit
	for end < len(l.all) && l.all[end].key == l.bound {
		end++
	}
	l.all = l.all[:end]
}

func (l *lowest) entries() []admin.CacheEntry {
	l.cut()
	list := make([]admin.CacheEntry, len(l.all))
	for i, e := range l.all {
		list[i] = e.CacheEntry
	}
	return list
}

// Get returns one entry and its value, or the newest orphan of that key.
func (a cacheAPI) Get(name, key string, orphan bool) (admin.CacheEntry, []byte, error) {
	n, err := a.named(name)
	if err != nil {
		return admin.CacheEntry{}, nil, err
	}
	e, ok := cache.Entry{}, false
	if orphan {
		for _, o := range n.Orphans() { // oldest first
			if o.Key == key {
				e, ok = o, true
			}
		}
	} else {
		e, ok = n.Get(key)
	}
	if !ok {
		return admin.CacheEntry{}, nil, a.missing(name, key, orphan)
	}
	d := admin.DescribeEntry(e.Key, e.Value, e.InFlight)
	d.Seq, d.AgeMs = e.N, e.Age.Milliseconds()
	if o := e.Orphan; o != nil {
		id := e.From.String()
		d.Orphan = &admin.Orphan{Epoch: o.Epoch, Seq: o.N, Master: id, Name: nameOf(a.known(), id)}
	}
	return d, e.Value, nil
}

// missing says that a key is not there, and on a slave whether it may be on its way.
func (a cacheAPI) missing(name, key string, orphan bool) error {
	what, mend := "entry", ""
	if orphan {
		what = "orphan"
	}
	switch c := a.Stats().Copy; {
	case c == nil:
	case c.Of == "" || !c.Connected:
		mend = "this is a copy that is not connected to the master"
	case c.Snapshot || c.Behind > 0:
		mend = fmt.Sprintf("this is a copy, and %d records behind that of %s", c.Behind, c.Of)
	}
	return refuse(admin.KindUnknown, fmt.Sprintf("no %s %q in %s", what, key, name), mend)
}

var opNames = map[cache.Op]string{
	cache.OpPut: admin.OpPut, cache.OpUpdate: admin.OpUpdate, cache.OpRemove: admin.OpRemove,
	cache.OpEvict: admin.OpEvict, cache.OpExpire: admin.OpExpire, cache.OpOrphan: admin.OpOrphan,
}

// Watch calls each with what changes from now on.
func (a cacheAPI) Watch(ctx context.Context, name string, each func([]admin.CacheChange) bool) error {
	if _, err := a.named(name); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err := a.cache.Watch(ctx, func(changes []cache.Change) {
		var told []admin.CacheChange
		for _, c := range changes {
			if c.Cache == name {
				told = append(told, admin.DescribeChange(name, c.N, opNames[c.Op], c.Key, c.Value, c.InFlight))
			}
		}
		if len(told) > 0 && ctx.Err() == nil && !each(told) {
			stop()
		}
	})
	switch {
	case errors.Is(err, cache.ErrLagged):
		return errors.New("the reader was too slow, or this copy was fetched anew; changes were not told")
	case errors.Is(err, cache.ErrClosed):
		return unavailable(err)
	}
	return err
}

// Put writes an entry.
func (a cacheAPI) Put(ctx context.Context, name, key string, value []byte, inFlight bool) error {
	n, err := a.named(name)
	if err != nil {
		return err
	}
	put := n.Put
	if inFlight {
		put = n.PutInFlight
	}
	return a.wrote(put(ctx, key, value))
}

// Remove removes an entry. One that is not there is removed too, before that is
// said: the removal that took it may not have reached the slaves.
func (a cacheAPI) Remove(ctx context.Context, name, key string) error {
	n, err := a.named(name)
	if err != nil {
		return err
	}
	_, there := n.Get(key)
	if err := n.Remove(ctx, key); err != nil {
		return a.wrote(err)
	}
	if !there {
		return a.missing(name, key, false)
	}
	return nil
}

// DropOrphans forgets the orphans of a key; of one that has none, as Remove does.
func (a cacheAPI) DropOrphans(ctx context.Context, name, key string) error {
	n, err := a.named(name)
	if err != nil {
		return err
	}
	there := slices.ContainsFunc(n.Orphans(), func(e cache.Entry) bool { return e.Key == key })
	if err := n.DropOrphan(ctx, key); err != nil {
		return a.wrote(err)
	}
	if !there {
		return a.missing(name, key, true)
	}
	return nil
}

// wrote is a failed write as the API tells it.
func (a cacheAPI) wrote(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cache.ErrOutcome):
		return &admin.Error{Kind: admin.KindNotMaster, Detail: "mastership ended while it waited for the slaves; it may be there all the same",
			Mend: "look for it on the new master: interlok-ha cache get, cache ls --orphans", Err: err}
	case errors.Is(err, cache.ErrNotMaster):
		st := a.known()
		if m := st.Master; m != nil && m.ID != st.Instance.ID {
			return &admin.Error{Kind: admin.KindNotMaster, Detail: fmt.Sprintf("master is %s on %s: run it there", m.Name, m.Address), Err: err}
		}
		return &admin.Error{Kind: admin.KindNotMaster, Detail: "this instance is not the master, and none is known", Mend: "wait for one, or look at: interlok-ha status", Err: err}
	case errors.Is(err, cache.ErrTooLarge), errors.Is(err, cache.ErrNoKey):
		return &admin.Error{Kind: admin.KindTooLarge, Detail: strings.TrimPrefix(err.Error(), "cache: "), Err: err}
	case errors.Is(err, cache.ErrFull):
		return &admin.Error{Kind: admin.KindFull, Detail: "too many entries are in flight, and none was finished in time",
			Mend: "finish some, or raise failover.cache.max.in.flight", Err: err}
	case errors.Is(err, cache.ErrClosed):
		return unavailable(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, cache.ErrNoReplica):
		return &admin.Error{Kind: admin.KindTimeout, Detail: "the slaves did not confirm it in time; it may be there all the same",
			Mend: "look at: interlok-ha cache stats", Err: err}
	}
	return err
}

// counters are those of the cache under the API's names.
func counters(c cache.Counters) map[string]uint64 {
	return map[string]uint64{
		"puts": c.Puts, "removes": c.Removes, "evictions": c.Evictions, "expirations": c.Expirations, "hits": c.Hits, "misses": c.Misses,
		"bytesSent": c.BytesSent, "bytesReceived": c.BytesReceived, "snapshots": c.Snapshots, "resyncs": c.Resyncs, "cuts": c.Cuts,
		"refusedKey": c.RefusedKey, "refusedCluster": c.RefusedCluster, "refusedMalformed": c.RefusedMalformed,
		"refusedTooLarge": c.RefusedTooLarge, "refusedSlow": c.RefusedSlow, "refusedBusy": c.RefusedBusy, "refusedGossip": c.RefusedGossip,
	}
}
